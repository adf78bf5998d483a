"""A model of images and texts from a release's tensors, strictly."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hilum.checkpoints import sha256_of
from hilum.errors import CheckpointError
from hilum.models.encoder import Encoder, compare_keys, to_float32
from hilum.models.model import Model
from hilum.models.preprocess import Preprocessing
from hilum.models.wordpiece_tokenizer import WordPieceTokenizer

logger = logging.getLogger(__name__)


def image_text_model(
    file: Path,
    importer: str,
    encoder: Encoder,
    parts: Mapping[str, Mapping[str, Tensor]],
    preprocess: Preprocessing,
    tokenizer: WordPieceTokenizer,
    in_file: int,
    facts: Mapping[str, Any],
) -> Model:
    """Put the tensors into an encoder that was built from their shapes.

    Args:
        file: where they come from.
        importer: its name in `IMPORTERS`.
        encoder: with fresh weights.
        parts: the encoder's names, up to where the mapped names begin -> tensors. All of the encoder's names must be there.
        preprocess: the original's.
        tokenizer: the user's copy.
        in_file: how many tensors the file's state dict holds, for the provenance.
        facts: of the release, for the provenance.

    Raises:
        CheckpointError: a name is missing or too many, or a shape differs; all are listed.
    """
    got = {f"{part}{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    report = compare_keys(encoder.tensors(), got)
    if report:
        raise CheckpointError(
            f"{file}: {in_file} tensors, which do not make the towers that their shapes imply (names as in hilum):\n{report}"
        )
    encoder.load_tensors(to_float32(got))
    logger.info("%s: %d tensors, none missing, none unexpected", file.name, in_file)
    provenance = {
        "name": re.sub(r"(\.pth|\.pt|\.tar|\.ckpt)+$", "", file.name),
        "made_by": f"import {importer}",
        "file": file.name,
        "sha256": sha256_of(file),
        "tensors": in_file,
        **facts,
    }
    return Model(encoder, preprocess, tokenizer, provenance)


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def refuse_others(file: Path, tensors: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> None:
    """Raise where a tensor's name begins with none of the prefixes.

    Raises:
        CheckpointError: with the names.
    """
    others = sorted(name for name in tensors if not name.startswith(prefixes))
    if others:
        raise CheckpointError(
            f"{file}: {len(others)} of {len(tensors)} tensors are not expected: {', '.join(others[:8])}; expected names "
            f"that begin with {', '.join(prefixes)}."
        )
