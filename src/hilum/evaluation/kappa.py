"""Agreement of readers beyond chance, under many resamples at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def cohen_kappa(first: np.ndarray, second: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Cohen's kappa of two readers' calls (Cohen 1960).

    Args:
        first, second: (N,) 0, 1, or NaN where a reader gave none; only images that both read count.
        counts: (N, R) how often each image was drawn in each resample; None for the sample itself.

    Returns:
        (R,) kappas; NaN where both readers call all alike, for chance then agrees wholly.

    Example:
        >>> cohen_kappa(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))
        array([0.5])
    """
    both = ~np.isnan(first) & ~np.isnan(second)
    drawn = _counts(counts, len(first))[both].astype(np.float64)  # (M, R)
    a, b = first[both] == 1, second[both] == 1
    n = drawn.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        agreed = (a == b).astype(np.float64) @ drawn / n
        share_a, share_b = a.astype(np.float64) @ drawn / n, b.astype(np.float64) @ drawn / n
        chance = share_a * share_b + (1 - share_a) * (1 - share_b)
        return _beyond_chance(agreed, chance)


def fleiss_kappa(calls: Sequence[np.ndarray] | np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Fleiss' kappa of several readers (Fleiss 1971), on the images that all of them read.

    Args:
        calls: K arrays (N,) of 0, 1 and NaN.
        counts: as of `cohen_kappa`.

    Returns:
        (R,) kappas; NaN where all calls are alike.

    Example:
        >>> fleiss_kappa([np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]), np.array([1, 1, 0, 0])]).round(3)
        array([0.657])
    """
    stacked = np.asarray(calls, np.float64)  # (K, N)
    everyone = ~np.isnan(stacked).any(axis=0)
    drawn = _counts(counts, stacked.shape[1])[everyone].astype(np.float64)  # (M, R)
    readers, positive = len(stacked), stacked[:, everyone].sum(axis=0)  # (M,) how many call it
    pairs = readers * (readers - 1)
    agreed_here = (positive * (positive - 1) + (readers - positive) * (readers - positive - 1)) / max(pairs, 1)
    n = drawn.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        agreed = agreed_here @ drawn / n
        share = positive @ drawn / (n * readers)
        return _beyond_chance(agreed, share**2 + (1 - share) ** 2)


def _beyond_chance(agreed: np.ndarray, chance: np.ndarray) -> np.ndarray:
    room = 1 - chance
    return np.where(room > 1e-12, (agreed - chance) / np.where(room > 1e-12, room, 1), np.nan)


def _counts(counts: np.ndarray | None, n: int) -> np.ndarray:
    return np.ones((n, 1)) if counts is None else counts
