"""Every metric of one finding under many resamples at once, exact and without sorting again.

A resample only changes how often each image counts. So the images are put in order of score once, and a sparse matrix
sums the counts of all replicates: the positives of each score, and the negatives between one positive and the next.
AUROC and average precision follow from those sums, in whole numbers up to the last division.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import sparse

from hilum.evaluation.metrics import CALIBRATION_METRICS, ECE_BINS, METRICS, THRESHOLD_METRICS, bin_of


class Series:
    """One model's (or reader's) scores for one finding, ready to be measured under any resample.

    Example:
        >>> series = Series(np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9]), metrics=("auroc",))
        >>> series.point()["auroc"]
        0.5
        >>> series.measure(np.array([[2], [0], [1]]))["auroc"]     # image 0 twice, image 2 once
        array([1.])
    """

    def __init__(
        self,
        truth: np.ndarray,
        scores: np.ndarray,
        evaluated: np.ndarray | None = None,
        threshold: float | None = None,
        metrics: Sequence[str] = METRICS,
    ) -> None:
        """Put the scores in order.

        Args:
            truth: (N,) 0/1 or bool; ignored where not evaluated.
            scores: (N,) in [0, 1] for Brier and ECE, else any finite number; ignored where not evaluated.
            evaluated: (N,) bool, all when None. The rest never counts, in no replicate.
            threshold: a call is a score >= threshold. The threshold metrics are left out when None.
            metrics: which of `METRICS` to measure.
        """
        keep = np.ones(len(truth), bool) if evaluated is None else np.asarray(evaluated, bool)
        self.rows = np.flatnonzero(keep)  # (M,) images that count
        self.truth = np.asarray(truth)[self.rows].astype(bool)  # (M,)
        self.scores = np.asarray(scores, dtype=np.float64)[self.rows]  # (M,)
        self.threshold = threshold
        self.metrics = tuple(m for m in metrics if threshold is not None or m not in THRESHOLD_METRICS)
        self.n_images, self.n, self.n_positive = len(truth), len(self.rows), int(self.truth.sum())
        self._lay_out()

    def point(self) -> dict[str, float]:
        """Each metric on the sample itself; NaN where undefined."""
        measured = self.measure(np.ones((self.n_images, 1), np.int32))
        return {metric: float(values[0]) for metric, values in measured.items()}

    def measure(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Each metric under each replicate.

        Args:
            counts: (N, R) integers: how often image n was drawn in replicate r. Their sum over n must fit their type.

        Returns:
            For each metric its (R,) values, NaN where the replicate leaves it undefined.
        """
        sums = _times(self._sums, counts)  # (rows, R)
        groups, ties = self._n_groups, len(self._tied_at)
        positive, between = sums[:groups], sums[groups : 2 * groups + 1]
        tied, called = sums[2 * groups + 1 : 2 * groups + 1 + ties], sums[2 * groups + 1 + ties :]
        positives = positive.sum(0, dtype=np.float64)  # (R,)
        negatives = between.sum(0, dtype=np.float64) + tied.sum(0, dtype=np.float64)
        measured: dict[str, np.ndarray] = {}
        with np.errstate(divide="ignore", invalid="ignore"):
            if self._is_ranked:
                measured |= self._rank_metrics(positive, between[:-1], tied, positives, negatives)
            if self.threshold is not None:
                measured |= _threshold_metrics(called[0].astype(float), called[1].astype(float), positives, negatives)
            if self._calibration is not None:
                gaps = _times(self._calibration, counts)  # (1 + ECE_BINS, R)
                drawn = positives + negatives
                measured |= {"brier": gaps[0] / drawn, "ece": np.abs(gaps[1:]).sum(0) / drawn}
        return {metric: measured[metric] for metric in self.metrics}

    def _rank_metrics(
        self,
        positive: np.ndarray,
        between: np.ndarray,
        tied: np.ndarray,
        positives: np.ndarray,
        negatives: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """AUROC and average precision; row g of (G, R) arrays is the g-th highest score that a positive has."""
        hits = positive.astype(np.float64)
        above = _running_sum(between.astype(np.float64))  # negatives that score higher
        at = np.zeros((0, 0))
        if len(tied):
            at = np.zeros_like(above)  # negatives that score the same
            at[self._tied_at] = tied
            above += _running_sum(at.copy()) - at
        out = {}
        if "auroc" in self.metrics:
            # Hanley & McNeil 1982: of all pairs, those in the right order, and half of those that tie.
            pairs = positives * negatives
            wrong = 2 * np.einsum("gr,gr->r", hits, above)
            if len(tied):
                wrong += np.einsum("gr,gr->r", hits, at)
            out["auroc"] = (2 * pairs - wrong) / (2 * pairs)
        if "average_precision" in self.metrics:
            true_positives = _running_sum(hits.copy())
            flagged = true_positives + above + at if len(tied) else true_positives + above
            precision = np.divide(true_positives, flagged, out=flagged, where=flagged > 0)
            out["average_precision"] = np.einsum("gr,gr->r", hits, precision) / positives
        return out

    def _lay_out(self) -> None:
        """Build the sparse matrices: which counts add up to which sum."""
        order = np.argsort(-self.scores, kind="stable")
        s, y = self.scores[order], self.truth[order]
        self._is_ranked = any(m in ("auroc", "average_precision") for m in self.metrics)
        if self._is_ranked:
            level = np.cumsum(np.diff(s, prepend=s[:1]) != 0)  # (M,) 0 is the highest score
            with_positive = np.unique(level[y])  # (G,) levels at which a positive stands
            group = np.searchsorted(with_positive, level)  # (M,) in 0..G; G is below every positive
            at_positive = np.append(with_positive, -1)[group] == level
        else:  # only the totals are needed
            with_positive, group, at_positive = np.zeros(1), np.zeros(len(s), int), y
        self._n_groups = groups = len(with_positive)
        tied_group = np.where(at_positive & ~y, group, -1)
        self._tied_at = np.unique(tied_group[tied_group >= 0])  # (T,)
        row = np.where(y, group, groups + group)
        is_tied = tied_group >= 0
        row[is_tied] = 2 * groups + 1 + np.searchsorted(self._tied_at, tied_group[is_tied])
        column, height = self.rows[order], 2 * groups + 1 + len(self._tied_at)
        if self.threshold is not None:
            called = s >= self.threshold
            row = np.concatenate([row, np.where(y, height, height + 1)[called]])
            column = np.concatenate([column, column[called]])
            height += 2
        self._sums = _sparse(np.ones(len(row), np.int8), row, column, (height, self.n_images))
        self._calibration = self._lay_out_calibration() if set(CALIBRATION_METRICS) & set(self.metrics) else None

    def _lay_out_calibration(self) -> sparse.csr_matrix:
        miss = self.truth - self.scores
        row = np.concatenate([np.zeros(self.n, int), 1 + bin_of(self.scores)])
        value = np.concatenate([miss**2, miss])
        return _sparse(value, row, np.tile(self.rows, 2), (1 + ECE_BINS, self.n_images))


def _threshold_metrics(
    tp: np.ndarray, fp: np.ndarray, positives: np.ndarray, negatives: np.ndarray
) -> dict[str, np.ndarray]:
    fn, tn = positives - tp, negatives - fp
    margins = (tp + fp) * positives * negatives * (tn + fn)
    correlation = (tp * tn - fp * fn) / np.sqrt(np.where(margins > 0, margins, 1))
    return {
        "f1": np.where(positives > 0, 2 * tp / (2 * tp + fp + fn), np.nan),
        "mcc": np.where((positives > 0) & (negatives > 0), correlation, np.nan),
        "sensitivity": tp / positives,
        "specificity": tn / negatives,
    }


def _running_sum(values: np.ndarray) -> np.ndarray:
    """Cumulative sum down the rows, in place: row by row is several times faster than np.cumsum along axis 0."""
    for above, below in pairwise(values):
        below += above
    return values


def _sparse(values: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix((values, (row, column)), shape=shape)


def _times(matrix: sparse.csr_matrix, counts: np.ndarray) -> np.ndarray:
    # A product of one integer type stays in it: 16 bits are four times faster than 64, and Resampler keeps it exact.
    if np.issubdtype(matrix.dtype, np.integer) and matrix.dtype != counts.dtype:
        matrix = matrix.astype(counts.dtype)
    return np.asarray(matrix @ counts)
