"""What a model folder explains with: one model, the members of an ensemble, or encoders with their heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from hilum.errors import ModelError, UsageError
from hilum.imaging import read_image
from hilum.models.head import HEAD_CONFIG, Head
from hilum.models.model import CONFIG, Model, load_all, read_config
from hilum.models.zero_shot import PromptSet
from hilum.tasks.explaining.explaining import explain
from hilum.tasks.explaining.heatmap import Heatmap
from hilum.tasks.predicting import load_headed

Member = tuple[Model, Head | None]
LONGER_SIDE_PX = 384  # as an archive keeps images, unless told: a file then has the score that it has there


def read_file(path: str | PathLike[str]) -> np.ndarray:
    """(H, W) uint8 of a DICOM, PNG, JPEG or other picture, as an archive would keep it.

    Raises:
        UsageError: there is no such file.
        ImageError: it cannot be turned into pixels.
    """
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file. Give a DICOM, PNG or JPEG file, or an image_id with its --archive.")
    return read_image(path).shrunk(LONGER_SIDE_PX).pixels


def load_members(folder: str | PathLike[str], encoder: str | PathLike[str] | None = None) -> list[Member]:
    """The models of a folder, each with its head where there is one.

    Args:
        folder: of an image-text model, a finetuned model, a probe, or an ensemble of one of these.
        encoder: the encoder's folder, in place of the one a probe names.

    Raises:
        ModelError: it is no such folder, or its models have neither text tower nor head.
    """
    place = Path(folder)
    config = read_config(place) if (place / CONFIG).is_file() else {}
    one = place / config["members"][0] if config.get("kind") == "ensemble" else place
    if (one / HEAD_CONFIG).is_file():
        return [(model, head) for model, head in load_headed(place, encoder)]
    models = load_all([folder])
    for model in models:
        if model.tokenizer is None:
            raise ModelError(
                f"{folder} encodes images alone and has no head: there is nothing to ask it. Fit one with `hilum probe` or "
                "`hilum finetune`, or explain an image-text model."
            )
    return [(model, None) for model in models]


def explain_with(
    members: Sequence[Member],
    pixels: np.ndarray,
    phrase: str,
    *,
    how: str = "auto",
    against: str | None = None,
    prompts: PromptSet | None = None,
) -> Heatmap:
    """As `explain`; of several members the mean of their maps and scores.

    Where one member did not see a place, its mean is that of the others.
    """
    maps = [
        explain(model, pixels, phrase, how=how, against=against, head=head, prompts=prompts) for model, head in members
    ]
    if len(maps) == 1:
        return maps[0]
    values = np.array([one.values for one in maps])
    seen = ~np.isnan(values)
    mean = np.where(seen, values, 0).sum(axis=0) / np.where(seen.any(axis=0), seen.sum(axis=0), np.nan)
    note = f"Mean of {len(maps)} models. {maps[0].note}"
    score = float(np.mean([one.score for one in maps]))
    low = float(np.mean([one.low for one in maps]))
    high = max(low, float(np.nanmax(mean)))
    return replace(maps[0], values=mean.astype(np.float32), score=score, low=low, high=high, note=note)
