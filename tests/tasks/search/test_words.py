"""Exact words: as a reader would find them, with the index as without, and of reports that came or changed since."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from hilum.archive import Archive, ReportWords
from hilum.errors import UsageError
from hilum.tasks.search import Browser
from hilum.tasks.search.words import Reports, terms_of

TEXTS = (
    "Small left pleural effusion. No pneumothorax.",
    "No effusion. Tube in place; the TUBE ends in the stomach.",
    "Pneumothorax, large. Follow-up advised.",
    "Effusions on both sides.",
    "Épanchement pleural gauche. Neumonía?",
    "No acute\nfracture. No pneumothorax",
)


@pytest.fixture(params=["scan", "index"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    archive = Archive.create(tmp_path / "archive")
    archive.add_studies(studies(TEXTS))
    if request.param == "index":
        ReportWords(archive).index()
    return Archive.open(archive.path)


def studies(texts: Sequence[str], start: int = 0) -> pa.Table:
    return pa.Table.from_pylist([{"study_id": f"s{start + i}", "report": text} for i, text in enumerate(texts)])


def found(archive: Archive, words: str) -> list[str]:
    return sorted(Reports(Archive.open(archive.path)).with_words(words)[0].to_pylist())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("effusion", ["s0", "s1"]),  # not "effusions": words are exact
        ("EFFUSION", ["s0", "s1"]),
        ("no", ["s0", "s1", "s5"]),
        ('"no pneumothorax"', ["s0", "s5"]),
        ('pneumothorax "follow up"', ["s2"]),
        ("follow-up", ["s2"]),
        ('"no acute fracture"', ["s5"]),
        ("effusion tube", ["s1"]),
        ("épanchement", ["s4"]),
        ("neumonía", ["s4"]),
        ("panchement", []),
        ("zebra", []),
        (".*", None),
        ("(tube", ["s1"]),
    ],
)
def test_studies_with_all_words_are_found(archive: Archive, words: str, expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(UsageError, match="no word in it"):
            found(archive, words)
    else:
        assert found(archive, words) == expected


def test_more_of_a_word_in_a_shorter_report_weighs_more(archive: Archive) -> None:
    archive.add_studies(studies(["Tube. " + "The lungs are clear. " * 20], start=6))
    ids, weights = Reports(Archive.open(archive.path)).with_words("tube")
    assert ids.to_pylist() == ["s1", "s6"]
    assert weights[0] > weights[1] > 0


def test_reports_that_came_or_changed_since_are_found(archive: Archive) -> None:
    archive.add_studies(studies(["A zebra."], start=6))
    archive.update_studies(pa.table({"study_id": ["s0"], "report": ["Zebra stripes."]}))
    assert found(archive, "zebra") == ["s0", "s6"]
    assert found(archive, "effusion") == ["s1"]
    ReportWords(Archive.open(archive.path)).index()
    archive.compact()
    assert found(archive, "zebra") == ["s0", "s6"]
    assert found(archive, "effusion") == ["s1"]


def test_sections_are_read_where_there_is_no_whole_report(archive: Archive) -> None:
    archive.add_studies(pa.Table.from_pylist([{"study_id": "s9", "findings": "A giraffe.", "impression": None}]))
    assert found(archive, "giraffe") == ["s9"]


def test_the_index_is_used_where_it_sees_all_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive.create(tmp_path / "archive")
    archive.add_studies(studies(TEXTS))
    ReportWords(archive).index()
    monkeypatch.setattr(Reports, "_texts", lambda self: pytest.fail("all reports were read"))
    assert found(archive, "effusion") == ["s0", "s1"]


@pytest.mark.parametrize("words", ["", "  ", '"open', "a " * 30, "x" * 600])
def test_words_that_cannot_be_looked_for_are_refused(words: str) -> None:
    with pytest.raises(UsageError, match=r"word|characters"):
        terms_of(words)


def test_every_image_of_a_study_is_found_once(disks: Path) -> None:
    archive = Archive.open(disks)
    hits = Browser(archive).by_words('"left effusion"', k=100)
    reports = dict(zip(*(archive.studies()[n].to_pylist() for n in ("study_id", "report")), strict=True))
    images = archive.images().to_pylist()
    expected = [one["image_id"] for one in images if re.search("Left effusion", reports[one["study_id"]])]
    assert sorted(hit.image_id for hit in hits) == sorted(expected)
    assert {hit.found_by for hit in hits} == {"words"}
