"""Gaussian blur, in the two ways that papers use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hilum.imaging.augment.draft import Draft
from hilum.imaging.augment.resampling import parts, taps_last, to_bytes, weighted_rows
from hilum.imaging.augment.step import Step, occurs, uniform

_BOXES = 3  # Pillow's Gaussian is three box blurs


@dataclass(frozen=True)
class GaussianBlur(Step):
    """Blurred with a random width.

    Attributes:
        sigma: standard deviation in pixels, least and most (Pillow calls it radius).
        p: probability; the others stay sharp.
        flavor: "pillow" is `ImageFilter.GaussianBlur` (three box blurs, borders repeated), which MoCo v2 and those after it
            use; "torchvision" is its `GaussianBlur` (sampled kernel of `kernel_px`, borders mirrored).
        kernel_px: odd width of torchvision's kernel.
    """

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 1.0
    flavor: Literal["pillow", "torchvision"] = "pillow"
    kernel_px: int = 23

    def __post_init__(self) -> None:
        self._need_range("sigma")
        self._need_share()
        self._need(self.flavor in ("pillow", "torchvision"), "flavor", "'pillow' or 'torchvision'")
        self._need(self.kernel_px > 0 and self.kernel_px % 2 == 1, "kernel_px", "an odd number")

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        sigma = uniform(len(draft), *self.sigma, generator)
        chosen = occurs(len(draft), self.p, generator).nonzero()[0]
        if not len(chosen):
            return
        some, heights, widths = draft.some(chosen), draft.heights[chosen], draft.widths[chosen]
        if self.flavor == "pillow":
            blurred = pillow_blur(some, sigma[chosen], heights, widths)
        else:
            blurred = torchvision_blur(some, sigma[chosen], heights, widths, self.kernel_px)
        draft.replace_some(chosen, blurred)


def pillow_blur(pixels: Tensor, sigma: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> Tensor:
    """Pictures as `PIL.ImageFilter.GaussianBlur(sigma)` blurs them (BoxBlur.c), each with its own width.

    Args:
        pixels: (N, H, W) uint8, zero outside the pictures.
        sigma: (N,) float64 above zero.
        heights: (N,) int64.
        widths: (N,) int64.
    """
    variance = sigma**2 / _BOXES
    whole = np.floor((np.sqrt(12 * variance + 1) - 1) / 2)  # radius of the largest box that is not too wide
    share = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    reach = int(whole.max()) + 1
    offsets = np.arange(-reach, reach + 1)
    kernel = np.clip((whole + 1 + share)[:, None] - np.abs(offsets), 0, 1)  # 1 within, `share` at both ends
    kernel = kernel / kernel.sum(1, keepdims=True)
    return _along_both(pixels, kernel, offsets, heights, widths, turns=_BOXES, mirrors=False)


def torchvision_blur(
    pixels: Tensor, sigma: np.ndarray, heights: np.ndarray, widths: np.ndarray, kernel_px: int
) -> Tensor:
    """Pictures as torchvision's `gaussian_blur(kernel_px, sigma)` blurs them; arguments as of `pillow_blur`."""
    offsets = np.arange(kernel_px) - kernel_px // 2
    kernel = np.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdims=True)
    return _along_both(pixels, kernel, offsets, heights, widths, turns=1, mirrors=True)


def _along_both(
    pixels: Tensor,
    kernel: np.ndarray,
    offsets: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
    turns: int,
    mirrors: bool,
) -> Tensor:
    """Convolve with a kernel (N, K) along the width and then the height, `turns` times each."""
    rows, row_weights = _neighbors(pixels.shape[1], kernel, offsets, heights, mirrors)
    columns, column_weights = _neighbors(pixels.shape[2], kernel, offsets, widths, mirrors)
    out = torch.zeros_like(pixels)
    for part in parts(len(pixels), pixels[0].numel(), pixels.device):
        high, wide = int(heights[part].max()), int(widths[part].max())
        images = pixels[part, :high, :wide].to(torch.float32).transpose(1, 2).contiguous()
        images = _convolve(images, columns[part, :wide], column_weights[part, :wide], turns)
        images = images.transpose(1, 2).contiguous()
        images = _convolve(images, rows[part, :high], row_weights[part, :high], turns)
        out[part, :high, :wide] = to_bytes(images if turns > 1 else images.round_())
    return out


def _convolve(images: Tensor, picks: Tensor, weights: Tensor, turns: int) -> Tensor:
    for _ in range(turns):
        images = weighted_rows(images, picks, weights)
        if turns > 1:  # Pillow keeps whole levels between its boxes
            images.add_(0.5).floor_()
    return images


def _neighbors(
    length: int, kernel: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, mirrors: bool
) -> tuple[Tensor, Tensor]:
    """Rows that each row is made of, and their weights: (N, length, K) int32 and float32."""
    places = np.arange(length) + offsets[:, None, None]  # (K, 1, length), as in `taps`
    last = (sizes - 1)[:, None]
    if mirrors:
        places = np.maximum(last - np.abs(last - np.abs(places)), 0)
    is_there = np.arange(length) <= last
    return taps_last(np.minimum(np.maximum(places, 0), last), kernel.T[:, :, None] * is_there)
