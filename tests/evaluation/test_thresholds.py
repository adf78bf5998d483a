"""Thresholds are chosen as the literature does: among the scores themselves, the first best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from hilum.errors import UsageError
from hilum.evaluation.metrics import mcc, sensitivity, specificity
from hilum.evaluation.thresholds import best_threshold


@pytest.mark.parametrize("rule", ["mcc", "f1"])
def test_thresholds_match_the_original_code(golden: Path, rule: str) -> None:
    arrays = np.load(golden / "chexzero" / "evaluation.npz")
    truth, scores = arrays["boot_y_true"], arrays["boot_y_pred"]
    assert [best_threshold(truth[:, c], scores[:, c], rule) for c in range(5)] == list(arrays[f"thr_{rule}"])
    calls = scores >= arrays["thr_mcc"]
    assert [mcc(truth[:, c], calls[:, c]) for c in range(5)] == pytest.approx(arrays["thr_mcc_point"], abs=1e-12)


def test_youden_points_match_the_original_code(golden: Path) -> None:
    arrays = np.load(golden / "chexzero" / "evaluation.npz")
    for column in range(5):
        truth, scores = arrays["boot_y_true"][:, column], arrays["boot_y_pred"][:, column]
        calls = scores >= best_threshold(truth, scores, "youden")
        point = (sensitivity(truth, calls), specificity(truth, calls))
        assert point == pytest.approx(arrays["youden_sens_spec"][column], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_lowest_of_equally_good_thresholds_is_taken(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth, scores = generator.random(12) < 0.5, np.round(generator.random(12), 1)
    if truth.all() or not truth.any():
        pytest.skip("one class")
    candidates = np.unique(scores)
    values = np.round([sk.matthews_corrcoef(truth, scores >= t) for t in candidates], 12)
    assert best_threshold(truth, scores) == candidates[np.argmax(values)]


def test_one_class_has_no_threshold() -> None:
    assert best_threshold(np.ones(4), np.linspace(0, 1, 4)) is None


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="expected one of mcc, f1, youden"):
        best_threshold(np.array([0, 1]), np.array([0.1, 0.2]), "accuracy")
