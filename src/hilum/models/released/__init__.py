"""Importers of released checkpoints: one file each."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hilum.errors import UsageError
from hilum.models.model import save_ensemble
from hilum.models.released.chexbert import chexbert_folder
from hilum.models.released.chexzero import chexzero_folder
from hilum.models.released.convirt import convirt_folder
from hilum.models.released.cxr_clip import cxr_clip_folder
from hilum.models.released.gloria import gloria_folder
from hilum.models.released.imported import Imported
from hilum.models.released.moco_cxr import medaug_folder, moco_cxr_folder
from hilum.models.released.refers import refers_folder
from hilum.models.released.s2mts2 import s2mts2_folder

# name -> (importer, one line). CXR-RePaiR's CLIP has CheXzero's format.
IMPORTERS: dict[str, tuple[Callable[..., Imported], str]] = {
    "chexzero": (chexzero_folder, "CheXzero state dicts (.pt), one or an ensemble of several"),
    "chexbert": (chexbert_folder, "CheXbert's report labeler (.pth), with --vocab vocab.txt"),
    "cxr-repair": (chexzero_folder, "CXR-RePaiR's CLIP state dict (.pt)"),
    "convirt": (convirt_folder, "ConVIRT's container (.pt), with --vocab vocab.txt; or its ResNet alone"),
    "gloria": (gloria_folder, "GLoRIA's Lightning checkpoint (.ckpt), with --vocab vocab.txt"),
    "cxr-clip": (cxr_clip_folder, "CXR-CLIP's checkpoint (.tar): ResNet or Swin, with --vocab vocab.txt"),
    "moco-cxr": (moco_cxr_folder, "MoCo-CXR's query encoder (.pth.tar): ResNet or DenseNet"),
    "medaug": (medaug_folder, "MedAug's query encoder (.pth.tar): ResNet"),
    "s2mts2": (s2mts2_folder, "S2MTS2's DenseNet with LeakyReLU (.pth.tar)"),
    "refers": (refers_folder, "REFERS' vision transformer (.pth): the downstream file or one of pretraining"),
}


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
    out = Path(out)
    unknown = sorted(options.keys() - inspect.signature(importer).parameters.keys())
    if unknown:
        raise UsageError(f"hilum import {name} has no option {', '.join(unknown)}.")
    if len(paths) > 1 and name == "chexbert":
        raise UsageError("hilum import chexbert takes one file: labelers do not make an ensemble.")
    done = [importer(path, out if len(paths) == 1 else out / path.stem, **options) for path in paths]
    if len(paths) > 1:
        save_ensemble(out, stems)
    return done
