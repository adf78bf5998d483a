"""Ranks of models over datasets, and how far apart they must be to differ (Demšar 2006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range


@dataclass(frozen=True)
class Ranks:
    """Mean ranks, 1 the best.

    Attributes:
        names: what was ranked, best first.
        means: mean rank of each.
        datasets: on how many.
        critical_difference: means further apart than this differ (Nemenyi), at `alpha`.
        friedman_p: of the hypothesis that all are alike; None with fewer than three names or two datasets.
        alpha: of the critical difference.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    datasets: int
    critical_difference: float
    friedman_p: float | None
    alpha: float = 0.05


def rank(values: Mapping[str, Sequence[float]], alpha: float = 0.05) -> Ranks | None:
    """Rank arms by a metric of which more is better; equal values share their ranks.

    Args:
        values: name -> one value for each dataset, in one order; names with a missing value are to be left out before.
        alpha: of the critical difference.

    Returns:
        The ranks, or None with fewer than two names or datasets.

    Example:
        >>> rank({"a": [0.9, 0.8], "b": [0.7, 0.8]}).means
        (1.25, 1.75)
    """
    names = list(values)
    table = np.array([values[name] for name in names], np.float64).T  # (datasets, names)
    if table.ndim != 2 or min(table.shape) < 2:
        return None
    means = np.mean([rankdata(-row) for row in table], axis=0)
    order = np.argsort(means, kind="stable")
    k, n = len(names), len(table)
    # Demšar 2006, section 3.2.2: the studentized range at infinite degrees of freedom, over the root of two.
    q = float(studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    p = float(friedmanchisquare(*table.T).pvalue) if k > 2 else None
    return Ranks(
        tuple(names[place] for place in order),
        tuple(float(means[place]) for place in order),
        n,
        float(q * np.sqrt(k * (k + 1) / (6 * n))),
        None if p is None or np.isnan(p) else p,
        alpha,
    )


def cliques(ranks: Ranks) -> list[tuple[int, int]]:
    """Runs of names (first, last) whose means are not further apart than the critical difference; the longest only."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks.means)):
        last = max(
            p
            for p in range(first, len(ranks.means))
            if ranks.means[p] - ranks.means[first] <= ranks.critical_difference
        )
        if last > first and not any(f <= first and last <= t for f, t in found):
            found.append((first, last))
    return found
