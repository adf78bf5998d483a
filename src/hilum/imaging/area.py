"""Resizing by area as OpenCV's INTER_AREA does it, to the byte, without OpenCV."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hilum.errors import UsageError

_BITS = 11  # of the fixed-point weights OpenCV enlarges bytes with


def resize_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize so that each new pixel is the mean of the area it covers.

    Where a side grows, OpenCV takes its own kind of linear interpolation instead; so does this.

    Args:
        image: (H, W) uint8.
        size: (height, width) wanted.

    Returns:
        (height, width) uint8; `image` itself where the size is the same.

    Raises:
        UsageError: `image` is not (H, W) uint8, or a side is below 1.

    Example:
        >>> resize_area(np.array([[0, 100], [100, 200]], np.uint8), (1, 1))
        array([[100]], dtype=uint8)
    """
    if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0:
        raise UsageError(f"resize_area: pixels are {image.shape} {image.dtype}; expected non-empty (H, W) uint8.")
    if min(size) < 1:
        raise UsageError(f"resize_area: size is {size}; expected 1 or more on each side.")
    height, width = image.shape
    if (height, width) == size:
        return image
    if size[0] > height or size[1] > width:
        return _linear(image, size)
    down, across = height / size[0], width / size[1]
    if down == round(down) and across == round(across):
        return _whole_cells(image, round(down), round(across))
    return _shared_cells(image, size)


def _whole_cells(image: np.ndarray, down: int, across: int) -> np.ndarray:
    height, width = image.shape[0] // down, image.shape[1] // across
    sums = image.reshape(height, down, width, across).sum(axis=(1, 3), dtype=np.int64)
    if down == across == 2:
        return ((sums + 2) >> 2).astype(np.uint8)  # halves up here, to even below: as OpenCV
    return np.rint(sums.astype(np.float32) * np.float32(1 / (down * across))).astype(np.uint8)


def _shared_cells(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Rows, then columns, tap by tap in single precision and in OpenCV's order, so that ties round as there."""
    gray = image.astype(np.float32)
    starts, weights = _area_taps(image.shape[1], size[1])
    rows = np.zeros((image.shape[0], size[1]), np.float32)
    for tap in range(weights.shape[1]):
        rows += gray[:, np.minimum(starts + tap, image.shape[1] - 1)] * weights[:, tap]
    starts, weights = _area_taps(image.shape[0], size[0])
    out = np.zeros(size, np.float32)
    for tap in range(weights.shape[1]):
        out += rows[np.minimum(starts + tap, image.shape[0] - 1)] * weights[:, tap, None]
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


@lru_cache(maxsize=512)
def _area_taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """For each new pixel: the first old one it covers (target,), and the shares of it and those after (target, taps)."""
    scale = 1 / (target / source)  # as OpenCV computes it, to the last bit
    starts = np.zeros(target, np.int64)
    weights = np.zeros((target, math.ceil(scale) + 2), np.float32)
    for index in range(target):
        begin, end = index * scale, index * scale + scale
        cell = min(scale, source - begin)
        last = min(math.floor(end), source - 1)
        first = min(math.ceil(begin), last)
        shares = [1 / cell] * (last - first)
        if first - begin > 1e-3:  # a thinner sliver counts as nothing
            shares.insert(0, (first - begin) / cell)
            first -= 1
        if end - last > 1e-3:
            shares.append(min(end - last, 1.0, cell) / cell)
        starts[index] = first
        weights[index, : len(shares)] = shares
    return starts, weights


def _linear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Two taps a side in fixed point, with the weights that OpenCV gives to 'area' when it enlarges."""
    left, across = _linear_taps(image.shape[1], size[1])
    top, down = _linear_taps(image.shape[0], size[0])
    gray = image.astype(np.int64)
    right = np.minimum(left + 1, image.shape[1] - 1)
    rows = gray[:, left] * across[:, 0] + gray[:, right] * across[:, 1]
    below = np.minimum(top + 1, image.shape[0] - 1)
    upper, lower = ((rows[pick] >> 4) * down[:, k, None] >> 16 for k, pick in ((0, top), (1, below)))
    return np.clip((upper + lower + 2) >> 2, 0, 255).astype(np.uint8)


@lru_cache(maxsize=512)
def _linear_taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    inverse = target / source
    scale = 1 / inverse  # not source / target: the last bit decides where a pixel starts, here and in OpenCV
    starts = np.zeros(target, np.int64)
    weights = np.zeros((target, 2), np.int64)
    for index in range(target):
        start = math.floor(index * scale)
        share = np.float32((index + 1) - (start + 1) * inverse)
        share = np.float32(0) if share <= 0 else share - np.floor(share)
        if start >= source - 1:
            start, share = source - 1, np.float32(0)
        starts[index] = start
        weights[index] = np.rint(np.array([np.float32(1) - share, share]) * np.float32(1 << _BITS))
    return starts, weights
