"""Brightness, contrast, blur and equalization of a batch: those of Pillow, torchvision and OpenCV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import functional as TF

from hilum.errors import UsageError
from hilum.imaging.augment import Clahe, GaussianBlur, Grayscale, Jitter, Pictures, RandomErasing, augment
from hilum.imaging.augment.blur import pillow_blur, torchvision_blur
from hilum.imaging.augment.clahe import equalized, lightness_tables, looked_up
from hilum.imaging.augment.draft import Draft
from hilum.imaging.augment.jitter import jittered

FILMS = [
    np.clip(np.random.default_rng(seed).normal(120, 60, shape), 0, 255).astype(np.uint8)
    for seed, shape in enumerate(((40, 31), (25, 44), (44, 44)))
]
PICTURES = Pictures.stack(FILMS)
SIZES = tuple(PICTURES.sizes.numpy().T)


def each(pixels: torch.Tensor) -> list[np.ndarray]:
    for number, picture in enumerate(FILMS):
        assert not pixels[number, picture.shape[0] :].any()
        assert not pixels[number, :, picture.shape[1] :].any()
    return [pixels[n, : p.shape[0], : p.shape[1]].numpy() for n, p in enumerate(FILMS)]


def test_jitter_by_given_factors_is_torchvisions_in_both_orders() -> None:
    brightness, contrast = np.array([1.37, 0.6, 0.9]), np.array([0.62, 1.4, 1.0])
    for brightness_first in (True, False):
        ours = jittered(PICTURES.pixels, brightness, contrast, np.full(3, brightness_first), *SIZES)
        for number, levels in enumerate(each(ours)):
            image = Image.fromarray(FILMS[number])
            changes = [(TF.adjust_brightness, float(brightness[number])), (TF.adjust_contrast, float(contrast[number]))]
            for change, factor in changes if brightness_first else reversed(changes):
                image = change(image, factor)
            assert np.array_equal(levels, np.asarray(image))


def test_the_order_of_brightness_and_contrast_can_be_seen() -> None:
    factors = np.full(3, 1.4), np.full(3, 0.6)
    one, other = (jittered(PICTURES.pixels, *factors, np.full(3, flag), *SIZES) for flag in (True, False))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("sigma", [(0.13, 0.57, 0.93), (1.31, 1.97, 2.9)])  # no width whose sums end on exact halves
def test_blur_of_given_widths_is_pillows(sigma: tuple[float, ...]) -> None:
    ours = pillow_blur(PICTURES.pixels, np.array(sigma), *SIZES)
    for levels, picture, width in zip(each(ours), FILMS, sigma, strict=True):
        theirs = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(width))).astype(int)
        assert np.abs(levels - theirs).max() <= 1
        assert (levels == theirs).mean() > 0.99


@pytest.mark.parametrize("sigma", [(0.1, 0.5, 0.9), (1.3, 2.0, 3.0)])
def test_blur_in_torchvisions_flavor_is_its_own(sigma: tuple[float, ...]) -> None:
    ours = torchvision_blur(PICTURES.pixels, np.array(sigma), *SIZES, kernel_px=9)
    for levels, picture, width in zip(each(ours), FILMS, sigma, strict=True):
        theirs = TF.gaussian_blur(torch.from_numpy(picture)[None], [9, 9], [width, width])[0].numpy().astype(int)
        assert np.abs(levels - theirs).max() <= 1


def test_equalization_is_the_plain_one_tile_by_tile() -> None:
    pixels = torch.from_numpy(np.stack([FILMS[2][:40, :40], FILMS[2][4:, 4:]]))
    ours = equalized(pixels, torch.tensor([1.5, 40.0], dtype=torch.float64), 4)
    for levels, source, clip in zip(ours, pixels, (1.5, 40.0), strict=True):
        assert np.array_equal(levels.numpy(), plain_clahe(source.numpy(), clip, 4))


def plain_clahe(source: np.ndarray, clip: float, grid: int) -> np.ndarray:
    """The same, slowly; the sides of `source` divide by `grid`."""
    tile = source.shape[0] // grid
    tables = np.zeros((grid, grid, 256), np.float32)
    for r in range(grid):
        for c in range(grid):
            counts = np.bincount(source[r * tile : (r + 1) * tile, c * tile : (c + 1) * tile].ravel(), minlength=256)
            limit = max(1, int(clip * tile * tile / 256))
            over = int(np.maximum(counts - limit, 0).sum())
            counts = np.minimum(counts, limit) + over // 256
            rest = over % 256
            level, every = 0, max(1, 256 // max(rest, 1))
            while rest > 0 and level < 256:
                counts[level] += 1
                level, rest = level + every, rest - 1
            tables[r, c] = np.rint(np.cumsum(counts).astype(np.float32) * np.float32(255 / tile**2))
    out = np.zeros_like(source)
    for y in range(source.shape[0]):
        for x in range(source.shape[1]):
            v, (ry, cx) = source[y, x], (np.float32(k) * np.float32(1 / tile) - np.float32(0.5) for k in (y, x))
            r, c = int(np.floor(ry)), int(np.floor(cx))
            a, b = np.float32(ry - r), np.float32(cx - c)
            (top, bottom), (left, right) = ([min(max(k + d, 0), grid - 1) for d in (0, 1)] for k in (r, c))
            upper = tables[top, left, v] * (1 - b) + tables[top, right, v] * b
            lower = tables[bottom, left, v] * (1 - b) + tables[bottom, right, v] * b
            out[y, x] = np.rint(upper * (1 - a) + lower * a)
    return out


def test_equalization_is_opencvs_on_gray_and_within_a_level_on_three_channels(golden: Path) -> None:
    to_lightness, to_gray = lightness_tables()
    with np.load(golden / "opencv" / "arrays.npz") as arrays:
        cases = sorted(key.removesuffix("_in") for key in arrays if key.startswith("clahe") and key.endswith("_in"))
        for case in cases:
            (clip, grid), source = arrays[f"{case}_cfg_clip_grid"], torch.from_numpy(arrays[f"{case}_in"])[None]
            limit = torch.tensor([clip], dtype=torch.float64)
            assert np.array_equal(equalized(source, limit, int(grid))[0].numpy(), arrays[f"{case}_gray"])
            colored = looked_up(equalized(looked_up(source, to_lightness), limit, int(grid)), to_gray)[0].numpy()
            # Back from L*a*b*, OpenCV's three channels of one gray pixel differ by a level themselves.
            assert np.abs(colored.astype(int) - arrays[f"{case}_rgb"]).max() <= 1
        assert np.array_equal(to_lightness.numpy(), arrays["lightness_of_gray"])
    assert cases


def test_a_jittered_picture_is_the_same_on_a_larger_canvas() -> None:
    alone = Pictures.stack([FILMS[0]])
    small = jittered(alone.pixels, np.array([1.0]), np.array([1.3]), np.array([True]), *alone.sizes.numpy().T)
    wide = Pictures.stack([FILMS[0]], canvas_px=300)
    large = jittered(wide.pixels, np.array([1.0]), np.array([1.3]), np.array([True]), *wide.sizes.numpy().T)
    assert torch.equal(small, large[:, :40, :40])
    assert not large[:, 40:].any()


def test_erasing_paints_one_rectangle_and_nothing_else() -> None:
    pictures = Pictures.stack([np.full((50, 50), 7, np.uint8)] * 20)
    erased = augment(pictures, (RandomErasing(p=1, level=200),), 50, torch.Generator().manual_seed(0)) == 200
    for where in erased:
        rows, columns = where.any(1), where.any(0)
        assert torch.equal(where, rows[:, None] & columns)
        assert 0.015 < where.float().mean() < 0.35
        assert all(bool(flags.int().diff().abs().sum() <= 2) for flags in (rows, columns))


def test_steps_of_color_leave_gray_pictures_alone() -> None:
    pictures = Pictures.stack([FILMS[2]])
    steps = (Grayscale(1.0), Jitter(saturation=0.9, hue=0.5))
    assert torch.equal(augment(pictures, steps, 44, torch.Generator())[0], pictures.pixels[0])


def test_clahe_of_pictures_of_different_sizes_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="Put a crop to the side before it"):
        Clahe(p=1).apply(Draft(PICTURES), 40, torch.Generator())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Jitter(brightness=-1), "Jitter: brightness is -1; expected 0 or more"),
        (lambda: GaussianBlur(sigma=(2, 1)), r"sigma is \(2, 1\); expected \(least, most\), above 0"),
        (lambda: Clahe(p=1.5), "p is 1.5; expected 0 to 1"),
        (lambda: RandomErasing(level=300), "level is 300"),
    ],
)
def test_a_setting_out_of_range_is_refused(make: object, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()
