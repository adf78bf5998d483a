"""The metrics of one finding on one sample, each as its formula, and the reason when one is undefined.

These are the definitions; `hilum.evaluation.series` computes the same numbers for a thousand resamples at once.
Undefined is NaN here and an empty cell with a reason in every table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

RANK_METRICS = ("auroc", "average_precision")
THRESHOLD_METRICS = ("f1", "mcc", "sensitivity", "specificity")
CALIBRATION_METRICS = ("brier", "ece")
METRICS = (*RANK_METRICS, *THRESHOLD_METRICS, *CALIBRATION_METRICS)
LOWER_IS_BETTER = frozenset(CALIBRATION_METRICS)

ECE_BINS = 15  # Guo et al. 2017, "On Calibration of Modern Neural Networks", section 5


def auroc(truth: ArrayLike, scores: ArrayLike) -> float:
    """The chance that a positive scores above a negative; a tie counts half.

    Args:
        truth: (N,) 0/1 or bool.
        scores: (N,) higher means more likely positive.

    Example:
        >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        0.875
    """
    y, s = _pair(truth, scores)
    positives, negatives = s[y], np.sort(s[~y])
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    return float((below + not_above).sum() / (2 * len(positives) * len(negatives)))


def average_precision(truth: ArrayLike, scores: ArrayLike) -> float:
    """Precision averaged over the steps of recall, without interpolation.

    Example:
        >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
        0.8333
    """
    y, s = _pair(truth, scores)
    if not y.any():
        return float("nan")
    order = np.argsort(-s, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    true_positives = np.cumsum(y[order])[last_of_tie]
    precision = true_positives / (last_of_tie + 1)
    return float(np.sum(np.diff(true_positives, prepend=0) / y.sum() * precision))


def f1(truth: ArrayLike, calls: ArrayLike) -> float:
    """2TP / (2TP + FP + FN); undefined without a positive.

    Example:
        >>> f1([1, 1, 0, 0], [1, 0, 0, 0]) == 2 / 3
        True
    """
    tp, fp, fn, _ = _confusion(truth, calls)
    return 2 * tp / (2 * tp + fp + fn) if tp + fn else float("nan")


def mcc(truth: ArrayLike, calls: ArrayLike) -> float:
    """Matthews correlation of calls and truth; 0 when all calls are alike, undefined when all truths are.

    Example:
        >>> mcc([1, 1, 0, 0], [1, 1, 0, 0])
        1.0
    """
    tp, fp, fn, tn = _confusion(truth, calls)
    if not tp + fn or not tn + fp:
        return float("nan")
    margins = float(tp + fp) * float(tp + fn) * float(tn + fp) * float(tn + fn)
    return float((tp * tn - fp * fn) / np.sqrt(margins)) if margins else 0.0


def sensitivity(truth: ArrayLike, calls: ArrayLike) -> float:
    """TP / (TP + FN), the share of positives that are called."""
    tp, _, fn, _ = _confusion(truth, calls)
    return tp / (tp + fn) if tp + fn else float("nan")


def specificity(truth: ArrayLike, calls: ArrayLike) -> float:
    """TN / (TN + FP), the share of negatives that are not called."""
    _, fp, _, tn = _confusion(truth, calls)
    return tn / (tn + fp) if tn + fp else float("nan")


def brier(truth: ArrayLike, scores: ArrayLike) -> float:
    """Mean squared distance of score and truth (Brier 1950); 0 is perfect."""
    y, s = _pair(truth, scores)
    return float(np.mean((s - y) ** 2)) if len(y) else float("nan")


def ece(truth: ArrayLike, scores: ArrayLike, bins: int = ECE_BINS) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017, equation 3).

    Args:
        truth: (N,) 0/1 or bool.
        scores: (N,) in [0, 1], read as probabilities.
        bins: how many; a score of 1 belongs to the last.
    """
    y, s = _pair(truth, scores)
    if not len(y):
        return float("nan")
    gap = np.bincount(bin_of(s, bins), weights=y - s, minlength=bins)
    return float(np.abs(gap).sum() / len(y))


def bin_of(scores: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    """The equal-width bin of each score in [0, 1]: (N,) integers from 0 to bins - 1."""
    return np.minimum((scores * bins).astype(np.int64), bins - 1)


def why_undefined(metric: str, n: int, n_positive: int) -> str | None:
    """Why a metric has no value on such a sample, in words for a table's note; None when it has one.

    Example:
        >>> why_undefined("auroc", 20, 0)
        'no positive among 20'
    """
    if n == 0:
        return "no image evaluated"
    needs_positive = metric in ("auroc", "average_precision", "f1", "mcc", "sensitivity")
    needs_negative = metric in ("auroc", "mcc", "specificity")
    if needs_positive and n_positive == 0:
        return f"no positive among {n}"
    if needs_negative and n_positive == n:
        return f"no negative among {n}"
    return None


def _pair(truth: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(truth).astype(bool), np.asarray(scores, dtype=np.float64)


def _confusion(truth: ArrayLike, calls: ArrayLike) -> tuple[int, int, int, int]:
    y, c = np.asarray(truth).astype(bool), np.asarray(calls).astype(bool)
    return int((y & c).sum()), int((~y & c).sum()), int((y & ~c).sum()), int((~y & ~c).sum())
