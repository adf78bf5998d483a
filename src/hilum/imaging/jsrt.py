"""Raw files of the JSRT database (Shiraishi et al. 2000): 2048 x 2048, 12 bit in big-endian words, dense is low."""

from __future__ import annotations

import numpy as np

JSRT_SIDE_PX = 2048
JSRT_TOP = 4095
JSRT_SPACING_MM = 0.175


def is_jsrt(content: bytes) -> bool:
    """Whether bytes have the size of a JSRT file, no value needs more than 12 bits, and they are not all one value."""
    if len(content) != 2 * JSRT_SIDE_PX**2:
        return False
    values = np.frombuffer(content, ">u2")
    # One value throughout is a file whose space was reserved but never written.
    return bool(values.max() <= JSRT_TOP and values.max() > values.min())


def read_jsrt(content: bytes) -> np.ndarray:
    """(2048, 2048) uint8, inverted so that dense is white: 255 * (4095 - v) / 4095, rounded."""
    inverted = JSRT_TOP - np.frombuffer(content, ">u2").astype(np.uint32)
    return ((inverted * 255 + JSRT_TOP // 2) // JSRT_TOP).astype(np.uint8).reshape(JSRT_SIDE_PX, JSRT_SIDE_PX)
