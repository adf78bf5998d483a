"""Random boxes of random area and aspect, for a whole batch at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hilum.imaging.augment.step import uniform, whole_below

_TRIES = 10


def random_boxes(
    heights: Tensor,
    widths: Tensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
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
    fall_width = torch.where(aspect > widest, (heights * widest).round().to(torch.int64), widths)
    fall_height = torch.where(aspect < narrowest, (widths / narrowest).round().to(torch.int64), heights)
    height, width = torch.where(found, height, fall_height), torch.where(found, width, fall_width)
    spare = torch.stack([heights - height, widths - width], 1)  # (N, 2)
    start = torch.where(found[:, None], whole_below(spare + 1, generator), spare // 2)
    return start[:, 0], start[:, 1], height, width


def draw_sizes(
    heights: Tensor,
    widths: Tensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Sides of ten boxes a picture, whether they fit or not; `ratio` is that of the second to the first: (N, 10) int64 each."""
    count = len(heights)
    area = (heights * widths)[:, None] * uniform(count, *scale, generator, columns=_TRIES)
    aspect = uniform(count, math.log(ratio[0]), math.log(ratio[1]), generator, columns=_TRIES).exp()
    return (area / aspect).sqrt().round().to(torch.int64), (area * aspect).sqrt().round().to(torch.int64)


def first_of(fits: Tensor, *tried: Tensor) -> tuple[Tensor, ...]:
    """Whether any try fits (N,), and of each of `tried` (N, tries) the first that does (N,)."""
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    return fits.any(1), *(one.gather(1, first).squeeze(1) for one in tried)
