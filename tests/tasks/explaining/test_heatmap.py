"""Maps in an image's own pixels, and how they are drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hilum.errors import UsageError
from hilum.models.placement import Placement
from hilum.tasks.explaining import Heatmap, figure, layer, overlay
from hilum.tasks.explaining.heatmap import Lattice, onto_image

WHOLE = Placement(0, 0, 64, 64, 64)


def heatmap(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> Heatmap:
    return Heatmap(values.astype(np.float32), "edema", "gradient", 0.25, low, high, "normal radiographs")


def test_a_cell_keeps_its_value_at_its_center_and_the_map_is_flat_beyond_the_outermost() -> None:
    values = np.arange(16.0).reshape(4, 4)
    full = onto_image(values, Lattice.tiles(4), WHOLE, (64, 64))
    assert full[7:9, 7:9] == pytest.approx(values[0, 0], abs=0.2)
    assert full[23:25, 39:41] == pytest.approx(values[1, 2], abs=0.2)
    assert (full[:8, :8] == full[0, 0]).all()
    assert full[16 + 8, 16] == pytest.approx((values[1, 0] + values[1, 1]) / 2, abs=0.2)


def test_a_map_of_an_image_between_bands_ends_where_the_image_ends() -> None:
    values = np.zeros((4, 4))
    values[:, 0] = 9  # the left band
    full = onto_image(values, Lattice.tiles(4), Placement(0, 16, 64, 32, 64), (100, 50))
    assert full.shape == (100, 50)
    assert full[:, -1].max() == 0
    assert 0 < full[0, 0] < 9


def test_shares_run_from_low_to_high_and_a_flat_map_shows_nothing() -> None:
    drawn = heatmap(np.array([[-1, 0, 0.5, 1, 2, np.nan]])).shares
    assert drawn[0, :5].tolist() == [0, 0, 0.5, 1, 1]
    assert np.isnan(drawn[0, 5])
    assert not heatmap(np.ones((2, 2)), 1, 1).shares.any()


def test_the_overlay_leaves_the_radiograph_where_the_map_says_nothing_and_darkens_what_was_not_seen() -> None:
    pixels = np.full((8, 8), 200, np.uint8)
    values = np.zeros((8, 8))
    values[2:4, 2:4] = 1
    values[6:] = np.nan
    drawn = overlay(pixels, heatmap(values))
    assert drawn.shape == (8, 8, 3)
    assert drawn.dtype == np.uint8
    assert (drawn[0, 0] == 200).all()
    assert np.ptp(drawn[2, 2].astype(int)) > 30  # a color
    assert (drawn[7] == 70).all()
    with pytest.raises(UsageError, match="its own image"):
        overlay(pixels[:4], heatmap(values))


def test_the_figure_is_a_png_and_the_same_bytes_twice() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 48)).astype(np.uint8)
    once, again = (figure(pixels, heatmap(np.eye(60, 48)), "a model", "an image") for _ in range(2))
    assert once == again
    assert Image.open(io.BytesIO(once)).size[0] > 500


def test_the_layer_over_the_image_is_the_overlay() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (30, 20)).astype(np.uint8)
    values = np.random.default_rng(2).random((30, 20))
    values[:5] = np.nan
    colors = layer(heatmap(values)).astype(float)
    opacity = colors[..., 3:] / 255
    laid = pixels[..., None] * (1 - opacity) + colors[..., :3] * opacity
    assert np.abs(laid - overlay(pixels, heatmap(values))).max() < 2
