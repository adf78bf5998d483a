"""Examples of several archives as one set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from hilum.methods.batch import Batch
from hilum.methods.method import Examples, Method, Share


class Mixture:
    """The examples of one split of several archives, one after another.

    Args:
        parts: what a method collected from each archive.
        shares: the archives, in the same order.
    """

    def __init__(self, parts: Sequence[Examples], shares: Sequence[Share]) -> None:
        self.parts, self.shares = list(parts), list(shares)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    @classmethod
    def collect(cls, method: Method, shares: Sequence[Share], split: str, most: int | None = None) -> Mixture:
        """What a method finds in a split of each archive.

        Args:
            method: the method.
            shares: the archives.
            split: train, val or test.
            most: no more than this many in all, spread evenly over the archives.
        """
        each = None if most is None else max(1, most // len(shares))
        return cls([method.collect(share, split, each) for share in shares], shares)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def counts(self) -> dict[str, int]:
        """What was found and left out, over all archives."""
        total: dict[str, int] = {}
        for part in self.parts:
            for name, count in part.counts.items():
                total[name] = total.get(name, 0) + count
        return total

    @property
    def image_ids(self) -> list[str]:
        """An image id for each example."""
        return [image_id for part in self.parts for image_id in part.image_ids]

    def ids_at(self, picks: np.ndarray) -> list[str]:
        """The image ids of some examples."""
        return [
            self.parts[a].image_ids[i - self._starts[a]] for i, a in zip(picks, self._archive_of(picks), strict=True)
        ]

    def digest(self) -> str:
        """16 hex digits that change when the examples do."""
        if len(self.parts) == 1:
            return self.parts[0].digest()
        return hashlib.sha256(" ".join(part.digest() for part in self.parts).encode()).hexdigest()[:16]

    def read(self, method: Method, picks: np.ndarray, rng: np.random.Generator | None) -> Batch:
        """The examples at `picks` as one batch, in their order."""
        if len(self.parts) == 1:
            return method.read(self.parts[0], picks, rng)
        archive = self._archive_of(picks)
        places = [np.flatnonzero(archive == a) for a in range(len(self.parts))]
        batches = [
            method.read(part, picks[place] - self._starts[a], rng)
            for a, (part, place) in enumerate(zip(self.parts, places, strict=True))
            if len(place)
        ]
        joined = type(batches[0]).join(batches)
        return joined.take(torch.from_numpy(np.argsort(np.concatenate(places), kind="stable")))

    def _archive_of(self, picks: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._starts, picks, side="right") - 1
