"""Smaller pictures, aspect kept."""

from __future__ import annotations

import numpy as np
from PIL import Image

from hilum.errors import UsageError


def resize_longer_side(pixels: np.ndarray, side_px: int, *, upsample: bool = False) -> np.ndarray:
    """Shrink a picture until its longer side is `side_px`, with the aspect kept.

    The shorter side is `shorter * side_px / longer`, rounded to nearest (halves up), at least 1. Filtered with Pillow's
    Lanczos, which widens its support when shrinking, so that fine texture is averaged and not aliased.

    Args:
        pixels: (H, W) uint8.
        side_px: the longer side wanted, in pixels.
        upsample: enlarge smaller pictures too; otherwise they are returned as they are.

    Returns:
        (H', W') uint8; `pixels` itself where nothing has to change.

    Raises:
        UsageError: `pixels` is not (H, W) uint8, or `side_px` is below 1.

    Example:
        >>> resize_longer_side(np.zeros((300, 200), np.uint8), 150).shape
        (150, 100)
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise UsageError(
            f"resize_longer_side: pixels are {pixels.shape} {pixels.dtype}; expected non-empty (H, W) uint8."
        )
    if side_px < 1:
        raise UsageError(f"resize_longer_side: side_px is {side_px}; expected 1 or more.")
    height, width = pixels.shape
    longer = max(height, width)
    if longer == side_px or (longer < side_px and not upsample):
        return pixels
    size = (_scaled(width, side_px, longer), _scaled(height, side_px, longer))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _scaled(length: int, side_px: int, longer: int) -> int:
    return max(1, (2 * length * side_px + longer) // (2 * longer))  # integers: the same size on every machine
