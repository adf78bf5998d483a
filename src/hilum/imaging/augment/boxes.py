"""Random boxes of random area and aspect, for a whole batch at once."""

from __future__ import annotations

import math

import numpy as np
import torch

from hilum.imaging.augment.step import uniform, whole_below

_TRIES = 10


def random_boxes(
    heights: np.ndarray,
    widths: np.ndarray,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Boxes as torchvision's `RandomResizedCrop.get_params` draws them.

    Ten boxes are tried, and the first that fits is taken; where none fits, the largest central one whose aspect is allowed.

    Args:
        heights: (N,) int64.
        widths: (N,) int64.
        scale: share of the area.
        ratio: width / height.
        generator: on the CPU.

    Returns:
        top, left, height, width: (N,) int64 each.
    """
    tall, wide = draw_sizes(heights, widths, scale, ratio, generator)
    fits = (wide > 0) & (tall > 0) & (wide <= widths[:, None]) & (tall <= heights[:, None])  # (N, tries)
    found, height, width = first_of(fits, tall, wide)

    aspect = widths / heights
    narrowest, widest = ratio
    fall_width = np.where(aspect > widest, np.rint(heights * widest).astype(np.int64), widths)
    fall_height = np.where(aspect < narrowest, np.rint(widths / narrowest).astype(np.int64), heights)
    height, width = np.where(found, height, fall_height), np.where(found, width, fall_width)
    spare = np.stack([heights - height, widths - width], 1)  # (N, 2)
    start = np.where(found[:, None], whole_below(spare + 1, generator), spare // 2)
    return start[:, 0], start[:, 1], height, width


def draw_sizes(
    heights: np.ndarray,
    widths: np.ndarray,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Sides of ten boxes a picture, whether they fit or not; `ratio` is that of the second to the first: (N, 10) int64 each."""
    count = len(heights)
    area = (heights * widths)[:, None] * uniform(count, *scale, generator, columns=_TRIES)
    aspect = np.exp(uniform(count, math.log(ratio[0]), math.log(ratio[1]), generator, columns=_TRIES))
    return np.rint(np.sqrt(area / aspect)).astype(np.int64), np.rint(np.sqrt(area * aspect)).astype(np.int64)


def first_of(fits: np.ndarray, *tried: np.ndarray) -> tuple[np.ndarray, ...]:
    """Whether any try fits (N,), and of each of `tried` (N, tries) the first that does (N,)."""
    first = fits.argmax(1)
    each = np.arange(len(fits))
    return fits.any(1), *(one[each, first] for one in tried)
