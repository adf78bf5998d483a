"""Resize a batch of boxes of different sizes at once: two passes of a few weighted pixels each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.imaging.augment.axis import Axis

Filter = Literal["triangle", "linear", "area"]
FILTERS: tuple[str, ...] = get_args(Filter)
_CPU_PART_PX = 1 << 19  # 2 MB of floats: far above, a CPU's caches and its memory allocator fall behind


def resample(pixels: Tensor, rows: Axis, columns: Axis, filter: Filter) -> Tensor:
    """Pictures with what is pending along both axes done.

    Args:
        pixels: (N, H, W) uint8.
        rows: what to do along the height.
        columns: what to do along the width.
        filter: "triangle" is Pillow's bilinear, which widens when it shrinks (antialias); "linear" is OpenCV's, which does
            not; "area" is OpenCV's mean over the area. No filter reads beyond the box: the border is the crop's, as where
            a crop is made first and resized afterwards.

    Returns:
        (N, H', W') uint8 with the longest lengths of the axes, zero outside each picture.
    """
    row_picks, row_weights = taps(rows, filter)
    column_picks, column_weights = taps(columns, filter)
    shape = (len(pixels), row_picks.shape[1], column_picks.shape[1])
    out = torch.empty(shape, dtype=torch.uint8, device=pixels.device)
    height, width = pixels.shape[1:]
    room: Tensor | None = None
    for part in parts(len(pixels), max(pixels[0].numel(), shape[1] * shape[2]), pixels.device):
        count = part.stop - part.start
        if room is None:
            room = torch.zeros(count, height, _row_length(width, pixels.device), device=pixels.device)
        room[:count, :, :width] = pixels[part]
        lines = weighted_rows(room[:count], row_picks[part], row_weights[part])[:, :, :width]  # (n, H', W)
        turned = lines.transpose(1, 2).contiguous()
        done = weighted_rows(turned, column_picks[part], column_weights[part])  # (n, W', H')
        out[part] = to_bytes(done.add_(0.5)).transpose(1, 2)
    return out


def to_bytes(levels: Tensor) -> Tensor:
    """Floats from 0 to just below 256 cut down to bytes."""
    # By way of 16 bits: PyTorch's own way from floats to bytes takes six times as long on CPUs.
    return levels.to(torch.int16).to(torch.uint8) if levels.device.type == "cpu" else levels.to(torch.uint8)


def _row_length(width: int, device: torch.device) -> int:
    """Floats to keep for a row of `width`."""
    # Rows whose starts lie a multiple of 128 bytes apart share few sets of a CPU's cache: reading columns takes twice as long.
    return width + 16 if device.type == "cpu" and width % 32 == 0 else width


def weighted_rows(images: Tensor, picks: Tensor, weights: Tensor) -> Tensor:
    """Rows as weighted sums of a few rows, other ones for each image.

    Args:
        images: (N, H, W) float32.
        picks: (N, L, K) int32, numbers of rows.
        weights: (N, L, K) float32.

    Returns:
        (N, L, W) float32.
    """
    count, height, width = images.shape
    length, taps_each = picks.shape[1:]
    starts = torch.arange(count, dtype=torch.int32).view(-1, 1, 1) * height
    places = (picks + starts).view(-1, taps_each).to(images.device)
    # An embedding bag is just this sum, and reads whole rows: on CPUs several times as fast as products with dense matrices.
    sums = F.embedding_bag(
        places,
        images.reshape(count * height, width),
        per_sample_weights=weights.reshape(-1, taps_each).to(images.device),
        mode="sum",
    )
    return sums.view(count, length, width)


def taps(axis: Axis, filter: Filter) -> tuple[Tensor, Tensor]:
    """Which pixels make each pixel that comes out, and their weights: (N, L, K) int32 and float32, on the CPU."""
    # Here taps come first, (K, N, L): inner loops are then as long as a row, not as a few taps.
    number, is_there = axis.numbers()  # (N, L)
    low, high = axis.low[:, None], axis.high[:, None]
    scale = ((axis.high - axis.low) / axis.scaled)[:, None]
    if filter == "triangle":
        picks, weights = _triangle(number, low, high, scale)
    elif filter == "linear":
        picks, weights = _linear(number, low, high, scale)
    else:
        picks, weights = _area(number, low, scale)
    if axis.reaches_outside or filter == "area" or not is_there.all():
        # A padded box reaches over pixels that do not exist: they are zeros, and count in the mean.
        exists = (picks >= 0) & (picks < axis.extent[:, None]) & is_there
        picks, weights = picks * exists, weights * exists
    return taps_last(picks, weights)


def taps_last(picks: np.ndarray, weights: np.ndarray) -> tuple[Tensor, Tensor]:
    """(K, N, L) as (N, L, K) int32 and float32."""
    return _first_axis_last(picks.astype(np.int32)), _first_axis_last(weights.astype(np.float32))


def _first_axis_last(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.transpose(1, 2, 0)))


def _triangle(
    number: np.ndarray, low: np.ndarray, high: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # Pillow, ImagingResample: center, support and limits of a pixel's filter.
    support = np.maximum(scale, 1)
    center = low + (number + 0.5) * scale
    begin = np.maximum(np.floor(center - support + 0.5), low)
    end = np.minimum(np.floor(center + support + 0.5), high)
    picks = begin + _count(int((end - begin).max()))
    weights = np.maximum(1 - np.abs((picks + (0.5 - center)) / support), 0) * (picks < end)
    return np.minimum(picks, high - 1), weights / np.maximum(weights.sum(0), 1e-12)


def _linear(number: np.ndarray, low: np.ndarray, high: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    position = np.maximum((number + 0.5) * scale - 0.5, 0) + low
    begin = np.minimum(np.floor(position), high - 1)
    share = np.where(begin < high - 1, position - begin, 0)
    return np.minimum(begin + _count(2), high - 1), np.stack([1 - share, share])


def _area(number: np.ndarray, low: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    begin, end = number * scale, (number + 1) * scale
    picks = np.floor(begin) + _count(int(np.ceil(scale.max())) + 1)
    covered = np.maximum(np.minimum(end, picks + 1) - np.maximum(begin, picks), 0)
    return picks + low, covered / scale


def _count(taps_each: int) -> np.ndarray:
    return np.arange(taps_each)[:, None, None]


def parts(count: int, pixels_each: int, device: torch.device) -> Iterator[slice]:
    """Slices of a batch of `count` pictures, small enough for a CPU's caches; on other devices the whole batch."""
    each = max(1, _CPU_PART_PX // max(pixels_each, 1)) if device.type == "cpu" else max(count, 1)
    for start in range(0, count, each):
        yield slice(start, min(start + each, count))
