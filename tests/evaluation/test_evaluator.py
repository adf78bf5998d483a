"""An evaluation's numbers are those of the obvious loops, and each says what it takes to trust it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

import hilum
from hilum.errors import EvaluationError, UsageError
from hilum.evaluation import Evaluation, evaluate, read_csv
from hilum.evaluation.results import COLUMNS, MACRO, as_table

from .conftest import FINDINGS, N_TEST, Study

ONE = {"id": list("abcdef"), "Edema": [0, 1, 0, 1, 1, 0]}


@pytest.fixture
def evaluation(study: Study) -> Evaluation:
    return evaluate(
        study.truth_file,
        list(study.score_files.values()),
        list(study.reader_files.values()),
        thresholds_from=list(study.validation_files.values()),
        replicates=60,
    )


def test_every_point_value_is_scikit_learns(study: Study, evaluation: Evaluation) -> None:
    for name, scores in study.scores.items():
        for place, finding in enumerate(FINDINGS[:4]):
            y, s = study.truth[:N_TEST, place], scores[:N_TEST, place]
            calls = s >= evaluation.thresholds[name, finding]
            expected = {
                "auroc": sk.roc_auc_score(y, s),
                "average_precision": sk.average_precision_score(y, s),
                "f1": sk.f1_score(y, calls),
                "mcc": sk.matthews_corrcoef(y, calls),
                "sensitivity": sk.recall_score(y, calls),
                "brier": sk.brier_score_loss(y, s),
            }
            for metric, value in expected.items():
                row = evaluation.get(name, finding, metric)
                assert row.value == pytest.approx(value, abs=1e-12)
                assert row.low is not None
                assert row.high is not None
                assert row.low <= row.value <= row.high
                assert (row.n, row.n_positive) == (N_TEST, y.sum())


def test_readers_have_the_metrics_of_calls_only(study: Study, evaluation: Evaluation) -> None:
    metrics = {row.metric for row in evaluation.results if row.model == "reader_a"}
    assert metrics == {"f1", "mcc", "sensitivity", "specificity"}
    y, calls = study.truth[:N_TEST, 0], study.calls["reader_a"][:N_TEST, 0]
    assert evaluation.get("reader_a", "Atelectasis", "mcc").value == pytest.approx(sk.matthews_corrcoef(y, calls))


def test_a_difference_is_paired_over_the_same_resamples(study: Study, evaluation: Evaluation) -> None:
    row = evaluation.get("good - poor", "Edema", "auroc")
    y, place = study.truth[:N_TEST, 2], 2
    differences = []
    for replicate in range(60):
        drawn = np.random.RandomState(replicate).randint(0, N_TEST, N_TEST)
        first, second = (sk.roc_auc_score(y[drawn], s[drawn, place]) for s in study.scores.values())
        differences.append(first - second)
    assert (row.low, row.high) == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])), abs=1e-12)
    below = sum(d <= 0 for d in differences)
    assert row.p_value == pytest.approx(min(1, 2 * (min(below, 60 - below) + 1) / 61))
    assert row.note.startswith(f"p = {row.p_value:.3g}")


def test_models_are_compared_with_readers_on_calls(study: Study, evaluation: Evaluation) -> None:
    row = evaluation.get("good - reader_b", "Edema", "mcc")
    model, reader = (evaluation.get(name, "Edema", "mcc").value for name in ("good", "reader_b"))
    assert model is not None
    assert reader is not None
    assert row.value == pytest.approx(model - reader)
    assert not any(r.model == "good - reader_b" and r.metric == "auroc" for r in evaluation.results)
    assert not any(r.model == "reader_a - reader_b" for r in evaluation.results)


def test_one_class_is_missing_with_a_reason_and_the_rest_go_on(evaluation: Evaluation) -> None:
    row = evaluation.get("good", "Pleural Other", "auroc")
    assert (row.value, row.low, row.high) == (None, None, None)
    assert f"no positive among {N_TEST}" in row.note
    assert evaluation.get("good", "Pleural Other", "brier").value is not None
    assert evaluation.get("good", "Edema", "auroc").value is not None


def test_the_macro_mean_says_over_how_many_findings_it_is(evaluation: Evaluation) -> None:
    row = evaluation.get("good", MACRO, "auroc")
    values = [evaluation.get("good", finding, "auroc").value for finding in FINDINGS[:4]]
    assert row.value == pytest.approx(np.mean(np.array(values, dtype=float)))
    assert row.note.startswith("mean over 4 of 5 findings")
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.value < row.high


def test_thresholds_come_from_validation_scores_alone(study: Study, evaluation: Evaluation) -> None:
    for place, finding in enumerate(FINDINGS[:4]):
        y, s = study.truth[N_TEST:, place], study.scores["good"][N_TEST:, place]
        candidates = np.unique(s)
        values = np.round([sk.matthews_corrcoef(y, s >= t) for t in candidates], 12)
        assert evaluation.thresholds["good", finding] == candidates[np.argmax(values)]
        assert f"score >= {candidates[np.argmax(values)]:.6g}" in evaluation.get("good", finding, "f1").note


def test_a_finding_without_validation_positives_has_no_calls_and_says_why() -> None:
    evaluation = evaluate(
        {"id": list("abcdefgh"), "Edema": [0, 1, 0, 1, 1, 0, 0, 0]},
        {"m": {"id": list("abcdef"), "Edema": [0.1, 0.9, 0.3, 0.8, 0.4, 0.5]}},
        thresholds_from={"m": {"id": ["g", "h"], "Edema": [0.2, 0.6]}},
        replicates=5,
    )
    row = evaluation.get("m", "Edema", "mcc")
    assert row.value is None
    assert row.note == "no threshold: 0 positive among 2 validation images"


def test_without_validation_the_remark_says_what_is_missing() -> None:
    evaluation = evaluate(ONE, {"m": {"id": list("abcdef"), "Edema": [0.1, 0.9, 0.3, 0.8, 0.4, 0.5]}}, replicates=5)
    assert {row.metric for row in evaluation.results} == {"auroc", "average_precision", "brier", "ece"}
    assert "--thresholds-from" in evaluation.remarks[0]


def test_models_on_different_images_are_compared_on_the_common_ones() -> None:
    first = {"id": list("abcdef"), "Edema": [0.1, 0.9, 0.3, 0.8, 0.4, 0.5]}
    second = {"id": list("abcd"), "Edema": [0.6, 0.5, 0.2, 0.7]}
    evaluation = evaluate(ONE, {"first": first, "second": second}, replicates=20)
    row = evaluation.get("first - second", "Edema", "auroc")
    y = [0, 1, 0, 1]
    assert row.n == 4
    assert row.value == pytest.approx(sk.roc_auc_score(y, first["Edema"][:4]) - sk.roc_auc_score(y, second["Edema"]))
    assert evaluation.get("first", "Edema", "auroc").n == 6


def test_undefined_replicates_are_counted_and_too_many_leave_no_interval() -> None:
    truth = {"id": [str(i) for i in range(40)], "Edema": [1] + [0] * 39, "Mass": [1] * 3 + [0] * 37}
    scores = {"id": truth["id"], "Edema": np.linspace(0, 1, 40), "Mass": np.linspace(1, 0, 40)}
    evaluation = evaluate(truth, {"m": scores}, replicates=200)
    lost = sum(
        0 not in np.random.RandomState(i).randint(0, 40, 40) for i in range(200)
    )  # the only positive image was not drawn
    assert f"undefined in {lost} of 200 replicates" in evaluation.get("m", "Edema", "auroc").note
    assert evaluation.get("m", "Mass", "auroc").low is not None


def test_patients_are_resampled_whole(study: Study) -> None:
    by_image, by_patient = (
        evaluate(study.truth_file, study.score_files["good"], patient_column=column, replicates=40)
        for column in (None, "patient_id")
    )
    first, second = (e.get("good", "Edema", "auroc") for e in (by_image, by_patient))
    assert first.value == second.value
    assert (first.low, first.high) != (second.low, second.high)
    assert f"{N_TEST // 2} patients resampled" in second.note


def test_findings_whose_positives_are_of_few_patients_are_named() -> None:
    ids = [f"i{k}" for k in range(40)]
    patients = [f"p{k // 2}" for k in range(40)]
    truth = {
        "id": ids,
        "patient": patients,
        "Hernia": [int(k < 2) for k in range(40)],
        "Mass": [k % 2 for k in range(40)],
    }
    scores = {"id": ids, "Hernia": [k / 40 for k in range(40)], "Mass": [k / 40 for k in range(40)]}
    evaluation = evaluate(truth, {"m": scores}, patient_column="patient", replicates=5)
    assert "Positives of fewer than 5 patients: Hernia (2 images of 1)." in evaluation.remarks[-1]
    assert not any("Hernia" in remark for remark in evaluate(truth, {"m": scores}, replicates=5).remarks)


def test_results_csv_has_exactly_the_tidy_columns_and_reads_back(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.write(tmp_path / "out")
    path = tmp_path / "out" / "results.csv"
    header = path.read_text().splitlines()[0]
    assert header == "model,dataset,finding,metric,value,low,high,n,n_positive,replicates,seed,note"
    rows = read_csv(path)
    assert [row.row() for row in rows] == [row.row() for row in evaluation.results]
    with path.open(newline="") as file:
        assert all(row["dataset"] == "truth" and row["replicates"] == "60" for row in csv.DictReader(file))
    assert as_table(evaluation.results).column_names == list(COLUMNS)


def test_two_runs_with_one_seed_give_equal_files(study: Study, tmp_path: Path) -> None:
    for name in ("first", "second"):
        evaluate(study.truth_file, study.score_files["good"], replicates=10, out=tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert {"results.csv", "report.html", "roc_curves.png", "roc_curves.svg"} <= set(files)
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_another_seed_gives_other_intervals_and_the_same_values(study: Study) -> None:
    first, second = (
        evaluate(study.truth_file, study.score_files["good"], replicates=20, seed=seed).get("good", "Edema", "auroc")
        for seed in (0, 1000)
    )
    assert first.value == second.value
    assert first.low != second.low


def test_files_of_one_name_are_told_apart_by_their_folder(study: Study, tmp_path: Path) -> None:
    paths = []
    for folder, name in (("a", "good"), ("b", "poor")):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "scores.csv")
        paths[-1].write_bytes(study.score_files[name].read_bytes())
    evaluation = evaluate(study.truth_file, paths, replicates=5)
    assert list(evaluation.sample.models) == ["a/scores", "b/scores"]


def test_wrong_calls_are_refused(study: Study) -> None:
    both = list(study.score_files.values())
    with pytest.raises(UsageError, match="1 tables for 2 score tables"):
        evaluate(study.truth_file, both, thresholds_from=study.validation_files["good"])
    with pytest.raises(UsageError, match="threshold_rule is 'accuracy'"):
        evaluate(study.truth_file, both, threshold_rule="accuracy")
    with pytest.raises(UsageError, match="both a score file and a reader"):
        evaluate(study.truth_file, both, [both[0]])
    with pytest.raises(UsageError, match="level is 95"):
        evaluate(study.truth_file, both, level=95)
    with pytest.raises(UsageError, match="no scores given"):
        evaluate(study.truth_file, [])


def test_a_file_or_a_locked_folder_as_output_is_refused(study: Study, tmp_path: Path) -> None:
    scores = study.score_files["good"]
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        evaluate(study.truth_file, scores, out=scores)
    with pytest.raises(EvaluationError, match="cannot be written"):
        evaluate(study.truth_file, scores, replicates=3, out=scores / "below")


def test_progress_is_told_up_to_the_last_resample(study: Study) -> None:
    told: list[tuple[int, int]] = []
    evaluate(study.truth_file, study.score_files["good"], replicates=7, progress=lambda *now: told.append(now))
    assert told[-1] == (7, 7)


def test_the_same_from_the_top_of_the_package() -> None:
    assert hilum.evaluate is evaluate
