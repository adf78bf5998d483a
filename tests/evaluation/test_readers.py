"""Several readers together: agreement equals other programs', differences are paired, and each is held against the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, matthews_corrcoef

from hilum.evaluation import Evaluation, evaluate, read_csv
from hilum.evaluation.kappa import cohen_kappa, fleiss_kappa

from .conftest import FINDINGS, N_TEST, Study, Writer

SHARES = {"reader_a": 0.85, "reader_b": 0.7, "reader_c": 0.9}
R = 40


class Panel:
    """The study with three readers; the third left the last ten images out."""

    def __init__(self, study: Study, write: Writer) -> None:
        rng = np.random.default_rng(5)
        self.study = study
        self.calls = dict(study.calls)
        self.calls["reader_c"] = np.where(rng.random(study.truth.shape) < 0.9, study.truth, 1 - study.truth)
        rows = [[study.ids[row], *self.calls["reader_c"][row]] for row in range(N_TEST - 10)]
        files = [*study.reader_files.values(), write("reader_c.csv", ["image_id", *FINDINGS], rows)]
        self.evaluation = evaluate(
            study.truth_file,
            list(study.score_files.values()),
            files,
            thresholds_from=list(study.validation_files.values()),
            replicates=R,
        )

    def of(self, reader: str, finding: str, rows: slice | np.ndarray = slice(N_TEST)) -> np.ndarray:
        return self.calls[reader][rows, FINDINGS.index(finding)]


@pytest.fixture
def panel(study: Study, write: Writer) -> Panel:
    return Panel(study, write)


def drawn(replicate: int) -> np.ndarray:
    return np.random.RandomState(replicate).randint(0, N_TEST, N_TEST)


def test_cohen_s_kappa_equals_scikit_learn_s_with_its_interval(panel: Panel) -> None:
    row = panel.evaluation.get("reader_a and reader_b", "Edema", "cohen_kappa")
    a, b = panel.of("reader_a", "Edema"), panel.of("reader_b", "Edema")
    assert row.value == pytest.approx(cohen_kappa_score(a, b))
    values = [cohen_kappa_score(a[d], b[d]) for d in map(drawn, range(R))]
    assert (row.low, row.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert row.n == N_TEST
    assert panel.evaluation.get("reader_a and reader_c", "Edema", "cohen_kappa").n == N_TEST - 10


def test_fleiss_kappa_equals_its_worked_example() -> None:
    # Fleiss 1971 for two categories, written out: P = mean agreement, chance from the shares.
    calls = np.array([[1, 1, 0, 0, 1, 0], [1, 0, 0, 0, 1, 1], [1, 1, 0, 1, 1, 0]], float)
    n = calls.sum(0)
    agreed = np.mean((n * (n - 1) + (3 - n) * (2 - n)) / 6)
    share = calls.mean()
    chance = share**2 + (1 - share) ** 2
    assert fleiss_kappa(calls)[0] == pytest.approx((agreed - chance) / (1 - chance))


def test_kappa_is_undefined_where_all_calls_are_alike_and_ignores_images_one_did_not_read() -> None:
    ones = np.ones(5)
    assert np.isnan(cohen_kappa(ones, ones)[0])
    assert np.isnan(fleiss_kappa([ones, ones, ones])[0])
    a, b = np.array([1, 0, 1, 0, np.nan]), np.array([1, 0, 0, 0, 1.0])
    assert cohen_kappa(a, b)[0] == pytest.approx(cohen_kappa_score(a[:4], b[:4]))


def test_a_model_is_compared_with_the_mean_of_the_readers_on_the_same_resamples(panel: Panel) -> None:
    evaluation, study = panel.evaluation, panel.study
    finding, model = "Pleural Effusion", "good"
    column = FINDINGS.index(finding)
    truth, scores = study.truth[:N_TEST, column], study.scores[model][:N_TEST, column]
    model_calls = scores >= evaluation.thresholds[model, finding]

    def difference(rows: np.ndarray) -> float:
        gaps = []
        for reader in SHARES:
            here = rows[rows < (N_TEST - 10 if reader == "reader_c" else N_TEST)]
            own = matthews_corrcoef(truth[here], model_calls[here])
            gaps.append(own - matthews_corrcoef(truth[here], panel.of(reader, finding)[here]))
        return float(np.mean(gaps))

    row = evaluation.get("good - mean of 3 readers", finding, "mcc")
    assert row.value == pytest.approx(difference(np.arange(N_TEST)))
    values = [difference(drawn(replicate)) for replicate in range(R)]
    assert (row.low, row.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert row.p_value is not None
    mean = evaluation.get("mean of 3 readers", finding, "mcc").value
    assert mean == pytest.approx(np.mean([evaluation.get(reader, finding, "mcc").value for reader in SHARES]))


def test_a_reader_left_out_is_held_against_the_majority_of_the_others(panel: Panel) -> None:
    evaluation, study = panel.evaluation, panel.study
    finding, column = "Atelectasis", FINDINGS.index("Atelectasis")
    rows = np.arange(N_TEST - 10)
    b, c = panel.of("reader_b", finding)[rows], panel.of("reader_c", finding)[rows]
    agreed, tail = rows[b == c], np.arange(N_TEST - 10, N_TEST)  # two others may tie; the last ten only reader_b read
    known = np.concatenate([agreed, tail])
    reference = np.concatenate([b[b == c], panel.of("reader_b", finding)[tail]])
    own = panel.of("reader_a", finding)[known]
    row = evaluation.get("reader_a against the other readers", finding, "f1")
    assert row.value == pytest.approx(f1_score(reference, own))
    assert row.n == len(known)
    model_calls = study.scores["good"][known, column] >= evaluation.thresholds["good", finding]
    of_model = evaluation.get("good against the readers but reader_a", finding, "f1")
    assert of_model.value == pytest.approx(f1_score(reference, model_calls))
    less = evaluation.get("good - reader_a, against the other readers", finding, "f1")
    assert less.value == pytest.approx(of_model.value - row.value)
    assert "the majority of the other readers" in row.note


def test_means_say_over_how_many_findings_they_are(panel: Panel) -> None:
    row = panel.evaluation.get("good - mean of 3 readers", "macro", "mcc")
    assert row.note.startswith("p = ")
    assert "mean over 4 of 5 findings" in row.note  # Pleural Other has no positive


def test_one_reader_alone_is_no_panel(study: Study) -> None:
    evaluation = evaluate(study.truth_file, study.score_files["good"], [study.reader_files["reader_a"]], replicates=5)
    assert evaluation.readers_together == ()


def test_without_thresholds_readers_are_still_compared_among_themselves(study: Study) -> None:
    evaluation = evaluate(study.truth_file, study.score_files["good"], list(study.reader_files.values()), replicates=5)
    names = {row.model for row in evaluation.readers_together}
    assert names == {
        "mean of 2 readers", "reader_a and reader_b", "reader_a against the other readers", "reader_b against the other readers",
    }  # fmt: skip


def test_it_is_written_and_shown(panel: Panel, tmp_path: Path) -> None:
    evaluation: Evaluation = panel.evaluation
    evaluation.write(tmp_path)
    rows = read_csv(tmp_path / "readers.csv")
    assert [(row.model, row.finding, row.value) for row in rows] == [
        (row.model, row.finding, row.value) for row in evaluation.readers_together
    ]
    page = (tmp_path / "report.html").read_text()
    assert "agreement among readers, kappa" in page
    assert "all readers (Fleiss)" in page
    assert "good - mean of 3 readers" in page
    assert "leave one reader out" in page
