"""Brightness and contrast, as Pillow changes them, in either order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hilum.imaging.augment.draft import Draft
from hilum.imaging.augment.resampling import parts, to_bytes
from hilum.imaging.augment.step import Step, occurs, uniform


@dataclass(frozen=True)
class Jitter(Step):
    """Random brightness and contrast, in random order (torchvision `ColorJitter`).

    Of torchvision's random order of four only that of brightness and contrast can be seen: saturation and hue leave gray
    pictures as they are. They are settings all the same, so that a plan reads like its paper.

    Attributes:
        brightness: factors from 1 - brightness (not below 0) to 1 + brightness.
        contrast: the same, about the picture's mean.
        saturation: nothing on gray pictures.
        hue: nothing on gray pictures.
        p: probability; the others stay as they are.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    p: float = 1.0

    def __post_init__(self) -> None:
        for field in ("brightness", "contrast", "saturation"):
            self._need(getattr(self, field) >= 0, field, "0 or more")
        self._need(0 <= self.hue <= 0.5, "hue", "0 to 0.5")
        self._need_share()

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        count = len(draft)
        brightness = uniform(count, max(0.0, 1 - self.brightness), 1 + self.brightness, generator)
        contrast = uniform(count, max(0.0, 1 - self.contrast), 1 + self.contrast, generator)
        brightness_first = occurs(count, 0.5, generator)
        chosen = occurs(count, self.p, generator).nonzero()[0]
        if not len(chosen):
            return
        some = draft.some(chosen)
        settings = (values[chosen] for values in (brightness, contrast, brightness_first, draft.heights, draft.widths))
        draft.replace_some(chosen, jittered(some, *settings))


def jittered(
    pixels: Tensor,
    brightness: np.ndarray,
    contrast: np.ndarray,
    brightness_first: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
) -> Tensor:
    """Pictures with brightness and contrast changed by given factors.

    Pillow's `ImageEnhance`: a blend with black, or with the mean (a whole number), cut down to whole levels after each.

    Args:
        pixels: (N, H, W) uint8, zero outside the pictures.
        brightness: (N,) factors; 1 changes nothing.
        contrast: (N,) factors.
        brightness_first: (N,) bool.
        heights: (N,) int64 of the pictures.
        widths: (N,) int64.

    Returns:
        (N, H, W) uint8.
    """
    device = pixels.device
    orders = ((brightness, contrast), (contrast, brightness))  # factors of the first and the second change
    factors = [_each(np.where(brightness_first, a, b).astype(np.float32), device) for a, b in orders]
    is_contrast = [_each(flag, device) for flag in (~brightness_first, brightness_first)]
    areas = _each((heights * widths).astype(np.float64), device)
    is_full = (heights * widths).min() == pixels[0].numel()
    rows, columns = (
        torch.from_numpy((np.arange(length) < lengths[:, None]).astype(np.float32)).to(device)
        for length, lengths in zip(pixels.shape[1:], (heights, widths), strict=True)
    )
    out = torch.zeros_like(pixels)
    for part in parts(len(pixels), pixels[0].numel(), device):
        high, wide = int(heights[part].max()), int(widths[part].max())
        changed = pixels[part, :high, :wide].to(torch.float32)
        for factor, about_mean in zip(factors, is_contrast, strict=True):
            # Sums of whole numbers: rows are exact in 32 bits, so that the mean does not depend on the canvas.
            total = changed.sum(2, keepdim=True).sum(1, keepdim=True, dtype=torch.float64)
            mean = (total / areas[part] + 0.5).floor().to(torch.float32) * about_mean[part]
            changed.sub_(mean).mul_(factor[part]).add_(mean).clamp_(0, 255).floor_()
        if not is_full:  # only contrast paints the outside, and no other mean is taken after it
            changed.mul_(rows[part, :high, None]).mul_(columns[part, None, :wide])
        out[part, :high, :wide] = to_bytes(changed)
    return out


def _each(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values).view(-1, 1, 1).to(device)


@dataclass(frozen=True)
class Grayscale(Step):
    """Colors away with probability p: nothing on gray pictures. It is there so that a plan reads like its paper."""

    p: float = 0.2

    def __post_init__(self) -> None:
        self._need_share()

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        """Nothing: the pictures are gray."""
