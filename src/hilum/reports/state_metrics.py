"""Metrics of four-state labels, each a function of confusion counts: a bootstrap replicate costs one matrix product.

Counts have the shape (..., findings, 4, 4): gold state x predicted state, in the order of `hilum.reports.grid`.
Every function keeps the leading axes, so one call serves the sample and all its bootstrap replicates.
An undefined metric is NaN: nothing of the kind in the gold and nothing predicted.

Sources: Smit et al. 2020 (CheXbert), section 4 for the weighted F1; Cohen 1960 for kappa.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilum.errors import UsageError
from hilum.reports.grid import BLANK, NEGATIVE, NO_FINDING, POSITIVE, UNCERTAIN

FOUR_STATE = (
    "weighted_f1",
    "positive_f1",
    "negative_f1",
    "uncertain_f1",
    "mention_f1",
    "blank_f1",
    "accuracy",
    "kappa",
)
AVERAGES = ("micro", "macro", "weighted", "samples")
UNCERTAIN_AS = ("present", "absent")
FIVE = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")

_STATE_OF = {"blank_f1": BLANK, "positive_f1": POSITIVE, "negative_f1": NEGATIVE, "uncertain_f1": UNCERTAIN}
# The published macro averages leave out what the labelers cannot or hardly say.
_LEFT_OUT = {"negative_f1": (NO_FINDING,), "uncertain_f1": (NO_FINDING, "Support Devices")}


def confusion(gold: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How often each gold state met each predicted state.

    Args:
        gold: (reports, findings) class codes.
        predicted: (reports, findings) class codes.
        weights: (draws, reports) how often each draw holds each report; a row of ones is the sample itself.

    Returns:
        (draws, findings, 4, 4) counts.
    """
    reports, findings = gold.shape
    counts = np.empty((len(weights), findings, 16))
    for finding in range(findings):
        cell = gold[:, finding].astype(np.int64) * 4 + predicted[:, finding]
        one_hot = np.zeros((reports, 16), dtype=np.float32)
        one_hot[np.arange(reports), cell] = 1
        counts[:, finding] = weights @ one_hot  # exact: float32 counts whole numbers up to 2**24
    return counts.reshape(len(weights), findings, 4, 4)


def four_state(counts: np.ndarray, findings: Sequence[str]) -> dict[str, np.ndarray]:
    """Every metric of `FOUR_STATE` for each finding: (..., findings)."""
    metrics = {name: state_f1(counts, state) for name, state in _STATE_OF.items()}
    metrics["mention_f1"] = _f1(
        counts[..., 1:, 1:].sum((-2, -1)), counts[..., BLANK, 1:].sum(-1), counts[..., 1:, BLANK].sum(-1)
    )
    for column, finding in enumerate(findings):
        if finding == NO_FINDING:  # it is said or not said, never negative or uncertain
            metrics["negative_f1"][..., column] = metrics["uncertain_f1"][..., column] = np.nan
    weighted, support = np.zeros(counts.shape[:-2]), state_weights(counts, findings)
    for name, weight in zip(("negative_f1", "uncertain_f1", "positive_f1"), np.moveaxis(support, -1, 0), strict=True):
        weighted += np.where(weight > 0, weight * metrics[name], 0.0)
    metrics["weighted_f1"] = np.where(np.isnan(support[..., 0]), np.nan, weighted)
    total = counts.sum((-2, -1))
    agreed = np.trace(counts, axis1=-2, axis2=-1)
    by_chance = (counts.sum(-1) * counts.sum(-2)).sum(-1)
    metrics["accuracy"] = _ratio(agreed, total)
    metrics["kappa"] = _ratio(agreed * total - by_chance, total * total - by_chance)
    return {name: metrics[name] for name in FOUR_STATE}


def state_f1(counts: np.ndarray, state: int) -> np.ndarray:
    """F1 of one state against the three others: (..., findings)."""
    hit = counts[..., state, state]
    return _f1(hit, counts[..., :, state].sum(-1) - hit, counts[..., state, :].sum(-1) - hit)


