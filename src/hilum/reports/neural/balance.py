"""Rare states made to count: by how often their reports are drawn, or by how much they weigh in the loss."""

from __future__ import annotations

import numpy as np


def sampling_weights(codes: np.ndarray) -> np.ndarray:
    """How much more often to draw each report, as CheXbert does: the sum over findings of N over reports in its state.

    Args:
        codes: (N, findings) class codes.

    Returns:
        (N,) float64, not normalized.
    """
    weights = np.zeros(len(codes))
    for column in codes.T:
        counts = np.bincount(column, minlength=4)
        weights += len(codes) / counts[column]
    return weights


def effective_weights(codes: np.ndarray, classes: int, beta: float = 0.999) -> np.ndarray:
    """(classes,) loss weights of one finding by the effective number of its reports (Cui et al. 2019, equation 2).

    They average 1 over the reports, so that the size of the loss is kept; a state that never occurs weighs 0.

    Args:
        codes: (N,) class codes of one finding.
        classes: how many states its head has.
        beta: 0 weighs all states alike, towards 1 by the inverse of their frequency.
    """
    counts = np.bincount(codes, minlength=classes)[:classes]
    effective = (1 - beta ** counts.astype(np.float64)) / (1 - beta)
    weights = np.divide(1.0, effective, out=np.zeros(classes), where=effective > 0)
    return np.asarray(weights * counts.sum() / (weights * counts).sum())
