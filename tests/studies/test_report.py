"""The report: tidy rows, tables in three formats, figures in two, one page that loads nothing, the same bytes each time."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hilum.studies import Record, Report, Store, Study, cells_of, write_report
from hilum.studies.store import Scores, Truth
from hilum.studies.tables import escaped
from tests.studies.test_measuring import NAMES, N, Sample
from tests.studies.test_measuring import study as small


def full(
    folder: Path, name: str = "a study", datasets: str = "de", adaptations: tuple[str, ...] = ("probe",)
) -> tuple[Study, Store]:
    """Three models on datasets named by a letter each, two parts."""
    made = small(
        name=name,
        models=[{"name": one, "folder": one} for one in ("ours", "theirs", "base")],
        datasets=[{"name": one, "archive": one} for one in datasets],
        adaptations=adaptations,
        fractions=[1.0, 0.1],
        statistics={"replicates": 30, "by": "image", "least_positives": 5, "correction": "holm"},
    )
    store, ids = Store(folder), [f"i{k}" for k in range(N)]
    for place, dataset in enumerate(made.datasets):
        sample = Sample(place)
        store.keep_truth(dataset.name, Truth(ids, ids, NAMES, sample.truth))
        rng = np.random.default_rng(place)
        for cell in cells_of(made):
            if cell.dataset != dataset.name:
                continue
            if cell.model == "theirs" and cell.adaptation == "zero-shot":
                store.keep(Record(cell, "missing", "theirs has no text tower"))
                continue
            strength = {"ours": 1.5, "theirs": 1.0, "base": 0.6}[cell.model]
            store.keep(Record(cell, "done"), Scores(ids, NAMES, rng.normal(size=(N, 3)) + strength * sample.truth))
    return made, store


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write_report(
        *full(tmp_path_factory.mktemp("report") / "out", adaptations=("zero-shot", "probe", "finetune"))
    )


def test_every_table_and_figure_is_there_in_every_format(report: Report) -> None:
    names = {picture.name for picture in report.pictures}
    assert {
        "figure2-finetune",
        "figure3-probe",
        "figure1-findings-probe-d",
        "ranks-finetune",
        "label-efficiency-probe",
    } <= names
    for picture in report.pictures:
        assert (report.folder / "figures" / f"{picture.name}.png").read_bytes()[:4] == b"\x89PNG"
        ElementTree.fromstring((report.folder / "figures" / f"{picture.name}.svg").read_bytes())
    for table in report.tables:
        for ending in ("csv", "md", "tex"):
            assert (report.folder / "tables" / f"{table.name}.{ending}").stat().st_size > 0
    assert {table.name for table in report.tables} >= {"improvements", "means-probe", "findings", "missing"}


def test_the_table_of_improvements_names_the_best_and_both_baselines(report: Report) -> None:
    (table,) = [one for one in report.tables if one.name == "improvements"]
    assert [row[0] for row in table.rows] == ["d", "e"]
    heads = table.columns[4:]
    assert heads == ("base, finetune", "gain", "p", "base, probe", "gain", "p")
    for row in table.rows:
        model, _, adaptation = row[2].partition(", ")
        own = next(
            one for one in report.rows
            if (one.model, one.adaptation, one.dataset, one.part, one.finding, one.less)
            == (model, adaptation, row[0], "1", "macro", "")
        )  # fmt: skip
        assert row[3].startswith(f"{own.value:.3f} (")
        others = [
            one.value for one in report.rows
            if one.dataset == row[0] and one.part == "1" and one.finding == "macro" and not one.less and one.model != "base"
        ]  # fmt: skip
        assert own.value == max(value for value in others if value is not None)
        assert re.fullmatch(r"[+-]\d\.\d{3}\*? \([+-].*\)", row[5])
    assert "leans high" in table.notes[1] or "lean high" in table.notes[1]


def test_the_page_loads_nothing_and_shows_what_is_missing_and_why(report: Report) -> None:
    page = (report.folder / "study.html").read_text()
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]{0,30})', page))
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "theirs has no text tower" in page
    assert "Research use only" in page
    assert "corrected over datasets (Holm)" in page


def test_two_reports_of_one_study_are_equal_byte_for_byte(tmp_path: Path) -> None:
    contents = []
    for place in ("a", "b"):
        report = write_report(*full(tmp_path / place / "out", datasets="d"))
        files = sorted(
            path for path in report.folder.rglob("*") if path.suffix in (".csv", ".tex", ".md", ".html", ".svg", ".png")
        )
        contents.append({path.relative_to(report.folder): path.read_bytes() for path in files})
    assert contents[0].keys() == contents[1].keys()
    assert [name for name in contents[0] if contents[0][name] != contents[1][name]] == []


def test_names_cannot_run_in_the_page_nor_break_latex(tmp_path: Path) -> None:
    report = write_report(*full(tmp_path / "out", name="<script>alert(1)</script>", datasets="d"))
    assert "<script>" not in (report.folder / "study.html").read_text()
    assert escaped("50% of A_1 & B") == r"50\% of A\_1 \& B"


def test_an_unfinished_study_reports_what_there_is(tmp_path: Path) -> None:
    made, store = full(tmp_path / "out", datasets="de")
    for path in (tmp_path / "out" / "cells").glob("e~*"):
        path.unlink()
    report = write_report(made, store)
    assert report.waiting > 0
    assert {row.dataset for row in report.rows} == {"d"}
    assert f"{report.waiting} not run yet" in (report.folder / "study.html").read_text()


def test_a_study_with_nothing_done_still_has_a_page(tmp_path: Path) -> None:
    report = write_report(small(), Store(tmp_path / "out"))
    assert report.rows == ()
    assert "not run yet" in (tmp_path / "out" / "study.html").read_text()
