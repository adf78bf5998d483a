"""Which examples each step sees: a function of the seed and the step alone, so that a run can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hilum.errors import TrainingError


@dataclass(frozen=True)
class Plan:
    """Shuffled passes over the examples of one or several archives; a pass's incomplete last batch is left out.

    A weight of 2 passes twice over an archive in each epoch, one of 0.5 over another half of it in every other epoch.

    Attributes:
        counts: examples of each archive; their positions follow one another.
        weights: passes over each archive in an epoch.
        batch_size: examples in a step, over all processes.
        steps: how many steps the run has.
        seed: of the shuffles.
    """

    counts: tuple[int, ...]
    weights: tuple[float, ...]
    batch_size: int
    steps: int
    seed: int
    _epoch: list[tuple[int, np.ndarray]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def of(
        cls, counts: int | Sequence[int], batch_size: int, epochs: float, seed: int, weights: Sequence[float] = ()
    ) -> Plan:
        """The plan of a run of `epochs` passes.

        Raises:
            TrainingError: a batch is larger than a pass.
        """
        counts = (counts,) if isinstance(counts, int) else tuple(counts)
        weights = tuple(weights) or (1.0,) * len(counts)
        size = sum(_share(count, weight) for count, weight in zip(counts, weights, strict=True))
        if size < batch_size:
            raise TrainingError(
                f"batch_size={batch_size} is larger than the {size} training examples. "
                f"Give --set batch_size={max(2, size // 4)} or more data."
            )
        return cls(counts, weights, batch_size, max(1, round(epochs * (size // batch_size))), seed)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass."""
        return sum(_share(c, w) for c, w in zip(self.counts, self.weights, strict=True)) // self.batch_size

    def picks(self, step: int) -> np.ndarray:
        """The examples of a step: (batch_size,) int64 positions."""
        epoch, within = divmod(step, self.steps_per_epoch)
        known = self._epoch[0] if self._epoch else None  # taken once: another thread may put its own epoch there
        if known is None or known[0] != epoch:
            known = (epoch, self._order(epoch))
            self._epoch[:] = [known]
        return known[1][within * self.batch_size : (within + 1) * self.batch_size]

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        if self.weights == (1.0,) * len(self.counts):
            return rng.permutation(sum(self.counts))
        drawn, start = [], 0
        for archive, (count, weight) in enumerate(zip(self.counts, self.weights, strict=True)):
            drawn.append(start + self._some(archive, count, _share(count, weight), epoch))
            start += count
        return rng.permutation(np.concatenate(drawn))

    def _some(self, archive: int, count: int, wanted: int, epoch: int) -> np.ndarray:
        """`wanted` examples of an archive: the next ones of an endless row of shuffled passes."""
        first = epoch * wanted
        passes = range(first // count, (first + wanted - 1) // count + 1)
        row = [np.random.default_rng([self.seed, archive, number, 2]).permutation(count) for number in passes]
        return np.concatenate(row)[first % count :][:wanted]


def _share(count: int, weight: float) -> int:
    return max(1, round(count * weight)) if count else 0


def step_rng(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """The generator of a step's own draws."""
    return np.random.default_rng([seed, step, rank, 1])
