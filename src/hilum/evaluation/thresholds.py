"""Operating points: the score from which on a finding is called, chosen on validation scores only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hilum.errors import UsageError

RULES = ("mcc", "f1", "youden")


@dataclass(frozen=True)
class Curve:
    """Confusion counts at each distinct score t, ascending, when scores >= t are called."""

    thresholds: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    n_positive: int
    n_negative: int

    @property
    def sensitivity(self) -> np.ndarray:
        """(T,) in [0, 1]."""
        return self.tp / self.n_positive

    @property
    def specificity(self) -> np.ndarray:
        """(T,) in [0, 1]."""
        return 1 - self.fp / self.n_negative


def curve(truth: np.ndarray, scores: np.ndarray) -> Curve:
    """Every operating point that the scores allow.

    Args:
        truth: (N,) 0/1 or bool.
        scores: (N,) floats.
    """
    y = np.asarray(truth).astype(bool)
    thresholds, level = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    tp = np.cumsum(np.bincount(level, weights=y, minlength=len(thresholds))[::-1])[::-1]
    fp = np.cumsum(np.bincount(level, weights=~y, minlength=len(thresholds))[::-1])[::-1]
    return Curve(thresholds, tp, fp, int(y.sum()), int((~y).sum()))


def best_threshold(truth: np.ndarray, scores: np.ndarray, rule: str = "mcc") -> float | None:
    """The threshold that serves best on validation data: the lowest of those that reach the highest value.

    Args:
        truth: (N,) 0/1 or bool.
        scores: (N,) floats; the candidates are their distinct values, and a score >= threshold is called
            (Tiu et al. 2022, Methods).
        rule: what is made largest: "mcc", "f1" or "youden" (sensitivity + specificity - 1; the highest threshold among
            equals, the first point of the ROC).

    Returns:
        The threshold, or None when the truth has one class only.

    Example:
        >>> best_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.5, 0.9]))
        0.5
    """
    if rule not in RULES:
        raise UsageError(f"threshold rule is {rule!r}; expected one of {', '.join(RULES)}.")
    points = curve(truth, scores)
    if not points.n_positive or not points.n_negative:
        return None
    if rule == "youden":
        # Not rounded: the original compares TPR - FPR as they come, and equal sums may differ in the last bit.
        gain = points.tp / points.n_positive - points.fp / points.n_negative
        return float(points.thresholds[len(gain) - 1 - int(np.argmax(gain[::-1]))])
    merit = _mcc(points) if rule == "mcc" else 2 * points.tp / (points.tp + points.fp + points.n_positive)
    return float(points.thresholds[int(np.argmax(np.round(merit, 12)))])  # equal values may differ in the last bit


def _mcc(points: Curve) -> np.ndarray:
    tp, fp = points.tp, points.fp
    fn, tn = points.n_positive - tp, points.n_negative - fp
    margins = (tp + fp) * points.n_positive * points.n_negative * (tn + fn)
    return np.asarray((tp * tn - fp * fn) / np.sqrt(np.where(margins > 0, margins, 1)))
