"""Sets of rows in the form in which Lance takes them: only these may be found.

A set is a count of fragments and, for each, its number, the size of a bitmap and the bitmap of the rows' offsets, in Roaring's
portable format (https://github.com/RoaringBitmap/RoaringFormatSpec). All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

NO_RUNS = 12346  # the cookie of a bitmap without run containers
CONTAINER = 1 << 16  # offsets that share their upper 16 bits are in one container
MOST_IN_A_LIST = 4096  # a container with more offsets is a bitmap of 8 KiB


def row_set(offsets: Mapping[int, np.ndarray]) -> bytes:
    """The set of these rows.

    Args:
        offsets: fragment -> the offsets of rows within it, ascending, each once.

    Example:
        >>> row_set({0: np.array([1, 5])}).hex(" ", 4)
        '01000000 00000000 14000000 3a300000 01000000 00000100 10000000 01000500'
    """
    named = {fragment: bitmap(rows) for fragment, rows in offsets.items() if len(rows)}
    parts = [struct.pack("<I", len(named))]
    parts += [struct.pack("<II", fragment, len(bits)) + bits for fragment, bits in sorted(named.items())]
    return b"".join(parts)


def bitmap(offsets: np.ndarray) -> bytes:
    """Ascending numbers below 2**32 as a Roaring bitmap."""
    keys, starts = np.unique(offsets // CONTAINER, return_index=True)
    containers = [_container(part % CONTAINER) for part in np.split(offsets, starts[1:])]
    counts = np.diff([*starts, len(offsets)])
    about = b"".join(
        struct.pack("<HH", key, count - 1) for key, count in zip(keys.tolist(), counts.tolist(), strict=True)
    )
    header = struct.pack("<II", NO_RUNS, len(keys)) + about
    places, at = [], len(header) + 4 * len(keys)
    for container in containers:
        places.append(struct.pack("<I", at))
        at += len(container)
    return header + b"".join(places) + b"".join(containers)


def _container(low: np.ndarray) -> bytes:
    if len(low) <= MOST_IN_A_LIST:
        return low.astype("<u2").tobytes()
    bits = np.zeros(CONTAINER, np.uint8)
    bits[low] = 1
    return np.packbits(bits, bitorder="little").tobytes()
