"""The metrics are scikit-learn's where scikit-learn has them, and missing with a reason where undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hilum.evaluation import metrics as ours
from hilum.evaluation.series import Series


def sample(n: int = 200, seed: int = 0, decimals: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.random(n) < 0.3
    return truth, np.round(np.clip(generator.normal(0.4 + 0.2 * truth, 0.2), 0, 1), decimals)


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_each_metric_equals_scikit_learn(decimals: int) -> None:
    truth, scores = sample(decimals=decimals)
    calls = scores >= 0.5
    expected = {
        "auroc": sk.roc_auc_score(truth, scores),
        "average_precision": sk.average_precision_score(truth, scores),
        "f1": sk.f1_score(truth, calls),
        "mcc": sk.matthews_corrcoef(truth, calls),
        "sensitivity": sk.recall_score(truth, calls),
        "specificity": sk.recall_score(~truth, ~calls),
        "brier": sk.brier_score_loss(truth, scores),
    }
    for metric, value in expected.items():
        second = calls if metric in ours.THRESHOLD_METRICS else scores
        assert getattr(ours, metric)(truth, second) == pytest.approx(value, abs=1e-12), metric


def test_ece_equals_a_loop_over_bins() -> None:
    truth, scores = sample(decimals=3)
    total = 0.0
    for low in range(15):
        inside = (scores * 15 >= low) & (scores * 15 < low + 1 if low < 14 else scores * 15 >= 14)
        if inside.any():
            total += inside.mean() * abs(truth[inside].mean() - scores[inside].mean())
    assert ours.ece(truth, scores) == pytest.approx(total, abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_series_measures_what_the_formulas_say_or_both_are_undefined(pairs: list[tuple[bool, float]]) -> None:
    truth, scores = (np.array(column) for column in zip(*pairs, strict=True))
    point = Series(truth, scores, threshold=0.5).point()
    for metric in ours.METRICS:
        expected = getattr(ours, metric)(truth, scores >= 0.5 if metric in ours.THRESHOLD_METRICS else scores)
        assert point[metric] == pytest.approx(expected, abs=1e-12, nan_ok=True), metric
        reason = ours.why_undefined(metric, len(truth), int(truth.sum()))
        assert (reason is None) == (not math.isnan(expected)), metric


def test_rows_not_evaluated_count_for_nothing() -> None:
    truth, scores = sample()
    evaluated = np.arange(len(truth)) % 3 > 0
    scores = np.where(evaluated, scores, np.nan)
    point = Series(truth, scores, evaluated, threshold=0.5).point()
    assert point["auroc"] == pytest.approx(sk.roc_auc_score(truth[evaluated], scores[evaluated]), abs=1e-12)
    assert point["f1"] == pytest.approx(sk.f1_score(truth[evaluated], scores[evaluated] >= 0.5), abs=1e-12)


def test_without_a_threshold_no_threshold_metric_is_given() -> None:
    assert set(Series(*sample()).point()) == {"auroc", "average_precision", "brier", "ece"}


@pytest.mark.parametrize(
    ("metric", "n", "n_positive", "reason"),
    [
        ("auroc", 9, 0, "no positive among 9"),
        ("auroc", 9, 9, "no negative among 9"),
        ("specificity", 4, 4, "no negative among 4"),
        ("sensitivity", 4, 4, None),
        ("brier", 4, 4, None),
        ("brier", 0, 0, "no image evaluated"),
    ],
)
def test_the_reason_of_an_undefined_metric(metric: str, n: int, n_positive: int, reason: str | None) -> None:
    assert ours.why_undefined(metric, n, n_positive) == reason
