"""Which images a study has, by view, and which two of them stand for it (You et al. 2023, section 2.1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Kinds of view: frontal from the back, frontal from the front, from the side.
_KINDS = {"pa": "PA", "ap": "AP", "ap_supine": "AP", "lateral": "Lateral"}


@dataclass(frozen=True)
class StudyViews:
    """The images of each study.

    Attributes:
        study_ids: N ids, in the order in which they first come.
        order: (M,) positions of images, study by study.
        starts: (N + 1,) where each study's begin in `order`.
        kinds: M kinds of view, by position of the image.
    """

    study_ids: list[str]
    order: np.ndarray
    starts: np.ndarray
    kinds: Sequence[str]

    @classmethod
    def of(cls, study_ids: Sequence[str], views: Sequence[str | None]) -> StudyViews:
        """The studies of M images.

        Args:
            study_ids: M ids.
            views: M views as an archive names them.
        """
        unique = {study: number for number, study in enumerate(dict.fromkeys(study_ids))}
        number = np.array([unique[study] for study in study_ids], np.int64)
        order = np.argsort(number, kind="stable")
        starts = np.searchsorted(number[order], np.arange(len(unique) + 1))
        return cls(list(unique), order, starts, [_KINDS.get(view or "", "other") for view in views])

    def __len__(self) -> int:
        return len(self.study_ids)

    def of_study(self, number: int) -> np.ndarray:
        """Positions of a study's images."""
        return self.order[self.starts[number] : self.starts[number + 1]]

    def only(self, numbers: Sequence[int]) -> StudyViews:
        """Some of the studies, by number; positions of images stay what they are."""
        parts = [self.of_study(number) for number in numbers]
        starts = np.cumsum([0, *(len(part) for part in parts)])
        order = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        return StudyViews([self.study_ids[n] for n in numbers], order, starts, self.kinds)


def pick_two(
    views: StudyViews, number: int, draws: random.Random | None, last_kind_only: bool = False
) -> tuple[int, int]:
    """Two images of a study; one twice where it has no other.

    Where a study has three kinds of view or more, two kinds are drawn and an image of each. Else two images are drawn from
    all. A fixed choice (`draws` None) takes the first.

    Args:
        views: the studies.
        number: which study.
        draws: the choices.
        last_kind_only: as released, where of three kinds both images come from the second kind drawn, one of them twice if it has
            no other.

    Returns:
        positions of two images.
    """
    images = views.of_study(number).tolist()
    by_kind: dict[str, list[int]] = {}
    for image in images:
        by_kind.setdefault(views.kinds[image], []).append(image)
    if len(by_kind) >= 3:
        kinds = draws.sample(list(by_kind), 2) if draws is not None else list(by_kind)[:2]
        if not last_kind_only:
            first, second = (by_kind[k] if draws is None else [draws.choice(by_kind[k])] for k in kinds)
            return first[0], second[0]
        images = by_kind[kinds[1]]
        images = [*images, draws.choice(images) if draws is not None else images[0]]
    if len(images) == 1:
        return images[0], images[0]
    if draws is None:
        return images[0], images[1]
    one, two = draws.sample(images, 2)
    return one, two
