"""Resizing by area: exact means where cells are whole, and OpenCV's rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.errors import UsageError
from hilum.imaging.area import resize_area


def loop_mean(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mean of the area each new pixel covers, pixel by pixel."""
    down, across = image.shape[0] / size[0], image.shape[1] / size[1]
    out = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            for y in range(image.shape[0]):
                for x in range(image.shape[1]):
                    tall = max(0.0, min((i + 1) * down, y + 1) - max(i * down, y))
                    wide = max(0.0, min((j + 1) * across, x + 1) - max(j * across, x))
                    out[i, j] += image[y, x] * tall * wide / (down * across)
    return out


@pytest.mark.parametrize("size", [(5, 4), (3, 11), (12, 7), (1, 1), (6, 5)])
def test_a_smaller_image_holds_means_of_areas(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 11), dtype=np.uint8)
    assert np.abs(resize_area(image, size) - loop_mean(image, size)).max() <= 0.5 + 1e-4


def test_ties_of_two_by_two_cells_round_up_and_others_to_even() -> None:
    assert resize_area(np.array([[0, 1], [0, 1]], np.uint8), (1, 1))[0, 0] == 1
    assert resize_area(np.array([[0, 1]], np.uint8), (1, 1))[0, 0] == 0


def test_enlarging_repeats_where_the_old_pixel_covers_the_new() -> None:
    # Computed with OpenCV's resize(..., INTER_AREA).
    assert resize_area(np.array([[0, 100, 200]], np.uint8), (2, 6)).tolist() == [[0, 0, 100, 100, 200, 200]] * 2
    assert resize_area(np.array([[0, 100, 200]], np.uint8), (1, 4)).tolist() == [[0, 67, 133, 200]]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_a_flat_image_stays_flat(height: int, width: int, new_height: int, new_width: int, value: int) -> None:
    flat = np.full((height, width), value, np.uint8)
    assert (resize_area(flat, (new_height, new_width)) == value).all()


def test_what_is_no_gray_image_is_refused() -> None:
    with pytest.raises(UsageError, match="expected non-empty"):
        resize_area(np.zeros((2, 2, 3), np.uint8), (1, 1))
    with pytest.raises(UsageError, match="1 or more"):
        resize_area(np.zeros((2, 2), np.uint8), (0, 1))
