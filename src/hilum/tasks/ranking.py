"""AUROC of many score columns at once: what strengths and epochs are chosen by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from hilum.errors import UsageError


def aurocs(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """AUROC of each column; NaN where only one class is known.

    Args:
        truth: (N, C) 1, 0, or NaN where not known.
        scores: (N, C) higher means more likely positive.

    Example:
        >>> aurocs(np.array([[0.0], [1.0], [np.nan], [1.0]]), np.array([[0.1], [0.4], [0.2], [0.1]]))
        array([0.75])
    """
    found = np.full(truth.shape[1], np.nan)
    for column in range(truth.shape[1]):
        known = ~np.isnan(truth[:, column])
        positive = truth[known, column] == 1
        pairs = int(positive.sum()) * int((~positive).sum())
        if pairs:
            ranks = rankdata(scores[known, column])  # Mann & Whitney 1947
            least = positive.sum() * (positive.sum() + 1) / 2
            found[column] = (ranks[positive].sum() - least) / pairs
    return found


def one_against_rest(classes: np.ndarray, count: int) -> np.ndarray:
    """(N,) class numbers, -1 where not known, as (N, count) columns of 1, 0 and NaN."""
    columns = (classes[:, None] == np.arange(count)).astype(np.float64)
    columns[classes < 0] = np.nan
    return columns


def one_hot(values: Sequence[int], order: str = "sorted") -> np.ndarray:
    """Class values as (N, classes) columns of 1 and 0.

    Args:
        values: N whole numbers.
        order: of the columns: "sorted", or "cxrlearn": the iteration order of a Python set, as the founding study's code
            has it. The two differ for values that are not small and consecutive.

    Example:
        >>> one_hot([5, 2, 5]).tolist()
        [[0, 1], [1, 0], [0, 1]]
    """
    if order not in ("sorted", "cxrlearn"):
        raise UsageError(f"order is {order!r}; expected sorted or cxrlearn.")
    columns = sorted(set(values)) if order == "sorted" else list(set(values))
    return (np.asarray(values)[:, None] == np.asarray(columns)).astype(np.int64)


def above_each_step(classes: np.ndarray, count: int) -> np.ndarray:
    """(N,) ordered class numbers, -1 where not known, as (N, count - 1) columns: is the class above 0, above 1, ...?"""
    columns = (classes[:, None] > np.arange(count - 1)).astype(np.float64)
    columns[classes < 0] = np.nan
    return columns


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The mean of the defined values, weighted; NaN where none is defined."""
    defined = ~np.isnan(values)
    if not defined.any() or not weights[defined].sum():
        return float("nan")
    return float(np.average(values[defined], weights=weights[defined]))
