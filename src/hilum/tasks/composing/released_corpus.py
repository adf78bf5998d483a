"""CXR-RePaiR's `corpus_embeddings/*.pt`: a pickled pandas Series of texts beside their vectors, read without running it.

The file is `torch.save` of (Series, tensor). Loading it as its authors do runs whatever it names; here it is read as data:
the one list of texts in it is taken, as many as the tensor has rows, and the vectors are left, for a model computes its own.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

from hilum.checkpoints.files import damaged, refuse_what_is_no_checkpoint
from hilum.checkpoints.unpickling import DataUnpickler, StoredTensor
from hilum.errors import CheckpointError

_MOST_PICKLE_BYTES = 1 << 30  # MIMIC-CXR's 700,000 sentences take 60 MB
_ARRAYS = {"numpy.core.multiarray", "numpy._core.multiarray"}  # before and since NumPy 2
_CONVERT = (
    "Where you trust the file, convert it with the pandas that wrote it: "
    "python -c \"import torch; torch.load('FILE', weights_only=False)[0].to_csv('corpus.csv', header=['report'], index=False)\""
)


def is_released_corpus(path: Path) -> bool:
    """Whether a file is one that `torch.save` wrote."""
    if path.is_dir() or not path.exists():
        return False
    if path.suffix.lower() in (".pt", ".pth", ".pkl", ".pickle"):
        return True
    return zipfile.is_zipfile(path) and any(name.endswith("/data.pkl") for name in zipfile.ZipFile(path).namelist())


def read_released_corpus(path: Path) -> list[str]:
    """The texts of a corpus file, in its order.

    Raises:
        CheckpointError: the file is damaged, too large, or does not hold one list of texts beside a tensor of as many rows.
    """
    refuse_what_is_no_checkpoint(path)
    try:
        machine, content = _load(path)
    except CheckpointError:
        raise
    except Exception as error:  # there is no end to what a damaged or hostile pickle makes the machine raise
        raise CheckpointError(damaged(path, error)) from None
    tensors = [part for part in content if isinstance(part, StoredTensor)] if isinstance(content, tuple) else []
    rows = tensors[0].size[0] if len(tensors) == 1 and tensors[0].size else None
    found = [texts for texts in machine.texts if len(texts) == rows]
    if len(found) != 1:
        raise CheckpointError(
            f"{path}: expected CXR-RePaiR's corpus, a pandas Series of texts and a tensor with a row for each; found "
            f"{len(machine.texts)} list(s) of texts and {len(tensors)} tensor(s). {_CONVERT.replace('FILE', path.name)}"
        )
    return found[0]


class _TextUnpickler(DataUnpickler):
    """Keeps what NumPy's arrays of objects hold where that is texts alone; everything else is read past."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.texts: list[list[str]] = []

    def find_class(self, module: str, name: str) -> Any:
        """An array's stand-in, which hands over its texts; for all other names what a checkpoint gets."""
        if module in _ARRAYS and name == "_reconstruct":
            return _Maker(self.texts)
        return super().find_class(module, name)


class _Maker:
    """Called as NumPy's `_reconstruct`; gives an array that takes its state and nothing else."""

    __slots__ = ("_texts",)

    def __init__(self, texts: list[list[str]]) -> None:
        self._texts = texts

    def __call__(self, *_: Any) -> _Array:
        return _Array(self._texts)

    def __setstate__(self, _: Any) -> None:
        raise pickle.UnpicklingError("a function with a state")


class _Array:
    __slots__ = ("_texts",)

    def __init__(self, texts: list[list[str]]) -> None:
        self._texts = texts

    def __setstate__(self, state: Any) -> None:
        # (version, shape, dtype, is_fortran, values): NumPy's array.__reduce__; values is a list for arrays of objects.
        values = state[4] if isinstance(state, tuple) and len(state) == 5 else None
        if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
            self._texts.append(list(values))


def _load(path: Path) -> tuple[_TextUnpickler, Any]:
    if not zipfile.is_zipfile(path):
        return _load_legacy(path)
    with zipfile.ZipFile(path) as archive:
        records = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or records[pickles[0]].compress_type != zipfile.ZIP_STORED:
            raise ValueError("an archive that torch.save did not write")
        if records[pickles[0]].file_size > _MOST_PICKLE_BYTES:
            raise ValueError("more than 1 GB of texts")
        with archive.open(pickles[0]) as file:
            machine = _TextUnpickler(file)
            return machine, machine.load()


def _load_legacy(path: Path) -> tuple[_TextUnpickler, Any]:
    with path.open("rb") as file:
        for _ in range(3):  # magic, protocol, the system it was written on
            DataUnpickler(file).load()
        machine = _TextUnpickler(file)
        return machine, machine.load()
