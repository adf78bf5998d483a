"""The pointing game counts hits, holds them against places that do not look, and draws patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hilum.archive import Archive
from hilum.evaluation import pointing
from hilum.evaluation.boxes import Boxed
from hilum.evaluation.pointing import Pointed, fixed_places, measured, point
from hilum.tasks.explaining import Heatmap
from tests.tasks.explaining.planted import SQUARE_PX, head_for_squares, model_of, pictures


def boxed(number: int, box: tuple[int, int, int, int], finding: str = "Square", patient: str | None = None) -> Boxed:
    return Boxed(f"i{number}", patient or f"p{number}", finding, number, (80, 64), np.array([box], float))


def heatmap(values: np.ndarray) -> Heatmap:
    return Heatmap(values.astype(np.float32), "square", "gradient", 0.5, 0, 1)


def test_hits_are_counted_at_the_highest_point_and_shared_where_several_tie(
    small_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.zeros((80, 64))
    values[:20] = np.nan  # not seen
    values[30, 10] = values[70, 60] = 5
    monkeypatch.setattr(pointing, "explain_with", lambda *_args, **_named: heatmap(values))
    both = [boxed(0, (8, 28, 14, 34)), boxed(1, (30, 38, 34, 42))]
    pointed = point([], Archive.open(small_archive), both)
    assert pointed.hits[:, 0].tolist() == [0.5, 0]
    assert pointed.hits[:, 1] == pytest.approx([36 / (60 * 64), 16 / (60 * 64)])  # of what was seen
    assert pointed.hits[:, 2].tolist() == [0, 1]
    assert pointed.peaks[0].tolist() == [30, 10]
    assert pointed.table().num_rows == 2


def test_the_fixed_place_lies_in_most_boxes() -> None:
    many = [
        boxed(0, (0, 0, 32, 40)),
        boxed(1, (16, 20, 48, 60)),
        boxed(2, (0, 60, 10, 80)),
        boxed(3, (0, 0, 9, 9), "Edema"),
    ]
    row, column = fixed_places(many)["Square"]
    assert 20 / 80 < row < 40 / 80
    assert 16 / 64 < column < 32 / 64
    assert fixed_places(many)["Edema"][0] < 9 / 80


def test_shares_and_differences_are_of_each_finding_and_of_all() -> None:
    findings = ["Edema"] * 6 + ["Fracture"] * 2
    hits = np.zeros((8, 4))
    hits[:, 0] = [1, 1, 1, 0, 1, 0, 0, 1]
    hits[:, 1], hits[:2, 2] = 0.25, 1
    all_ = tuple(boxed(k, (0, 0, 9, 9), finding) for k, finding in enumerate(findings))
    rows = measured(Pointed(all_, hits, np.zeros((8, 2), int), np.zeros(8)), "m", "d", replicates=200)
    by = {(row.finding, row.metric): row for row in rows}
    assert by["Edema", "pointing"].value == pytest.approx(4 / 6)
    assert by["Fracture", "pointing"].n == 2
    assert by["all", "pointing"].value == pytest.approx(5 / 8)
    assert by["all", "pointing - pointing_center"].value == pytest.approx(5 / 8 - 2 / 8)
    assert by["all", "pointing_chance"].low == by["all", "pointing_chance"].high == pytest.approx(0.25)
    low, high = by["all", "pointing"].low, by["all", "pointing"].high
    assert low is not None
    assert high is not None
    assert low < 5 / 8 < high
    assert by["all", "pointing - pointing_center"].p_value is not None
    assert by["all", "pointing"].p_value is None


def test_a_patient_is_drawn_with_all_images() -> None:
    hits = np.array([[1.0, 0, 0, 0]] * 5 + [[0.0, 0, 0, 0]] * 5)
    one_each = tuple(boxed(k, (0, 0, 9, 9)) for k in range(10))
    two = tuple(boxed(k, (0, 0, 9, 9), patient="a" if k < 5 else "b") for k in range(10))

    def width(of: tuple[Boxed, ...]) -> float:
        row = measured(Pointed(of, hits, np.zeros((10, 2), int), np.zeros(10)), "m", "d", replicates=300)[0]
        assert row.low is not None
        assert row.high is not None
        return row.high - row.low

    assert width(two) == 1.0
    assert width(one_each) < 0.7


def test_a_model_that_sees_squares_wins_the_game(tmp_path: Path) -> None:
    import pyarrow as pa

    images, corners = pictures(12, 3)
    archive = Archive.create(tmp_path / "archive")
    rows = [
        {"image_id": f"i{k}", "study_id": f"s{k}", "patient_id": f"p{k}", "source": "squares", "path": f"{k}.png",
         "view": "pa", "height": 80, "width": 64, "pixels": image.tobytes(), "split": "test"}
        for k, image in enumerate(images)
    ]  # fmt: skip
    archive.add_images(pa.Table.from_pylist(rows))
    boxes = [boxed(k, (x - 3, y - 3, x + SQUARE_PX + 3, y + SQUARE_PX + 3)) for k, (y, x) in enumerate(corners)]
    model = model_of("vit-tiny")
    pointed = point([(model, head_for_squares(model))], archive, boxes)
    by = {row.metric: row for row in measured(pointed, "m", "d", replicates=50) if row.finding == "all"}
    value = by["pointing"].value
    assert value is not None
    assert value >= 0.9
    assert (by["pointing_chance"].value or 0) < 0.1
