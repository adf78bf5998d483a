"""Stored values to gray, with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hilum.imaging.grayscale import Lut, Rendering, Window, percentiles, render


def shown(values: list[int], dtype: str = "u2", **how: object) -> list[int]:
    gray, _ = render(np.array([values], dtype), Rendering(**how))
    return gray[0].tolist()


def test_linear_window_follows_the_standard_at_its_corners() -> None:
    # PS3.3 C.11.2.1.2.1 note 3: center 2048, width 4096 maps 0 to 0 and 4095 to the maximum.
    # 1024: (1024 - 2047.5) / 4095 + 0.5 = 0.25006, times 255 = 63.77
    assert shown([0, 1024, 4095, 5000], voi=(Window(2048, 4096),)) == [0, 64, 255, 255]


def test_linear_window_of_two_levels_has_one_step() -> None:
    # center 2, width 2: 1 is black (x <= c - 0.5 - 0.5), 2 is white (x > c - 0.5 + 0.5 fails; the ramp gives 1).
    assert shown([0, 1, 2, 3], voi=(Window(2, 2),)) == [0, 0, 255, 255]


def test_linear_window_of_one_is_a_threshold() -> None:
    assert shown([0, 1, 2, 3], voi=(Window(2, 1),)) == [0, 0, 255, 255]


def test_linear_exact_window_has_no_half_pixel_shift() -> None:
    # (x - 100) / 200 + 0.5
    assert shown([0, 50, 100, 200, 300], voi=(Window(100, 200, "LINEAR_EXACT"),)) == [0, 64, 128, 255, 255]


def test_linear_exact_window_may_be_narrower_than_one() -> None:
    gray, remarks = render(np.array([[0, 1]], "u1"), Rendering(voi=(Window(0.5, 0.5, "LINEAR_EXACT"),)))
    assert gray.tolist() == [[0, 255]]
    assert not remarks


def test_sigmoid_window_is_the_logistic_function() -> None:
    # 255 / (1 + exp(-4 (x - 100) / 200)) at 0, 100, 200: 30.40, 127.5, 224.60
    assert shown([0, 100, 200], voi=(Window(100, 200, "SIGMOID"),)) == [30, 128, 225]


def test_rescale_comes_before_the_window() -> None:
    # 2 x - 100 is 0, 100, 200; the exact window 0..200
    how = {"slope": 2.0, "intercept": -100.0, "voi": (Window(100, 200, "LINEAR_EXACT"),)}
    assert shown([50, 100, 150], **how) == [0, 128, 255]


def test_inversion_comes_after_the_window() -> None:
    how = {"voi": (Window(100, 200, "LINEAR_EXACT"),), "inverted": True}
    assert shown([0, 50, 200, 300], **how) == [255, 191, 0, 0]


def test_modality_lut_replaces_rescale_and_holds_its_ends() -> None:
    lut = Lut(first=10, entries=np.array([0.0, 100.0, 200.0]), bits=8)
    how = {"modality_lut": lut, "slope": 7.0, "voi": (Window(100, 200, "LINEAR_EXACT"),)}
    assert shown([0, 10, 11, 12, 99], **how) == [0, 0, 128, 255, 255]


def test_voi_lut_is_scaled_by_its_bits() -> None:
    lut = Lut(first=0, entries=np.array([0.0, 512.0, 1023.0]), bits=10)
    assert shown([0, 1, 2], voi=(lut,)) == [0, 128, 255]


def test_voi_lut_that_declares_16_bits_but_holds_12_is_not_black() -> None:
    lut = Lut(first=0, entries=np.array([0.0, 2048.0, 4095.0]), bits=16)
    assert shown([0, 1, 2], voi=(lut,)) == [0, 128, 255]


def test_signed_values_go_through_the_table() -> None:
    assert shown([-100, 0, 100], "i2", voi=(Window(0, 200, "LINEAR_EXACT"),)) == [0, 128, 255]


@pytest.mark.parametrize(
    "window",
    [
        Window(50, 0),
        Window(50, 0.5),
        Window(50, -10),
        Window(float("nan"), 100),
        Window(90000, 100),
        Window(-9000, 100),
    ],
)
def test_useless_window_gives_way_to_percentiles_and_is_remarked(window: Window) -> None:
    ramp = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    gray, remarks = render(ramp, Rendering(voi=(window,)))
    without, none = render(ramp, Rendering())
    assert np.array_equal(gray, without)
    assert len(remarks) == 1
    assert "not used" in remarks[0]
    assert not none


def test_second_window_is_tried_when_the_first_is_useless() -> None:
    how = {"voi": (Window(90000, 10), Window(100, 200, "LINEAR_EXACT"))}
    assert shown([0, 100, 200], **how) == [0, 128, 255]


def test_percentile_fallback_clips_half_a_percent_at_each_end() -> None:
    ramp = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    gray, _ = render(ramp, Rendering())
    # 0.5% of 1000 pixels: level 4 is the 5th lowest; 99.5%: level 994 is the 995th.
    assert gray.ravel()[4] == 0
    assert gray.ravel()[5] == round(255 * 1 / 990)
    assert gray.ravel()[993] == round(255 * 989 / 990)
    assert gray.ravel()[994] == 255


def test_padding_does_not_stretch_the_percentiles() -> None:
    image = np.full((20, 60), 65535, np.uint16)
    image[:, :50] = np.arange(1000).reshape(20, 50)
    padded, _ = render(image, Rendering(padding=(65535, 65535)))
    plain, _ = render(image[:, :50], Rendering())
    assert np.array_equal(padded[:, :50], plain)


def test_image_of_padding_alone_is_still_shown() -> None:
    assert render(np.full((2, 2), 7, np.uint8), Rendering(padding=(7, 7)))[0].shape == (2, 2)


def test_constant_image_stays_constant() -> None:
    assert shown([9, 9, 9]) == [0, 0, 0]
    assert shown([9, 9, 9], inverted=True) == [255, 255, 255]


def test_wide_range_of_32_bit_values_needs_no_wide_table() -> None:
    values = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    assert render(values, Rendering())[0].tolist() == [[0, 128, 255]]


def slow_linear(value: float, center: float, width: float) -> int:
    """C.11.2.1.2.1 word for word."""
    if value <= center - 0.5 - (width - 1) / 2:
        share = 0.0
    elif value > center - 0.5 + (width - 1) / 2:
        share = 1.0
    else:
        share = (value - (center - 0.5)) / (width - 1) + 0.5
    return int(share * 255 + 0.5)


@settings(max_examples=60, deadline=None)
@given(
    stored=arrays(st.sampled_from(["u1", "u2", "i2"]), (3, 5)),
    center=st.integers(-500, 500),
    width=st.integers(2, 1000),
    slope=st.sampled_from([1.0, 0.5, 2.0, -1.0]),
    intercept=st.integers(-100, 100),
)
def test_table_equals_the_standards_formula_pixel_by_pixel(stored, center, width, slope, intercept) -> None:
    gray, remarks = render(stored, Rendering(slope=slope, intercept=float(intercept), voi=(Window(center, width),)))
    if not remarks:
        loop = [slow_linear(float(value) * slope + intercept, center, width) for value in stored.ravel()]
        assert gray.ravel().tolist() == loop


@settings(max_examples=60, deadline=None)
@given(stored=arrays("u2", (4, 6)))
def test_fallback_keeps_the_order_of_values_and_inversion_mirrors_it(stored) -> None:
    gray, _ = render(stored, Rendering())
    order = np.argsort(stored.ravel(), kind="stable")
    assert (np.diff(gray.ravel()[order].astype(int)) >= 0).all()
    assert np.array_equal(render(stored, Rendering(inverted=True))[0], 255 - gray)


@settings(max_examples=60, deadline=None)
@given(values=arrays("u1", 40), low=st.integers(0, 100), high=st.integers(0, 100))
def test_percentiles_equal_numpys_inverted_cdf(values, low, high) -> None:
    levels, counts = np.unique(values, return_counts=True)
    expected = np.percentile(values, [low, high], method="inverted_cdf")
    assert percentiles(levels.astype(float), counts.astype(float), (low, high)) == tuple(expected)
