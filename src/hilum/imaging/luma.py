"""Color to gray."""

from __future__ import annotations

import numpy as np


def rgb_to_gray(rgb: np.ndarray) -> np.ndarray:
    """The common channel where all three are equal, else luma (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B).

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W) uint8.
    """
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red)
    # 16-bit fixed point, as Pillow and libjpeg do: exact and equal on every machine.
    luma = (
        red.astype(np.uint32) * 19595 + green.astype(np.uint32) * 38470 + blue.astype(np.uint32) * 7471 + 0x8000
    ) >> 16
    return luma.astype(np.uint8)
