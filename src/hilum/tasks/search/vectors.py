"""Exact nearest neighbors by cosine, in memory."""

from __future__ import annotations

from typing import Protocol

import numpy as np

FEW = 0.25  # share of the vectors; fewer are copied out before they are compared


class Vectors(Protocol):
    """Unit vectors that can be searched; also an archive's `VectorTable`, through its index."""

    def __len__(self) -> int:
        """N."""

    def vector(self, place: int) -> np.ndarray:
        """(D,) one of the unit vectors."""

    def nearest(self, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Places and cosines of the k nearest of those allowed."""


class ExactVectors:
    """Unit vectors, each compared with the query.

    Args:
        units: (N, D) float32 unit rows; a zero row has the cosine 0 with everything.

    Example:
        >>> places, cosines = ExactVectors(np.eye(3, dtype=np.float32)).nearest(np.array([0.6, 0.8, 0], np.float32), 2)
        >>> places.tolist(), cosines.tolist() == [np.float32(0.8), np.float32(0.6)]
        ([1, 0], True)
    """

    def __init__(self, units: np.ndarray) -> None:
        self.units = units

    def __len__(self) -> int:
        return len(self.units)

    def vector(self, place: int) -> np.ndarray:
        """(D,) one of the unit vectors."""
        return self.units[place]

    def nearest(self, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest to a query, nearest first; of equally near ones the earlier first.

        Args:
            query: (D,) float32 unit vector.
            k: how many; fewer come back where fewer are allowed.
            allowed: (N,) bool; default all.

        Returns:
            places (k,) int64 and cosines (k,) float32.
        """
        query = np.asarray(query, np.float32)  # of another type, all units would be converted first
        if allowed is None:
            return best(self.units @ query, k)
        places = np.flatnonzero(allowed)
        near = self.units[places] if len(places) < FEW * len(self.units) else self.units
        cosines = near @ query
        within, cosines = best(cosines if len(near) == len(places) else cosines[places], k)
        return places[within], cosines


def best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the k largest scores, largest first, ties in their order; and the scores.

    Example:
        >>> best(np.array([0.1, 0.5, 0.5, 0.3]), 3)[0].tolist()
        [1, 2, 3]
    """
    k = min(k, len(scores))
    if k <= 0:
        return np.zeros(0, np.int64), scores[:0]
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > least)
    level = np.flatnonzero(scores == least)[: k - len(above)]  # in order, so that ties do not depend on the partition
    places = np.concatenate([above, level])
    places = places[np.lexsort((places, -scores[places]))]
    return places, scores[places]
