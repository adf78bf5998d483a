"""A linear probe on features: logistic regression, its strength chosen on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from hilum.errors import UsageError
from hilum.models.head import TASKS, Head
from hilum.tasks.labels import ClassLabels, FindingLabels, Labels
from hilum.tasks.logistic import TOLERANCE, Axes, solve

# What the penalty expects the variance of a logit to be, over the training images. C is this divided by the features'
# total variance, so that one grid serves every encoder.
GRID = tuple(10.0**power for power in range(-4, 4))
DEFAULT_EXPECTED = 1.0  # where no validation image can choose
SEARCH_TOLERANCE = 0.01  # nats: strengths are compared to well within what chance does to a likelihood
# The founding study's constants, in its code: (C, most iterations) for findings, and for classes.
CXRLEARN_BINARY, CXRLEARN_MULTI = (0.0327, 500), (0.316, 100)
PROTOCOLS = ("validated", "cxrlearn")


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted probe. P is the number of findings that could be fitted; classes are one problem together.

    Attributes:
        head: weights of the findings that could be fitted, or of all classes that were there.
        strengths: (P,) C, as scikit-learn means it.
        validation_auroc: (P,) at that strength; NaN where validation cannot tell.
        grid: (S,) strengths tried.
        tried: (S, P) validation AUROCs.
        skipped: finding or class -> why it has no weights.
        remarks: what else to know, such as a strength that validation could not choose.
    """

    head: Head
    strengths: np.ndarray
    validation_auroc: np.ndarray
    grid: np.ndarray
    tried: np.ndarray
    skipped: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def fit_probe(
    features: np.ndarray,
    truth: np.ndarray,
    *,
    names: Sequence[str] | None = None,
    task: str = "multi-label",
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    strength: float | Sequence[float] | np.ndarray | None = None,
    grid: Sequence[float] = GRID,
    protocol: str = "validated",
    tolerance: float = TOLERANCE,
    most_steps: int | None = None,
) -> Fit:
    """Fit a linear probe on arrays.

    All findings at all strengths of the grid are solved together; then the chosen ones are solved to the last digits.

    Args:
        features: (N, F) of the training images.
        truth: binary and multi-label: (N, C) 1, 0, or NaN where not known (left out of that finding alone). Multi-class and
            ordinal: (N,) class numbers, NaN or negative where not known.
        names: C findings or classes; numbers when None.
        task: binary, multi-label, multi-class or ordinal.
        validation: features and truth of the validation images. The strength with the highest AUROC on them is taken, of
            equals the strongest penalty: for each finding on its own, for classes by the mean over classes.
        strength: C as scikit-learn means it, for all or of each finding; then nothing is chosen.
        grid: expected variances of a logit to try, rising; C is each divided by the features' total variance.
        protocol: "cxrlearn" for the founding study's: scikit-learn's lbfgs in float32, with constants in place of a choice.
        tolerance: distance from the minimum, in nats; see `hilum.tasks.logistic`.
        most_steps: of the protocol cxrlearn, where another number than the study's is wanted.

    Raises:
        UsageError: shapes that do not fit, features that are not finite, or no finding with two classes.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(60, 3)); y = (x[:, :1] > 0).astype(float)
        >>> fit = fit_probe(x[:40], y[:40], names=["Edema"], validation=(x[40:], y[40:]))
        >>> bool(fit.validation_auroc[0] > 0.9)
        True
    """
    if task not in TASKS or protocol not in PROTOCOLS:
        raise UsageError(
            f"task {task!r} with protocol {protocol!r}; expected one of {', '.join(TASKS)}, and {', '.join(PROTOCOLS)}."
        )
    features = _checked(features, truth)
    of_task = ClassLabels if task in ("multi-class", "ordinal") else FindingLabels
    labels: Labels = of_task.read(np.asarray(truth, np.float64), names, task)
    features = features[labels.rows]
    if protocol == "cxrlearn":
        fit = _fixed(features, labels, strength, most_steps)
    else:
        axes = Axes(features)
        picked = _pick_strengths(axes, labels, validation, strength, grid)
        solved = solve(axes, labels.loss(), picked.strengths, start=picked.start, tolerance=tolerance)
        late = [
            f"{one}: not converged" for one, done in zip(labels.problems, solved.converged, strict=True) if not done
        ]
        fit = Fit(
            labels.head(solved.weights, solved.offsets),
            picked.strengths,
            np.full(len(picked.strengths), np.nan),
            picked.grid,
            picked.tried,
            labels.skipped,
            (*labels.remarks, *picked.remarks, *late),
        )
    if validation is None:
        return fit
    scores = fit.head.linear(np.asarray(validation[0]))
    return replace(fit, validation_auroc=labels.aurocs(scores, fit.head.offsets, np.asarray(validation[1], np.float64)))


