"""Parts of the training images: nested, so that the 1 % lie inside the 10 %, and drawn by a seed that is written down."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from hilum.errors import UsageError
from hilum.tasks.targets import Examples

Unit = Literal["patient", "image"]


@dataclass(frozen=True)
class Part:
    """Which training images are used.

    Attributes:
        fraction: share of the units, in (0, 1].
        shots: this many of each class instead: of each finding so many positives, and so many images with none of them.
        unit: what is drawn: patients with all their images, or images. Shots are images.
        seed: of the order in which units are drawn.
    """

    fraction: float = 1.0
    shots: int | None = None
    unit: Unit = "patient"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1 or (self.shots is not None and (self.shots < 1 or self.fraction < 1)):
            raise UsageError(
                f"fraction {self.fraction} with shots {self.shots}; expected a share above 0 and at most 1, or at least 1 shot "
                "and no fraction."
            )

    @property
    def is_all(self) -> bool:
        """Whether every training image is used."""
        return self.fraction == 1 and self.shots is None

    def describe(self) -> dict[str, Any]:
        """For records: what was drawn, and from which seed."""
        return asdict(self)

    def __str__(self) -> str:
        if self.shots is not None:
            return f"{self.shots} shots, seed {self.seed}"
        return "all" if self.is_all else f"{self.fraction:.4g} of {self.unit}s, seed {self.seed}"


def draw(examples: Examples, part: Part) -> Examples:
    """The part of the training examples.

    Units stand in an order given by a hash of seed and id alone, and the first so many are taken: a smaller part lies inside
    every larger one of its seed, and images that come later move none that were there.

    Args:
        examples: of the split 'train'.
        part: what to draw.

    Raises:
        UsageError: nothing is left, or no finding has both classes: how large a fraction would do is said.
    """
    if part.is_all:
        return examples
    if part.shots is not None:
        return examples.take(_shots(examples, part.shots, part.seed))
    units = np.array(examples.patient_ids if part.unit == "patient" else examples.image_ids, dtype=object)
    distinct = sorted(set(units), key=lambda unit: place_of(str(unit), part.seed))
    count = max(1, math.floor(part.fraction * len(distinct) + 0.5))
    drawn = set(distinct[:count])
    chosen = examples.take(np.array([unit in drawn for unit in units], bool))
    _require_two_classes(examples, chosen, part, count, len(distinct))
    return chosen


def place_of(unit: str, seed: int) -> int:
    """Where a unit stands in the order of a seed."""
    return int.from_bytes(hashlib.sha256(f"part {seed}:{unit}".encode()).digest()[:8], "big")


def _shots(examples: Examples, shots: int, seed: int) -> np.ndarray:
    """Rows of the first `shots` images of each class in the seed's order."""
    order = sorted(range(len(examples)), key=lambda row: place_of(examples.image_ids[row], seed))
    if examples.is_classes:
        groups = [examples.truth == one for one in range(len(examples.target.classes))]
    else:
        groups = [*(examples.truth == 1).T, ~(examples.truth == 1).any(axis=1)]
    rows: set[int] = set()
    for group in groups:
        rows.update([row for row in order if group[row]][:shots])
    return np.array(sorted(rows), np.int64)


def _require_two_classes(whole: Examples, chosen: Examples, part: Part, count: int, all_: int) -> None:
    def columns(examples: Examples) -> list[np.ndarray]:
        if examples.is_classes:
            return [examples.truth[~np.isnan(examples.truth)]]
        return [column[~np.isnan(column)] for column in examples.truth.T]

    if any(len(np.unique(column)) > 1 for column in columns(chosen)):
        return
    if not any(len(np.unique(column)) > 1 for column in columns(whole)):
        return  # no fraction would do; the fit says why
    larger = 1.0
    for fraction in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5):
        if fraction > part.fraction:
            tried = Part(fraction, unit=part.unit, seed=part.seed)
            try:
                draw(whole, tried)
            except UsageError:
                continue
            larger = fraction
            break
    raise UsageError(
        f"fraction {part.fraction:.4g} of seed {part.seed} is {count} of {all_} {part.unit}s, and all its {len(chosen)} images are "
        f"of one class: nothing can be learned. {larger:.4g} would do with this seed, or take --shots."
    )
