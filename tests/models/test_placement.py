"""Where a preprocessing says that an image lies on its canvas is where its pixels are."""

from __future__ import annotations

import numpy as np
import pytest

from hilum.models.preprocess import Preprocess, Preprocessing
from hilum.models.preprocess_kinds import LongerSidePadCrop, PadThenResize, ShorterSideCrop, Squash
from hilum.models.registry import PREPROCESSES

KINDS: list[Preprocessing] = [
    Preprocess(canvas_px=64, side_px=48),
    Preprocess(canvas_px=64, side_px=64, fit="squash"),
    Squash(canvas_px=64),
    Squash(canvas_px=56, resize_px=64),
    ShorterSideCrop(canvas_px=64),
    ShorterSideCrop(canvas_px=56, resize_px=64),
    PadThenResize(canvas_px=64),
    LongerSidePadCrop(canvas_px=56, resize_px=64),
]


def test_every_kind_of_preprocessing_is_tried_here() -> None:
    assert {type(kind) for kind in KINDS} == set(PREPROCESSES.values())


@pytest.mark.parametrize("shape", [(150, 100), (100, 150), (120, 120), (97, 131), (90, 240)])
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_a_bright_square_lies_where_the_placement_says(kind: Preprocessing, shape: tuple[int, int]) -> None:
    height, width = shape
    y, x = height // 2 - 21, width // 2 + 3  # near the middle, so that no geometry cuts it off
    image = np.zeros(shape, np.uint8)
    image[y : y + 16, x : x + 16] = 255
    canvas = kind.squares(image)[0].astype(float) / 255
    placement = kind.placement(height, width)
    rows, columns = placement.rows(height) * kind.canvas_px, placement.columns(width) * kind.canvas_px
    centers = np.arange(kind.canvas_px) + 0.5
    assert canvas.sum(axis=1) @ centers / canvas.sum() == pytest.approx(rows[y : y + 16].mean(), abs=0.51)
    assert canvas.sum(axis=0) @ centers / canvas.sum() == pytest.approx(columns[x : x + 16].mean(), abs=0.51)


@pytest.mark.parametrize("shape", [(150, 100), (100, 150), (90, 240)])
@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_the_canvas_is_white_where_a_white_image_lies_and_black_elsewhere(
    kind: Preprocessing, shape: tuple[int, int]
) -> None:
    canvas = kind.squares(np.full(shape, 255, np.uint8))[0]
    top, left, height, width, side = kind.placement(*shape)
    centers = np.arange(side) + 0.5
    inside = ((centers > top) & (centers < top + height))[:, None] & ((centers > left) & (centers < left + width))
    assert ((canvas > 127) != inside).mean() < 0.03  # but for a line of rounding
