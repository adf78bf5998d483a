"""Figures open, and the report stands alone: nothing is loaded from elsewhere, nothing from a file is run."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from hilum.evaluation import Evaluation, evaluate
from hilum.evaluation.figures import draw
from hilum.evaluation.html_report import render
from hilum.evaluation.results import Result
from hilum.evaluation.summary import grids, number

from .conftest import Study


@pytest.fixture
def evaluation(study: Study) -> Evaluation:
    return evaluate(
        study.truth_file,
        list(study.score_files.values()),
        list(study.reader_files.values()),
        thresholds_from=list(study.validation_files.values()),
        replicates=10,
    )


def test_each_figure_is_a_png_and_an_svg_that_open(evaluation: Evaluation) -> None:
    pictures = draw(evaluation)
    assert [p.name for p in pictures] == ["auroc_intervals", "roc_curves", "pr_curves", "calibration_curves"]
    for picture in pictures:
        image = np.asarray(Image.open(io.BytesIO(picture.png)).convert("L"))
        assert image.min() < 100 < image.max()
        assert ElementTree.fromstring(picture.svg).tag.endswith("svg")


def test_many_findings_go_on_in_a_second_figure() -> None:
    names = [f"sign {letter}" for letter in "abcdefghijklmnopqrstuvw"]
    generator = np.random.default_rng(0)
    ids = [str(i) for i in range(30)]
    truth = {"id": ids, **{name: [0, 1] * 15 for name in names}}
    scores = {"id": ids, **{name: generator.random(30) for name in names}}
    pictures = draw(evaluate(truth, {"m": scores}, replicates=5))
    assert [p.name for p in pictures if p.name.startswith("roc")] == ["roc_curves", "roc_curves_2"]


def test_nothing_to_draw_is_no_error(tmp_path: Path) -> None:
    evaluation = evaluate({"id": ["a", "b"], "Edema": [0, 0]}, {"m": {"id": ["a", "b"], "Edema": [0.1, 0.4]}})
    assert draw(evaluation) == []
    evaluation.write(tmp_path)
    assert "no positive among 2" in (tmp_path / "report.html").read_text()


def test_the_report_loads_nothing_and_says_what_it_is_for(evaluation: Evaluation) -> None:
    page = render(evaluation, draw(evaluation))
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in page
    assert "url(" not in page
    assert "Research use only" in page
    assert "80 images" in page
    assert evaluation.method() in page
    assert "mean over 4 of 5 findings" in page


def test_the_report_shows_what_did_not_match(study: Study) -> None:
    evaluation = evaluate(study.truth_file, study.score_files["good"], replicates=5)
    assert "60 ids without scores" in render(evaluation, [])


def test_names_from_files_cannot_run_in_the_report() -> None:
    evil = "<script>alert(1)</script>"
    evaluation = evaluate(
        {"id": ["a", "b", "c"], evil: [0, 1, 0]}, {evil: {"id": ["a", "b", "c"], evil: [0.1, 0.4, 0.2]}}, replicates=5
    )
    page = render(evaluation, draw(evaluation))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_examples_are_shown_with_their_captions(study: Study) -> None:
    png = io.BytesIO()
    Image.new("L", (8, 8)).save(png, "png")
    evaluation = evaluate(
        study.truth_file, study.score_files["good"], replicates=5, examples=[(png.getvalue(), "0001: Edema 0.81")]
    )
    assert "<figcaption>0001: Edema 0.81</figcaption>" in render(evaluation, [])


def test_grids_hold_a_row_for_each_finding_and_the_mean(evaluation: Evaluation) -> None:
    found = grids(evaluation.results)
    assert [(g.title, g.kind) for g in found][:3] == [("good", "ranking"), ("good", "calls"), ("good", "calibration")]
    assert found[0].columns == ("finding", "n", "positive", "AUROC", "average precision")
    assert [row[0] for row in found[0].rows][-2:] == ["Pleural Other", "mean over 4 of 5 findings"]
    assert found[0].remarks == ("Pleural Other: no positive among 80",)
    assert {g.title for g in found if g.kind == "difference"} == {
        "good - poor", "good - reader_a", "good - reader_b", "poor - reader_a", "poor - reader_b",
    }  # fmt: skip


def test_a_number_is_shown_with_its_interval_or_a_dash() -> None:
    result = Result("m", "d", "Edema", "auroc", 0.5, 0.25, 0.75, 9, 3, 10, 0)
    assert number(result) == "0.500 (0.250 to 0.750)"
    assert number(None) == "-"
