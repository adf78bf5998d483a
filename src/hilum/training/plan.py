"""Which examples each step sees: a function of the seed and the step alone, so that a run can stop and go on anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hilum.errors import TrainingError


@dataclass(frozen=True)
class Plan:
    """Shuffled passes over `count` examples in batches of `batch_size`; a pass's incomplete last batch is left out.

    Attributes:
        count: how many examples there are.
        batch_size: examples in a step, over all processes.
        steps: how many steps the run has.
        seed: of the shuffles.
    """

    count: int
    batch_size: int
    steps: int
    seed: int

    @classmethod
    def of(cls, count: int, batch_size: int, epochs: float, seed: int) -> Plan:
        """The plan of a run of `epochs` passes.

        Raises:
            TrainingError: a batch is larger than the set.
        """
        if count < batch_size:
            raise TrainingError(
                f"batch_size={batch_size} is larger than the {count} training examples. "
                f"Give --set batch_size={max(2, count // 4)} or more data."
            )
        return cls(count, batch_size, max(1, round(epochs * (count // batch_size))), seed)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass."""
        return self.count // self.batch_size

    def picks(self, step: int) -> np.ndarray:
        """The examples of a step: (batch_size,) int64 positions."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return order[within * self.batch_size : (within + 1) * self.batch_size]


def step_rng(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """The generator of a step's own draws."""
    return np.random.default_rng([seed, step, rank, 1])


def schedule(step: int, steps: int, kind: str, warmup: float) -> float:
    """The factor on the learning rate at a step: linear warm-up, then constant or a cosine to zero.

    Example:
        >>> [round(schedule(s, 10, "cosine", 0.2), 2) for s in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    warm = int(warmup * steps)
    if step < warm:
        return (step + 1) / warm
    if kind == "constant":
        return 1.0
    return float(0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm))))
