"""The cells of a study: each combination once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hilum.studies.spec import ADAPTATIONS, Adaptation, Study


@dataclass(frozen=True)
class Cell:
    """One model on one dataset, adapted in one way, on one part of the training images, from one seed.

    Attributes:
        fraction: share of the training units; 1 where shots are counted.
        shots: images of each class; None where a fraction is taken.
        seed: of the part, and of finetuning.
    """

    model: str
    dataset: str
    adaptation: Adaptation
    fraction: float = 1.0
    shots: int | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """What its file is called."""
        part = f"shots{self.shots}" if self.shots is not None else f"{self.fraction:g}"
        return f"{self.dataset}~{self.model}~{self.adaptation}~{part}~{self.seed}"

    @property
    def part(self) -> str:
        """The part in words, for tables."""
        return f"{self.shots} shots" if self.shots is not None else f"{self.fraction:.4g}"

    def describe(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)


def cells_of(study: Study) -> list[Cell]:
    """Every cell, those of one dataset and model next to each other.

    What does not depend on a part or a seed is there once: zero-shot scores see no training image, and a probe of all of them
    is the same from every seed.
    """
    return list(dict.fromkeys(_cells(study)))


def _cells(study: Study) -> Iterator[Cell]:
    kinds = [kind for kind in ADAPTATIONS if kind in study.adaptations]
    parts: list[tuple[float, int | None]] = [
        (fraction, None) for fraction in sorted(set(study.fractions), reverse=True)
    ]
    parts += [(1.0, shots) for shots in sorted(set(study.shots), reverse=True)]
    for dataset in study.datasets:
        for model in study.models:
            for kind in kinds:
                if kind == "zero-shot":
                    yield Cell(model.name, dataset.name, kind, seed=study.seeds[0])
                    continue
                for fraction, shots in parts:
                    is_all = fraction == 1 and shots is None
                    seeds = study.seeds[:1] if kind == "probe" and is_all else study.seeds
                    for seed in seeds:
                        yield Cell(model.name, dataset.name, kind, fraction, shots, seed)
