"""Which release a checkpoint looks like, by the names in it: every importer says so when the file is not its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hilum.checkpoints import Container, read_container, read_state_dict
from hilum.errors import CheckpointError

Names = frozenset[str]


def _starts(prefix: str) -> Callable[[Names], bool]:
    return lambda names: any(name.startswith(prefix) for name in names)


def _has(*wanted: str) -> Callable[[Names], bool]:
    return lambda names: names.issuperset(wanted)


_STATE = ("state_dict", "model", "model_state_dict")  # where releases keep the state dict, if not bare

# importer -> what the file's names show; the first that fits counts, so the narrower stand first.
_SIGNS: dict[str, Callable[[Names], bool]] = {
    "gloria": lambda names: any("gloria.img_encoder." in name for name in names),
    "cxr-clip": _has("image_projection.projection.weight", "text_projection.projection.weight"),
    "convirt": _has("image_encoder", "text_encoder", "image_proj"),
    "medaug": _has("module.queue_lat"),
    "s2mts2": lambda names: any("encoder_q.classifier_group." in name for name in names),
    "moco-cxr": _starts("module.encoder_q."),
    "refers": lambda names: any("transformer.encoder.layer.0.attn.query." in name for name in names),
    "chexbert": lambda names: any(name.removeprefix("module.").startswith("linear_heads.") for name in names),
    "chexzero": _has("visual.conv1.weight", "text_projection"),
}


@dataclass(frozen=True)
class Opened:
    """A checkpoint file, taken apart as far as every release needs it.

    Attributes:
        file: where it lies.
        tensors: its state dict, bare or under one of the usual keys; empty where it has parts of another kind.
        names: of the container's entries and of the tensors.
        container: the rest.
    """

    file: Path
    tensors: dict[str, Tensor]
    names: Names
    container: Container


def open_checkpoint(file: Path) -> Opened:
    """Read a checkpoint without running anything in it.

    Raises:
        CheckpointError: the file is no checkpoint, or its state dict holds something that is no tensor.
    """
    container = read_container(file)
    under = next((key for key in _STATE if key in container.names), None)
    tensors = container.tensors(under) if under or container.is_state_dict else {}
    return Opened(file, tensors, frozenset(container.names) | tensors.keys(), container)


def read_own_state_dict(file: Path, importer: str, expected: str, under: str | None = None) -> dict[str, Tensor]:
    """`hilum.checkpoints.read_state_dict`, with the error of `not_this_release` where the file is of another release."""
    try:
        tensors = read_state_dict(file, under)
    except CheckpointError:
        try:
            names = open_checkpoint(file).names
        except CheckpointError:
            names = frozenset()
        if recognize(names) in (None, importer):
            raise
        raise not_this_release(file, importer, expected, names) from None
    if recognize(tensors) not in (None, importer):
        raise not_this_release(file, importer, expected, tensors)
    return tensors


def recognize(names: Iterable[str]) -> str | None:
    """The importer, a key of `IMPORTERS`, that a checkpoint's names call for; None where they are not recognized."""
    all_names = frozenset(names)
    return next((importer for importer, fits in _SIGNS.items() if fits(all_names)), None)


def not_this_release(file: Path, importer: str, expected: str, names: Iterable[str]) -> CheckpointError:
    """The error of a file that is not what an importer reads; names the importer that would fit.

    Args:
        file: the checkpoint.
        importer: the importer that was called.
        expected: what it needs, for example "names such as module.encoder_q.conv1.weight".
        names: those in the file (`Opened.names`).
    """
    held = sorted(names)
    found = recognize(held)
    if found not in (None, importer):
        hint = f"It looks like a checkpoint of {found}: hilum import {found} {file} -o MODEL"
    else:
        hint = "List the releases that can be imported with: hilum import"
    got = f"{', '.join(held[:5])}{', ...' if len(held) > 5 else ''} ({len(held)} names)" if held else "no names"
    return CheckpointError(f"{file}: not a checkpoint of {importer}; expected {expected}; got {got}. {hint}")
