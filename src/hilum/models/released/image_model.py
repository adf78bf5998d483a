"""A model of images alone from a release's tensors, strictly."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hilum.checkpoints import sha256_of
from hilum.errors import CheckpointError
from hilum.models.encoder import compare_keys, to_float32
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder
from hilum.models.model import Model
from hilum.models.preprocess import Preprocessing
from hilum.models.released.imported import Imported

logger = logging.getLogger(__name__)


def image_model(
    file: Path,
    importer: str,
    architecture: ImageArchitecture,
    tower: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    preprocess: Preprocessing,
    left_out: Mapping[str, int],
    facts: Mapping[str, Any],
) -> Model:
    """Build the encoder and put the tensors in.

    Args:
        file: where they come from.
        importer: its name in `IMPORTERS`.
        architecture: what the shapes imply.
        tower: the tower's tensors under the reference's names (`ImageTower.weights`).
        head: the kept head's, as `0.weight`, `0.bias`, `2.weight`, ...; empty without one.
        preprocess: the original's.
        left_out: what else the file holds, part -> number of entries; kept in the provenance.
        facts: of the release, for the provenance.

    Raises:
        CheckpointError: a name is missing or too many, or a shape differs; all are listed.
    """
    encoder = ImageEncoder(architecture)
    expected = encoder.image_tower.weights() | _named(encoder.head.state_dict() if encoder.head else {})
    got = dict(tower) | _named(head)
    report = compare_keys(expected, got)
    if report:
        raise CheckpointError(
            f"{file}: {len(got)} tensors, which do not make the {architecture.tower.family} that their shapes imply "
            f"({len(expected)} tensors):\n{report}"
        )
    encoder.image_tower.load_weights(to_float32(dict(tower)))
    if encoder.head is not None:
        encoder.head.load_state_dict(to_float32(dict(head)))
    rest = ", ".join(f"{count} of {part}" for part, count in left_out.items() if count) or "nothing"
    logger.info("%s: %d tensors, none missing, none unexpected; left out: %s", file.name, len(got), rest)
    provenance = {
        "name": re.sub(r"(\.pth|\.pt|\.tar|\.ckpt)+$", "", file.name),
        "made_by": f"import {importer}",
        "file": file.name,
        "sha256": sha256_of(file),
        "tensors": len(got),
        "left_out": {part: count for part, count in left_out.items() if count},
        **facts,
    }
    return Model(encoder, preprocess, None, provenance)


def save_imported(model: Model, file: Path, out: Path) -> Imported:
    """Write an imported model's folder."""
    model.save(out)
    return Imported(out, file, model.provenance["sha256"], model.provenance["tensors"], model.fingerprint)


def _named(head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"head.{name}": tensor for name, tensor in head.items()}