@dataclass(frozen=True)
class _Picked:
    strengths: np.ndarray
    grid: np.ndarray
    tried: np.ndarray
    start: torch.Tensor | None = None
    remarks: tuple[str, ...] = ()


def _pick_strengths(
    axes: Axes,
    labels: Labels,
    validation: tuple[np.ndarray, np.ndarray] | None,
    strength: float | Sequence[float] | np.ndarray | None,
    grid: Sequence[float],
) -> _Picked:
    """C of each problem: the given one, else the best on validation, else the default."""
    count = len(labels.problems)
    if strength is not None:
        given = labels.of_problems(np.asarray(strength, np.float64))
        return _Picked(given, np.unique(given), np.full((len(np.unique(given)), count), np.nan))
    variance = axes.total_variance or 1.0
    strengths = np.sort(np.asarray(grid, np.float64)) / variance
    fallback = int(np.argmin(np.abs(np.log(strengths * variance / DEFAULT_EXPECTED))))
    tried = np.full((len(strengths), count), np.nan)
    if validation is None:
        remark = (f"no validation images: C is {strengths[fallback]:.3g} for all",) if len(strengths) > 1 else ()
        return _Picked(np.full(count, strengths[fallback]), strengths, tried, remarks=remark)
    loss = labels.loss()
    every = loss.take(torch.arange(count).repeat(len(strengths)))  # problem p at strength s is row s * P + p
    found = solve(axes, every, np.repeat(strengths, count), tolerance=SEARCH_TOLERANCE)
    held, known = np.asarray(validation[0]), np.asarray(validation[1], np.float64)
    for place in range(len(strengths)):
        here = slice(place * count, (place + 1) * count)
        head = labels.head(found.weights[here], found.offsets[here])
        tried[place] = labels.aurocs(head.linear(held), head.offsets, known)
    picks, remarks = _best(tried, fallback, labels.problems, strengths)
    return _Picked(strengths[picks], strengths, tried, found.variables[picks * count + np.arange(count)], remarks)


def _best(
    tried: np.ndarray, fallback: int, problems: Sequence[str], strengths: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(P,) places of the highest AUROC, the first of equals; the others' choice where validation has one class only."""
    known = ~np.isnan(tried).any(axis=0)
    together = int(np.argmax(tried[:, known].mean(axis=1))) if known.any() else fallback
    picks = np.where(known, np.argmax(np.nan_to_num(tried), axis=0), together)
    how = "the best of the other findings" if known.any() else "the default"
    remarks = [
        f"{name}: one class only among the validation images, so C is {how} ({strengths[together]:.3g})"
        for name, one in zip(problems, known, strict=True)
        if not one
    ]
    return picks, tuple(remarks)


def _fixed(
    features: np.ndarray,
    labels: Labels,
    strength: float | Sequence[float] | np.ndarray | None,
    most_steps: int | None,
) -> Fit:
    """The founding study's fit: scikit-learn's lbfgs in float32, stopped where it stops."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    constant, most = CXRLEARN_MULTI if isinstance(labels, ClassLabels) else CXRLEARN_BINARY
    used = labels.of_problems(np.asarray(constant if strength is None else strength, np.float64))
    weights, offsets = [], []
    for one, (rows, truth) in zip(used, labels.columns(), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # part of the protocol
            fitted = LogisticRegression(C=float(one), max_iter=most if most_steps is None else most_steps).fit(
                features[rows].astype(np.float32), truth
            )
        weights.append(fitted.coef_)
        offsets.append(fitted.intercept_)
    head = labels.head(np.stack(weights), np.stack(offsets))
    blank = np.full(len(used), np.nan)
    return Fit(head, used, blank, used[:1], blank[None], labels.skipped, labels.remarks)


def _checked(features: np.ndarray, truth: np.ndarray) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != len(truth) or not features.size:
        raise UsageError(
            f"features {features.shape} with truth {np.shape(truth)}; expected (N, F) and as many rows of truth, N > 0."
        )
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UsageError(f"features, row {bad[0]}: not finite ({len(bad)} such rows). Embed these images again.")
    return features
