"""Known labels as problems to solve: findings, each on its own, or classes, one of which an image is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from hilum.errors import UsageError
from hilum.models.head import Head
from hilum.tasks.losses import BinaryLoss, Loss, MultinomialLoss, OrdinalLoss
from hilum.tasks.ranking import above_each_step, aurocs, one_against_rest


@dataclass(frozen=True, eq=False)
class Labels(ABC):
    """What is known of N training images.

    Attributes:
        task: as of `Head`.
        names: findings or classes that can be fitted.
        rows: (N,) bool, images of which anything is known; the rest are left out.
        skipped: finding or class -> why it cannot be fitted.
        remarks: what else to know.
    """

    task: str
    names: tuple[str, ...]
    rows: np.ndarray
    skipped: dict[str, str]
    remarks: tuple[str, ...] = field(default=())

    @classmethod
    @abstractmethod
    def read(cls, truth: np.ndarray, names: Sequence[str] | None, task: str) -> Self:
        """Labels from an array; see `fit_probe`.

        Raises:
            UsageError: nothing can be fitted.
        """

    @property
    @abstractmethod
    def problems(self) -> tuple[str, ...]:
        """P names of what is fitted on its own."""

    @abstractmethod
    def of_problems(self, strength: np.ndarray) -> np.ndarray:
        """(P,) strengths, from one for all, or one for each column of the truth."""

    @abstractmethod
    def loss(self) -> Loss:
        """The P problems."""

    @abstractmethod
    def columns(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each problem, the rows (among `rows`) that are known, and their truth as whole numbers."""

    @abstractmethod
    def head(self, weights: np.ndarray, offsets: np.ndarray) -> Head:
        """The head of solved problems: weights (P, K, F), offsets (P, M)."""

    @abstractmethod
    def aurocs(self, linear: np.ndarray, offsets: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """(P,) AUROCs of a head's `linear` (V, ...) on other images with truth as `read` takes it."""


@dataclass(frozen=True, eq=False)
class FindingLabels(Labels):
    """Findings: `truth` is (N, C) of 1, 0 and NaN, `kept` the columns with both classes."""

    truth: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    kept: tuple[int, ...] = ()

    @classmethod
    def read(cls, truth: np.ndarray, names: Sequence[str] | None, task: str) -> Self:
        if truth.ndim != 2 or not np.isin(truth[~np.isnan(truth)], (0, 1)).all():
            raise UsageError(
                f"truth {truth.shape} of a {task} task; expected (N, findings) of 1, 0 and NaN (not known)."
            )
        named = _names(names, truth.shape[1])
        skipped = {name: why for name, column in zip(named, truth.T, strict=True) if (why := _one_class(column))}
        kept = tuple(place for place, name in enumerate(named) if name not in skipped)
        if not kept:
            raise UsageError(f"nothing to fit among the training images: {_listed(skipped)}.")
        rows = (~np.isnan(truth[:, kept])).any(axis=1)
        return cls(task, tuple(named[place] for place in kept), rows, skipped, (), truth[np.ix_(rows, kept)], kept)

    @property
    def problems(self) -> tuple[str, ...]:
        return self.names

    def of_problems(self, strength: np.ndarray) -> np.ndarray:
        return strength[list(self.kept)] if strength.ndim else np.full(len(self.kept), float(strength))

    def loss(self) -> BinaryLoss:
        return BinaryLoss(np.ascontiguousarray(self.truth.T))

    def columns(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for column in self.truth.T:
            rows = np.flatnonzero(~np.isnan(column))
            yield rows, column[rows].astype(np.int64)

    def head(self, weights: np.ndarray, offsets: np.ndarray) -> Head:
        return Head(self.task, self.names, weights[:, 0], offsets[:, 0])

    def aurocs(self, linear: np.ndarray, offsets: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return aurocs(truth[:, self.kept], linear)


@dataclass(frozen=True, eq=False)
class ClassLabels(Labels):
    """Classes: `classes` (N,) counts those that are there; `number_of` is each one's number in the truth as given."""

    classes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    number_of: tuple[int, ...] = ()

    @classmethod
    def read(cls, truth: np.ndarray, names: Sequence[str] | None, task: str) -> Self:
        known = ~np.isnan(truth) & (truth >= 0)
        if truth.ndim != 1 or (truth[known] != np.floor(truth[known])).any():
            raise UsageError(f"truth {truth.shape} of a {task} task; expected (N,) class numbers, NaN where not known.")
        given = truth[known].astype(np.int64)
        named = _names(names, int(given.max(initial=-1)) + 1 if names is None else len(names))
        if len(given) and given.max() >= len(named):
            raise UsageError(
                f"class number {given.max()} in the truth, but only {len(named)} names: {', '.join(named)}."
            )
        there, classes = np.unique(given, return_inverse=True)
        skipped = {name: "no training image" for place, name in enumerate(named) if place not in there}
        if len(there) < 2:
            raise UsageError(
                f"nothing to fit: {len(there)} of {len(named)} classes among {known.sum()} training images."
            )
        remarks = tuple(f"{name}: no training image, so it is never predicted" for name in skipped)
        kept = tuple(int(place) for place in there)
        return cls(task, tuple(named[place] for place in kept), known, skipped, remarks, classes, kept)

    @property
    def problems(self) -> tuple[str, ...]:
        return ("all classes",)

    def of_problems(self, strength: np.ndarray) -> np.ndarray:
        return strength.reshape(1)

    def loss(self) -> Loss:
        kind = OrdinalLoss if self.task == "ordinal" else MultinomialLoss
        return kind(self.classes, len(self.names))

    def columns(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if self.task == "ordinal":
            raise UsageError(
                "the protocol cxrlearn has no ordinal probe; its study took grades as classes (multi-class)."
            )
        yield np.arange(len(self.classes)), self.classes

    def head(self, weights: np.ndarray, offsets: np.ndarray) -> Head:
        own, offset = weights[0], offsets[0]
        if len(self.names) == 2 and len(own) == 1 and self.task == "multi-class":  # scikit-learn's form of two classes
            own, offset = np.concatenate([np.zeros_like(own), own]), np.append(0.0, offset)
        return Head(self.task, self.names, own, offset)

    def aurocs(self, linear: np.ndarray, offsets: np.ndarray, truth: np.ndarray) -> np.ndarray:
        number = {given: place for place, given in enumerate(self.number_of)}
        classes = np.array([number.get(int(one), -1) if one >= 0 else -1 for one in np.nan_to_num(truth, nan=-1)])
        if self.task == "ordinal":
            columns = above_each_step(classes, len(self.names))
            found = aurocs(columns, np.repeat(linear, columns.shape[1], axis=1))
        else:
            probabilities = np.exp(linear - linear.max(axis=1, keepdims=True))
            found = aurocs(
                one_against_rest(classes, len(self.names)), probabilities / probabilities.sum(1, keepdims=True)
            )
        return np.array([np.nan if np.isnan(found).all() else np.nanmean(found)])


def _names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    named = tuple(names) if names is not None else tuple(str(place) for place in range(count))
    if len(named) != count or len(set(named)) != count:
        raise UsageError(
            f"{len(named)} names ({', '.join(named)}) for {count} columns of truth; expected one for each."
        )
    return named


def _one_class(column: np.ndarray) -> str | None:
    """Why a finding cannot be fitted, or None."""
    n, n_positive = int((~np.isnan(column)).sum()), int((column == 1).sum())
    if n == 0:
        return "no training image has a label"
    if n_positive in (0, n):
        return f"no {'positive' if n_positive == 0 else 'negative'} among {n} training images"
    return None


def _listed(skipped: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in skipped.items())
