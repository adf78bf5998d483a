"""Importers of released checkpoints: one file each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hilum.errors import UsageError
from hilum.models.model import Model, save_ensemble
from hilum.models.released.chexzero import import_chexzero

# name -> (importer, one line). CXR-RePaiR's CLIP has CheXzero's format.
IMPORTERS: dict[str, tuple[Callable[..., Model], str]] = {
    "chexzero": (import_chexzero, "CheXzero state dicts (.pt), one or an ensemble of several"),
    "cxr-repair": (import_chexzero, "CXR-RePaiR's CLIP state dict (.pt)"),
}


@dataclass(frozen=True)
class Imported:
    """What an import made: the folder, the file it came from with its SHA-256, and the model's fingerprint."""

    folder: Path
    file: Path
    sha256: str
    tensors: int
    fingerprint: str


def import_checkpoint(
    name: str, files: Sequence[str | Path] | str | Path, out: str | Path, **options: Any
) -> list[Imported]:
    """Turn released checkpoint files into a model folder.

    Args:
        name: which release, a key of `IMPORTERS`.
        files: one file, or several for an ensemble (each becomes a subfolder named after its file).
        out: the model folder to write.
        **options: the importer's own, for example `antialias`.

    Raises:
        UsageError: no importer of that name.
        CheckpointError: a file does not hold what it should.
    """
    import difflib

    if name not in IMPORTERS:
        close = difflib.get_close_matches(name, IMPORTERS, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UsageError(f"no importer '{name}'.{hint} There are: {', '.join(IMPORTERS)}.")
    paths = [Path(files)] if isinstance(files, str | Path) else [Path(f) for f in files]
    if not paths:
        raise UsageError(f"hilum import {name}: name at least one checkpoint file.")
    stems = [path.stem for path in paths]
    if len(set(stems)) != len(stems):
        raise UsageError("two of the files have the same name; their folders would collide. Rename one.")
    importer, _ = IMPORTERS[name]
    out, done = Path(out), []
    for path in paths:
        model = importer(path, **options)
        folder = out if len(paths) == 1 else out / path.stem
        model.save(folder)
        done.append(Imported(folder, path, model.provenance["sha256"], model.provenance["tensors"], model.fingerprint))
    if len(paths) > 1:
        save_ensemble(out, stems)
    return done
