"""Checkpoints that hold more than weights: objects of other packages beside them are left out, and nothing is run.

Lightning saves an OmegaConf configuration with the weights, others an optimizer or a scheduler. `torch.load` either refuses
such a file or imports and runs what it names. Here the weights are taken and the rest is read past.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilum.checkpoints.files import damaged, refuse_what_is_no_checkpoint
from hilum.checkpoints.unpickling import DataUnpickler, Foreign, StoredBytes, StoredTensor
from hilum.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of torch.save before 1.6
_MOST_PICKLE_BYTES = 1 << 28  # of names and shapes; the largest releases have some hundred kilobytes


@dataclass(frozen=True)
class Container:
    """What `torch.save` wrote, its tensors not yet read.

    Attributes:
        path: the file.
        names: the keys of the dictionary in it; empty if it holds something else.
        foreign: classes and functions of other packages that the file names, and that were not looked up.
    """

    path: Path
    names: tuple[str, ...]
    foreign: tuple[str, ...]
    _content: Any
    _read: Callable[[StoredBytes], bytes]

    @property
    def is_state_dict(self) -> bool:
        """Whether it is a bare dictionary of tensors."""
        return bool(self.names) and all(isinstance(v, StoredTensor) for v in dict.values(self._content))

    def tensors(self, under: str | None = None) -> dict[str, Tensor]:
        """The state dict under a key, or the whole file as one.

        Raises:
            CheckpointError: there is no such key, or something in it is not a tensor.
        """
        part = self._part(under)
        where = f" under '{under}'" if under else ""
        if not isinstance(part, dict) or not part:
            raise CheckpointError(f"{self.path}: expected a state dict (name to tensor){where}, got {_said(part)}.")
        with _as_damaged(self.path):
            return {name: self._tensor(name, value, where) for name, value in dict.items(part)}

    def plain(self, under: str) -> Any:
        """The plain values under a key: numbers, texts, lists and dictionaries; None for a key that is not there.

        Objects of other packages and tensors are left out of dictionaries, and are None elsewhere.
        """
        part = dict.get(self._content, under) if isinstance(self._content, dict) else None
        with _as_damaged(self.path):
            return _plain(part, {})

    def _part(self, under: str | None) -> Any:
        if under is None:
            return self._content
        if under not in self.names:
            held = f"a dictionary with {', '.join(self.names[:6])}" if self.names else _said(self._content)
            raise CheckpointError(f"{self.path}: expected an entry '{under}', got {held}.")
        return dict.get(self._content, under)

    def _tensor(self, name: Any, value: Any, where: str) -> Tensor:
        import torch

        if not isinstance(value, StoredTensor) or not isinstance(name, str):
            raise CheckpointError(
                f"{self.path}: {name!r}{where} is {_said(value)}, not a tensor. Only tensors are taken, and no code is run to "
                "make one. Save the bare state dict where you trust the file, and import that."
            )
        dtype = getattr(torch, value.bytes.dtype)
        if 0 in value.size:
            return torch.empty(value.size, dtype=dtype)
        raw = bytearray(self._read(value.bytes))
        if len(raw) != value.bytes.length * dtype.itemsize:
            raise EOFError(f"the numbers of {name} are cut short")
        stored = torch.frombuffer(raw, dtype=dtype)
        return stored.as_strided(value.size, value.stride, value.offset).contiguous()


def read_container(path: Path) -> Container:
    """What a checkpoint file holds; see `Container`.

    Raises:
        CheckpointError: the file is absent, empty, a web page, not a checkpoint, or cut short.
    """
    refuse_what_is_no_checkpoint(path)
    with _as_damaged(path):
        if zipfile.is_zipfile(path):
            machine, content, read = _from_zip(path)
        else:
            machine, content, read = _from_legacy(path)
    names = tuple(str(name) for name in dict.keys(content)) if isinstance(content, dict) else ()
    return Container(path, names, tuple(sorted(machine.foreign)), content, read)


def _from_zip(path: Path) -> tuple[DataUnpickler, Any, Callable[[StoredBytes], bytes]]:
    """torch.save since 1.6: an archive of stored files, `NAME/data.pkl` and `NAME/data/KEY`."""
    archive = zipfile.ZipFile(path)  # open while the container lives: it lists a thousand records, one a tensor
    records = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("an archive without data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in records.values()):
        raise ValueError("an archive with compressed entries, which torch.save does not write")
    if f"{root}byteorder" in records and archive.read(f"{root}byteorder") != sys.byteorder.encode():
        raise ValueError("numbers in the other byte order")
    if records[pickles[0]].file_size > _MOST_PICKLE_BYTES:
        raise ValueError("more than 256 MB of names and shapes")
    with archive.open(pickles[0]) as file:
        machine = DataUnpickler(file)
        content = machine.load()

    def read(stored: StoredBytes) -> bytes:
        return archive.read(f"{root}data/{stored.key}")

    return machine, content, read


def _from_legacy(path: Path) -> tuple[DataUnpickler, Any, Callable[[StoredBytes], bytes]]:
    """torch.save before 1.6: pickles in a row, then every storage with its length before it."""
    import torch

    places: dict[str, int] = {}
    with path.open("rb") as file:
        magic, protocol = DataUnpickler(file).load(), DataUnpickler(file).load()
        if magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
            raise ValueError("neither of PyTorch's two formats")
        DataUnpickler(file).load()  # the system it was written on
        machine = DataUnpickler(file)
        content = machine.load()
        for key in DataUnpickler(file).load():
            stored = machine.stored[key]
            count = int.from_bytes(file.read(8), "little")
            if count != stored.length:
                raise ValueError(f"storage {key} of another length than its tensors say")
            places[key] = file.tell()
            file.seek(count * getattr(torch, stored.dtype).itemsize, 1)

    def read(stored: StoredBytes) -> bytes:
        with path.open("rb") as file:
            file.seek(places[stored.key])
            return file.read(stored.length * getattr(torch, stored.dtype).itemsize)

    return machine, content, read


@contextmanager
def _as_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # there is no end to what a damaged or hostile pickle makes the machine raise
        raise CheckpointError(damaged(path, error)) from None


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    """A copy without foreign objects; what is shared is copied once, so that nesting cannot multiply."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, StoredTensor | StoredBytes):
        return None
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, dict):
        kept: dict[Any, Any] = {}
        seen[id(value)] = kept
        for key, held in dict.items(value):
            if isinstance(key, str | int) and not isinstance(held, Foreign | StoredTensor):
                kept[key] = _plain(held, seen)
        return kept
    if isinstance(value, list | tuple | set | frozenset):
        items: list[Any] = []
        seen[id(value)] = items
        items += [_plain(held, seen) for held in value]
        return items
    return None


def _said(value: Any) -> str:
    if isinstance(value, Foreign):
        return f"an object of {value.named}"
    if isinstance(value, StoredTensor):
        return "a tensor"
    if isinstance(value, dict):
        return f"a dictionary with {', '.join(map(str, list(value)[:6]))}" if value else "an empty dictionary"
    return f"a {type(value).__name__}"
