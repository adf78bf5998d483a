"""Sizes and filters of shrinking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import UsageError
from hilum.imaging import Radiograph, resize_longer_side


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [((300, 200), 150, (150, 100)), ((3, 1000), 100, (1, 100)), ((100, 99), 50, (50, 50)), ((1, 9000), 10, (1, 10))],
)
def test_longer_side_is_met_and_the_shorter_rounded_half_up(shape, side, expected) -> None:
    assert resize_longer_side(np.zeros(shape, np.uint8), side).shape == expected


def test_small_picture_is_enlarged_only_when_asked() -> None:
    small = np.zeros((10, 5), np.uint8)
    assert resize_longer_side(small, 20) is small
    assert resize_longer_side(small, 20, upsample=True).shape == (20, 10)


def test_fine_texture_is_averaged_and_not_aliased() -> None:
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    shrunk = resize_longer_side(board, 60).astype(int)
    assert np.abs(shrunk[2:-2, 2:-2] - 127).max() <= 3


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), side=st.integers(1, 300))
def test_aspect_is_kept_within_half_a_pixel(height: int, width: int, side: int) -> None:
    new_height, new_width = resize_longer_side(np.zeros((height, width), np.uint8), side).shape
    longer = max(height, width)
    assert max(new_height, new_width) == min(longer, side)
    scale = min(side / longer, 1.0)
    assert abs(new_height - max(1, height * scale)) <= 0.5
    assert abs(new_width - max(1, width * scale)) <= 0.5


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros((2, 2, 3), np.uint8), np.zeros((0, 3), np.uint8)])
def test_what_is_not_gray_bytes_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(UsageError, match="expected non-empty"):
        resize_longer_side(pixels, 10)


def test_spacing_grows_as_the_picture_shrinks() -> None:
    assert Radiograph(np.zeros((400, 200), np.uint8), 0.1).shrunk(100).pixel_spacing_mm == pytest.approx(0.4)
