"""The vectorised bootstrap is the obvious loop: same resamples, same values, to 1e-12."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.utils import resample

from hilum.errors import UsageError
from hilum.evaluation import resampling as boot
from hilum.evaluation.metrics import METRICS, ece
from hilum.evaluation.resampling import Resampler, interval, two_sided_p
from hilum.evaluation.series import Series

SCIKIT = {
    "auroc": lambda y, s, c: sk.roc_auc_score(y, s),
    "average_precision": lambda y, s, c: sk.average_precision_score(y, s),
    "f1": lambda y, s, c: sk.f1_score(y, c),
    "mcc": lambda y, s, c: sk.matthews_corrcoef(y, c),
    "sensitivity": lambda y, s, c: sk.recall_score(y, c),
    "specificity": lambda y, s, c: sk.recall_score(~y, ~c),
    "brier": lambda y, s, c: sk.brier_score_loss(y, s),
    "ece": lambda y, s, c: ece(y, s),
}


def sample(n: int, prevalence: float, decimals: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.random(n) < prevalence
    return truth, np.round(np.clip(generator.normal(0.4 + 0.2 * truth, 0.2), 0, 1), decimals)


@pytest.mark.parametrize("prevalence", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("decimals", [1, 2, 15])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_the_vectorised_bootstrap_equals_a_scikit_learn_loop(prevalence: float, decimals: int) -> None:
    truth, scores = sample(150, prevalence, decimals)
    resampler = Resampler(150, replicates=40, seed=3)
    fast = boot.bootstrap({"it": Series(truth, scores, threshold=0.5)}, resampler)["it"]
    assert set(fast) == set(METRICS)
    compared = 0
    for replicate in range(40):
        drawn = np.random.RandomState(3 + replicate).randint(0, 150, 150)
        y, s = truth[drawn], scores[drawn]
        if y.any() and not y.all():
            compared += 1
            for metric, loop in SCIKIT.items():
                assert fast[metric][replicate] == pytest.approx(loop(y, s, s >= 0.5), abs=1e-12), metric
        else:
            assert np.isnan(fast["auroc"][replicate])
    assert compared > 30


def test_images_not_evaluated_are_drawn_and_left_out() -> None:
    truth, scores = sample(120, 0.4, 2)
    evaluated = np.arange(120) % 4 != 0
    fast = boot.bootstrap({0: Series(truth, scores, evaluated, metrics=("auroc",))}, Resampler(120, 20))[0]["auroc"]
    for replicate in range(20):
        drawn = Resampler(120, 20).indices(replicate)
        drawn = drawn[evaluated[drawn]]
        assert fast[replicate] == pytest.approx(sk.roc_auc_score(truth[drawn], scores[drawn]), abs=1e-12)


def test_a_patient_is_drawn_with_all_images() -> None:
    truth, scores = sample(90, 0.4, 2)
    patient_of = np.sort(np.random.default_rng(1).integers(0, 30, 90))
    patient_of = np.unique(patient_of, return_inverse=True)[1]
    resampler = Resampler(90, replicates=25, seed=7, patient_of=patient_of)
    fast = boot.bootstrap({0: Series(truth, scores, metrics=("auroc", "brier"))}, resampler)[0]
    for replicate in range(25):
        patients = np.random.RandomState(7 + replicate).randint(0, resampler.n_units, resampler.n_units)
        drawn = np.concatenate([np.flatnonzero(patient_of == patient) for patient in patients])
        assert fast["auroc"][replicate] == pytest.approx(sk.roc_auc_score(truth[drawn], scores[drawn]), abs=1e-12)
        assert fast["brier"][replicate] == pytest.approx(sk.brier_score_loss(truth[drawn], scores[drawn]), abs=1e-12)


def test_one_image_a_patient_is_the_bootstrap_by_image() -> None:
    by_image = list(Resampler(50, 30).counts())
    by_patient = list(Resampler(50, 30, patient_of=np.arange(50)).counts())
    assert np.array_equal(np.concatenate(by_image, 1), np.concatenate(by_patient, 1))


def test_the_chunk_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    series = {0: Series(*sample(100, 0.3, 2), threshold=0.5)}
    whole = boot.bootstrap(series, Resampler(100, 50))[0]
    monkeypatch.setattr(boot, "CHUNK_BYTES", 1)
    assert [c.shape for c in Resampler(100, 50).counts()] == [(100, 16)] * 3 + [(100, 2)]
    parts = boot.bootstrap(series, Resampler(100, 50))[0]
    for metric, values in whole.items():
        assert np.array_equal(values, parts[metric], equal_nan=True)


@pytest.mark.parametrize(("n", "kind"), [(2**15 - 1, np.int16), (2**15, np.int32)])
def test_whole_numbers_are_wide_enough_for_every_possible_sum(n: int, kind: type) -> None:
    counts = next(Resampler(n, replicates=1).counts())
    assert counts.dtype == kind
    assert counts.sum() == n


def test_large_samples_stay_exact() -> None:
    truth, scores = sample(70_000, 0.5, 3)
    value = boot.bootstrap({0: Series(truth, scores, metrics=("auroc",))}, Resampler(70_000, 2))[0]["auroc"][1]
    drawn = Resampler(70_000).indices(1)
    assert value == pytest.approx(sk.roc_auc_score(truth[drawn], scores[drawn]), abs=1e-12)


def test_resamples_are_those_of_scikit_learn_and_of_the_original_code(golden: Path) -> None:
    arrays = np.load(golden / "chexzero" / "evaluation.npz")
    resampler = Resampler(120)
    for replicate, expected in enumerate(arrays["boot_first_sample_idx"]):
        assert np.array_equal(resampler.indices(replicate), expected)
        assert np.array_equal(resample(np.arange(120), replace=True, random_state=replicate), expected)


def test_auroc_of_every_replicate_and_its_interval_match_the_original_code(golden: Path) -> None:
    arrays = np.load(golden / "chexzero" / "evaluation.npz")
    truth, scores = arrays["boot_y_true"], arrays["boot_y_pred"]
    series = {column: Series(truth[:, column], scores[:, column]) for column in range(5)}
    values = boot.bootstrap(series, Resampler(120))
    for column in range(5):
        assert series[column].point()["auroc"] == pytest.approx(arrays["eval_auc"][column], abs=1e-12)
        assert np.abs(values[column]["auroc"] - arrays["boot_auc"][:, column]).max() <= 1e-12
        found = interval(values[column]["auroc"], rule="chexzero")
        assert [round(x, 4) for x in (found.mean, found.low, found.high)] == list(arrays["boot_ci"][:, column])


@pytest.mark.parametrize("metric", ["f1", "mcc"])
def test_f1_and_mcc_intervals_match_the_original_code(golden: Path, metric: str) -> None:
    arrays = np.load(golden / "chexzero" / "evaluation.npz")
    generator = np.random.RandomState(5)  # the original draws these resamples from one generator
    counts = np.stack([np.bincount(generator.randint(0, 120, 120), minlength=120) for _ in range(1000)], axis=1)
    rows = np.stack(
        [
            Series(arrays["boot_y_true"][:, c], arrays["boot_y_pred"][:, c], threshold=arrays["thr_mcc"][c]).measure(
                counts
            )[metric]
            for c in range(5)
        ]
    )
    for column, values in enumerate([*rows, rows.mean(0)]):
        found = interval(values, rule="chexzero")
        assert [round(x, 4) for x in (found.mean, found.low, found.high)] == list(arrays[f"{metric}_ci"][:, column])


def test_the_interval_is_numpys_percentiles_of_the_defined_replicates() -> None:
    values = np.append(np.random.default_rng(0).normal(size=900), np.full(100, np.nan))
    found = interval(values, level=0.9)
    assert (found.low, found.high) == tuple(np.nanpercentile(values, [5, 95]))
    assert found.undefined == 100


def test_no_interval_when_most_replicates_are_undefined() -> None:
    found = interval(np.append(np.full(501, np.nan), np.ones(499)))
    assert (found.low, found.high, found.undefined) == (None, None, 501)


def test_p_value_counts_the_smaller_tail_twice() -> None:
    differences = np.concatenate([np.full(989, 0.1), np.full(10, -0.1)])
    assert two_sided_p(differences) == pytest.approx(2 * 11 / 1000)
    assert two_sided_p(-differences) == two_sided_p(differences)
    assert two_sided_p(np.zeros(99)) == 1.0


@pytest.mark.parametrize("wrong", [{"replicates": 0}, {"seed": -1}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Resampler(10, **wrong)
    with pytest.raises(UsageError, match="level"):
        interval(np.ones(3), level=95)