def state_weights(counts: np.ndarray, findings: Sequence[str]) -> np.ndarray:
    """(..., findings, 3): share of negative, uncertain and positive among the gold's mentions.

    For No Finding all weight is on positive. NaN where the gold never mentions the finding.
    """
    support = counts.sum(-1)[..., [NEGATIVE, UNCERTAIN, POSITIVE]]
    for column, finding in enumerate(findings):
        if finding == NO_FINDING:
            support[..., column, :2] = 0
    return _ratio(support, support.sum(-1, keepdims=True))


def macro(name: str, values: np.ndarray, findings: Sequence[str]) -> np.ndarray:
    """The mean of a metric over the findings where it is defined: (...,)."""
    kept = [column for column, finding in enumerate(findings) if finding not in _LEFT_OUT.get(name, ())]
    return mean_defined(values[..., kept])


def mean_defined(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis of what is not NaN; NaN when nothing is left."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


def binary(counts: np.ndarray, uncertain: str) -> dict[str, np.ndarray]:
    """Precision, recall and F1 against a gold of present (1) and absent (0); what the gold leaves empty is left out.

    Args:
        counts: (..., 4, 4); only the gold's positive and negative rows are read.
        uncertain: "present" or "absent": how a predicted uncertain counts. A predicted blank is absent.
    """
    says = _present(uncertain)
    hit, missed = counts[..., POSITIVE, says].sum(-1), np.delete(counts[..., POSITIVE, :], says, -1).sum(-1)
    wrong = counts[..., NEGATIVE, says].sum(-1)
    return {
        "precision": _ratio(hit, hit + wrong),
        "recall": _ratio(hit, hit + missed),
        "f1": _f1(hit, wrong, missed),
    }


def generation_f1(
    gold: np.ndarray,
    predicted: np.ndarray,
    *,
    uncertain: str,
    average: str,
    weights: np.ndarray,
) -> np.ndarray:
    """The clinical F1 of report generation: both texts labeled, uncertain folded, blank absent; an empty F1 counts 0.

    Published figures differ in each choice, so each is named by the caller.

    Args:
        gold: (reports, findings) class codes of the reference texts.
        predicted: (reports, findings) class codes of the generated texts.
        uncertain: "present" or "absent".
        average: "micro", "macro", "weighted" (by the gold's positives) or "samples" (mean over reports).
        weights: (draws, reports) how often each draw holds each report.

    Returns:
        (draws,)
    """
    if average not in AVERAGES:
        raise UsageError(f"average {average!r} is not known; expected one of {', '.join(AVERAGES)}.")
    says = _present(uncertain)
    truth, said = np.isin(gold, says), np.isin(predicted, says)
    cells = (truth & said, ~truth & said, truth & ~said)
    if average == "samples":
        each = np.nan_to_num(_f1(*(cell.sum(1) for cell in cells)))
        return np.asarray(weights @ each / weights.sum(1))
    hit, wrong, missed = (weights.astype(np.float64) @ cell.astype(np.float64) for cell in cells)  # (draws, findings)
    if average == "micro":
        return np.nan_to_num(_f1(hit.sum(-1), wrong.sum(-1), missed.sum(-1)))
    each = np.nan_to_num(_f1(hit, wrong, missed))
    support = hit + missed if average == "weighted" else np.ones_like(hit)
    return np.nan_to_num(_ratio((each * support).sum(-1), support.sum(-1)))


def exact_match(gold: np.ndarray, predicted: np.ndarray, *, uncertain: str, weights: np.ndarray) -> np.ndarray:
    """(draws,): the share of reports with every finding equal after folding uncertain."""
    says = _present(uncertain)
    equal = (np.isin(gold, says) == np.isin(predicted, says)).all(1).astype(np.float64)
    return np.asarray(weights @ equal / weights.sum(1))


def _present(uncertain: str) -> list[int]:
    if uncertain not in UNCERTAIN_AS:
        raise UsageError(f"uncertain counted as {uncertain!r} is not known; expected one of {', '.join(UNCERTAIN_AS)}.")
    return [POSITIVE, UNCERTAIN] if uncertain == "present" else [POSITIVE]


def _f1(hit: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> np.ndarray:
    return _ratio(2 * hit, 2 * hit + wrong + missed)


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    over, under = np.broadcast_arrays(np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64))
    return np.divide(over, under, out=np.full(under.shape, np.nan), where=under != 0)
