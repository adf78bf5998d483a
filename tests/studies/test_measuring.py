"""The numbers of a study equal slow loops over the same resamples, and say what they leave out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hilum.studies import Record, Row, Store, Study, cells_of
from hilum.studies.measuring import measure
from hilum.studies.ranks import cliques, rank
from hilum.studies.rows import MACRO, holm, read_rows, with_holm, write_rows
from hilum.studies.store import Scores, Truth

N, NAMES = 60, ("a", "b", "rare")


def study(by: str = "image", **changes: object) -> Study:
    models = [{"name": name, "folder": name} for name in ("ours", "base")]
    statistics = {"replicates": 40, "by": by, "least_positives": 5, "seed": 3}
    return Study.model_validate(
        {
            "models": models,
            "datasets": [{"name": "d", "archive": "d"}],
            "baseline": "base",
            "statistics": statistics,
            **changes,
        }
    )


class Sample:
    """Truth and scores of two models; the last finding has two positives."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.truth = (rng.random((N, 3)) < 0.4).astype(float)
        self.truth[:, 2] = 0
        self.truth[:2, 2] = 1
        self.scores = {name: rng.normal(size=(N, 3)) + k * self.truth for name, k in (("ours", 1.2), ("base", 0.5))}

    def rows(self, folder: Path, made: Study, left_out: int = 0) -> list[Row]:
        store, ids = Store(folder), [f"i{k}" for k in range(N)]
        store.keep_truth("d", Truth(ids, [f"p{k // 2:02d}" for k in range(N)], NAMES, self.truth))
        records = []
        for cell in cells_of(made):
            kept = slice(left_out if cell.model == "ours" else 0, None)
            record = Record(cell, "done")
            store.keep(record, Scores(ids[kept], NAMES, self.scores[cell.model][kept]))
            records.append(record)
        return measure(made, store, records)


def find(rows: list[Row], model: str, finding: str, less: str = "") -> Row:
    (row,) = [row for row in rows if (row.model, row.finding, row.less) == (model, finding, less)]
    return row


def test_values_and_intervals_equal_a_loop_over_the_same_resamples(tmp_path: Path) -> None:
    sample = Sample()
    rows = sample.rows(tmp_path, study())
    values = []
    for replicate in range(40):
        drawn = np.random.RandomState(3 + replicate).randint(0, N, N)
        values.append(
            [[roc_auc_score(sample.truth[drawn, c], s[drawn, c]) for c in (0, 1)] for s in sample.scores.values()]
        )
    by_model = np.array(values)  # (R, models, findings)
    row = find(rows, "ours", "b")
    assert row.value == pytest.approx(roc_auc_score(sample.truth[:, 1], sample.scores["ours"][:, 1]))
    assert (row.low, row.high) == pytest.approx(tuple(np.percentile(by_model[:, 0, 1], [2.5, 97.5])))
    assert (row.n, row.n_positive) == (N, int(sample.truth[:, 1].sum()))
    difference = find(rows, "ours", MACRO, "base, probe")
    paired = (by_model[:, 0] - by_model[:, 1]).mean(1)
    assert (difference.low, difference.high) == pytest.approx(tuple(np.percentile(paired, [2.5, 97.5])))
    assert difference.value == pytest.approx(find(rows, "ours", MACRO).value - find(rows, "base", MACRO).value)


def test_patients_are_drawn_with_all_their_images(tmp_path: Path) -> None:
    sample = Sample()
    row = find(sample.rows(tmp_path, study("patient")), "base", "a")
    values = []
    for replicate in range(40):
        drawn = np.random.RandomState(3 + replicate).randint(0, N // 2, N // 2)
        images = np.concatenate([[2 * p, 2 * p + 1] for p in drawn])
        values.append(roc_auc_score(sample.truth[images, 0], sample.scores["base"][images, 0]))
    assert (row.low, row.high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_a_finding_with_few_positives_is_shown_and_not_averaged(tmp_path: Path) -> None:
    rows = Sample().rows(tmp_path, study())
    rare, mean = find(rows, "ours", "rare"), find(rows, "ours", MACRO)
    assert rare.value is not None
    assert rare.note.startswith("fewer than 5 positive images: shown, not averaged")
    assert mean.note == "mean over 2 of 3 findings"
    assert mean.value == pytest.approx(np.mean([find(rows, "ours", name).value for name in ("a", "b")]))


def test_a_difference_is_measured_on_the_images_that_both_have(tmp_path: Path) -> None:
    sample = Sample()
    rows = sample.rows(tmp_path, study(), left_out=10)
    assert find(rows, "ours", "a").n == N - 10
    assert find(rows, "base", "a").n == N
    row = find(rows, "ours", "a", "base, probe")
    assert row.n == N - 10
    aurocs = [roc_auc_score(sample.truth[10:, 0], s[10:, 0]) for s in sample.scores.values()]
    assert row.value == pytest.approx(aurocs[0] - aurocs[1])


def test_several_seeds_are_one_number_their_mean(tmp_path: Path) -> None:
    made = study(adaptations=["finetune"], seeds=[0, 1])
    row = find(Sample().rows(tmp_path, made), "ours", "a")
    assert row.seeds == "0 1"
    one = find(Sample().rows(tmp_path / "one", study(adaptations=["finetune"])), "ours", "a")
    assert row.value == pytest.approx(one.value)


def test_a_finding_without_a_test_positive_is_missing_with_its_reason(tmp_path: Path) -> None:
    sample = Sample()
    sample.truth[:, 2] = 0
    row = find(sample.rows(tmp_path, study()), "ours", "rare")
    assert row.value is None
    assert row.note == "no positive among 60"


def test_rows_are_written_and_read_to_the_last_digit(tmp_path: Path) -> None:
    rows = with_holm(Sample().rows(tmp_path / "store", study()))
    write_rows(rows, tmp_path / "results.csv")
    assert read_rows(tmp_path / "results.csv") == rows


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_its_definition(p: list[float]) -> None:
    order = np.argsort(p, kind="stable")
    for place, corrected in enumerate(holm(p)):
        rank_of = int(np.flatnonzero(order == place)[0])
        expected = max(min(1.0, (len(p) - k) * p[order[k]]) for k in range(rank_of + 1))
        assert corrected == pytest.approx(expected)


def test_only_means_are_corrected_over_datasets() -> None:
    base = Row("m", "d", "probe", "1", "0", "b, probe", MACRO, "auroc", 0.1, 0.0, 0.2, 9, None, 0.01, None, 10, 0)
    from dataclasses import replace

    rows = [base, replace(base, dataset="e", p=0.04), replace(base, finding="a", p=0.01), replace(base, less="")]
    found = with_holm([*rows[:3], replace(rows[3], p=None)])
    assert [row.p_holm for row in found] == [0.02, 0.04, None, None]


def test_ranks_and_the_critical_difference_are_demsar_s() -> None:
    # Table 6 and section 3.2.2 of Demšar 2006: four classifiers on 14 datasets, critical difference 1.25 at 0.05.
    found = rank({name: [value] * 14 for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6))})
    assert found is not None
    assert found.means == (1, 2, 3, 4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert cliques(found) == [(0, 1), (1, 2), (2, 3)]
    assert rank({"a": [0.9, 0.8]}) is None
