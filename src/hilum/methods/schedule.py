"""The factor on the learning rate: a function of where a run is, so that a run can go on from anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a run is.

    Attributes:
        step: from 0.
        steps: how many the run has.
        per_epoch: steps in one pass over the examples.
        losses: validation losses so far, oldest first.
    """

    step: int
    steps: int
    per_epoch: int = 1
    losses: Sequence[float] = ()

    @property
    def epoch(self) -> int:
        """Finished passes."""
        return self.step // self.per_epoch


def warm_up(step: int, warm: int) -> float | None:
    """Linear from 1 / warm to 1 over the first `warm` steps; None afterwards."""
    return (step + 1) / warm if step < warm else None


def cosine(place: Place, warm: int = 0) -> float:
    """Half a cosine from 1 to 0 after the warm-up.

    Example:
        >>> [round(cosine(Place(s, 10), 2), 2) for s in (2, 6, 9)]
        [1.0, 0.5, 0.04]
    """
    return 0.5 * (1 + math.cos(math.pi * (place.step - warm) / max(1, place.steps - warm)))


def cosine_squared(place: Place, warm: int) -> float:
    """From 0 linearly to 1 over `warm` steps, then cos^2 to 0 (CXR-CLIP, REFERS: warm-up starts at 0).

    Example:
        >>> [round(cosine_squared(Place(s, 12), 2), 2) for s in (0, 1, 2, 7, 12)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if place.step < warm:
        return place.step / max(1, warm)
    return math.cos(0.5 * math.pi * (place.step - warm) / max(1, place.steps - warm)) ** 2


def linear(place: Place, warm: int) -> float:
    """From 0 linearly to 1 over `warm` steps, then linearly to 0 (an option of REFERS).

    Example:
        >>> [linear(Place(s, 12), 2) for s in (0, 1, 2, 7, 12)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if place.step < warm:
        return place.step / warm
    return max(0.0, (place.steps - place.step) / max(1, place.steps - warm))


def milestones(epoch: int, at: Sequence[int], factor: float = 0.1) -> float:
    """`factor` once for each milestone passed.

    Example:
        >>> milestones(12, (12, 18)), milestones(11, (12, 18))
        (0.1, 1.0)
    """
    return factor ** sum(epoch >= milestone for milestone in at)


def plateau(losses: Sequence[float], factor: float = 0.5, patience: int = 5, threshold: float = 1e-4) -> float:
    """The factor that PyTorch's ReduceLROnPlateau(mode="min", threshold_mode="rel") would have reached after these losses.

    Example:
        >>> plateau([1.0, 0.9, 0.9, 0.9], patience=1)
        0.5
    """
    reached, best, bad = 1.0, math.inf, 0
    for loss in losses:
        if loss < best * (1 - threshold):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            reached, bad = reached * factor, 0
    return reached
