"""Retrieval on an archive: what a model that sees finds, what one that does not finds by chance, and intervals by patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hilum.errors import TableError, UsageError
from hilum.evaluation.archive_retrieval import RetrievalEvaluation, _precision_drawn, evaluate_retrieval
from hilum.evaluation.resampling import Resampler
from hilum.evaluation.results import read_csv
from tests.tasks.search.conftest import Seeing
from tests.tasks.search.conftest import disks as disks

CLASSES = ("effusion", "Pneumothorax")


@pytest.fixture(scope="module")
def measured(disks: Path, tmp_path_factory: pytest.TempPathFactory) -> RetrievalEvaluation:
    out = tmp_path_factory.mktemp("results") / "r.csv"
    found = evaluate_retrieval(Seeing(), disks, classes=CLASSES, replicates=50, out=out)
    assert [row.metric for row in read_csv(out)] == [row.metric for row in found.results]
    return found


def test_a_model_that_sees_finds_the_own_report_among_different_texts(measured: RetrievalEvaluation) -> None:
    assert (measured.images, measured.patients, measured.with_text) == (96, 96, 96)
    assert (measured.texts, measured.duplicates) == (4, 92)
    row = measured.get("image_to_text_recall@1")
    assert (row.value, row.n) == (1.0, 96)
    assert "among 4 different texts; 92 repeated texts merged; chance 0.2500" in row.note
    assert measured.get("image_to_text_mean_rank").value == 1.0
    assert measured.get("text_to_image_recall@1").n == 4
    assert {row.metric for row in measured.results if "image_to_text_recall" in row.metric} == {
        "image_to_text_recall@1"
    }  # 5 and 10 are as large as the gallery


def test_neighbors_share_the_class_and_chance_is_told(measured: RetrievalEvaluation) -> None:
    for direction in ("image_to_image", "text_to_image"):
        for finding in ("Pleural Effusion", "Pneumothorax", "macro"):
            assert measured.get(f"{direction}_precision@10", finding).value == 1.0
    row = measured.get("image_to_image_precision@10", "Pneumothorax")
    assert (row.n, row.n_positive) == (48, 48)
    assert row.note == "among 95 other images; chance 0.500"
    assert not [row for row in measured.results if row.metric.endswith("@100")]  # there are not so many
    assert "labels said by dataset" in measured.remarks[0]


def test_a_model_that_sees_nothing_is_near_chance(disks: Path) -> None:
    class Blind(Seeing):
        def embed_squares(self, squares: np.ndarray) -> np.ndarray:  # type: ignore[override]
            return np.random.default_rng(0).normal(size=(len(squares), 4)).astype(np.float32)

    found = evaluate_retrieval(Blind("blind"), disks, classes=CLASSES, replicates=200)
    row = found.get("image_to_image_precision@50", "macro")
    assert row.value == pytest.approx(0.5, abs=0.06)
    assert row.low < row.value < row.high
    assert found.get("image_to_text_recall@1").value == pytest.approx(0.25, abs=0.15)


def test_precision_under_a_resample_equals_that_of_the_resampled_list() -> None:
    rng = np.random.default_rng(0)
    scores, relevant = rng.normal(size=(3, 40)), rng.random((3, 40)) < 0.4
    order = np.argsort(-scores, axis=1)
    right = np.take_along_axis(relevant, order, axis=1)
    resampler = Resampler(40, 20, 0, np.arange(40) // 3)
    (counts,) = resampler.counts()
    drawn = _precision_drawn(order, right, counts, k=6)
    for replicate in range(20):
        values = []
        for query in range(3):
            listed = [
                hit
                for place, hit in zip(order[query], right[query], strict=True)
                for _ in range(counts[place, replicate])
            ]
            values.append(np.mean(listed[:6]))
        assert drawn[replicate] == pytest.approx(np.mean(values))


def test_a_filter_and_a_table_of_queries_are_kept(disks: Path, tmp_path: Path) -> None:
    table = tmp_path / "queries.csv"
    table.write_text("Variable,Text\nPleural Effusion,large effusion\nPneumothorax,pneumothorax on the left\n")
    found = evaluate_retrieval(
        Seeing(), disks, where="split = 'train'", classes=CLASSES, queries=table, replicates=20, precision_at=(5,)
    )
    assert found.images == 48
    assert found.get("text_to_image_precision@5", "Pneumothorax").note.startswith("1 texts, among 48 images")
    table.write_text("Variable,Text\nPleural Effusion,large effusion\n")
    with pytest.raises(TableError, match="no text asks for Pneumothorax"):
        evaluate_retrieval(Seeing(), disks, classes=CLASSES, queries=table)
    table.write_text("name,words\na,b\n")
    with pytest.raises(TableError, match="expected columns finding"):
        evaluate_retrieval(Seeing(), disks, classes=CLASSES, queries=table)


def test_what_cannot_be_measured_is_told(disks: Path) -> None:
    with pytest.raises(UsageError, match="0 images fit"):
        evaluate_retrieval(Seeing(), disks, where="age > 1")
    with pytest.raises(UsageError, match="no label is about it"):
        evaluate_retrieval(Seeing(), disks, classes=["Fracture"])
    with pytest.raises(UsageError, match="nobody called 'me'"):
        evaluate_retrieval(Seeing(), disks, classes=CLASSES, said_by="me")
