"""The words of a study are those of its report, and a study without one has none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hilum.archive import Archive
from hilum.reports import study_text
from hilum.reports.inputs import open_input
from hilum.reports.policy import POLICIES

SILENT = {
    "study_id": "s1",
    "patient_id": "p1",
    "source": "phantom",
    "report": None,
    "findings": None,
    "impression": None,
}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_study_without_report_has_no_words_under_any_policy(policy: str) -> None:
    assert study_text(SILENT, policy) == ""


def test_ids_are_no_part_of_a_text() -> None:
    assert study_text({**SILENT, "findings": "Clear lungs."}, "whole") == "Clear lungs."


def test_a_report_without_impression_keeps_the_original_s_words_for_it() -> None:
    assert study_text({**SILENT, "report": "FINDINGS: Clear lungs."}, "chexzero") == "NO IMPRESSION"


def test_an_archive_is_labeled_by_the_same_words(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "archive", text_policy="chexzero")
    told = {**SILENT, "study_id": "s2", "report": "FINDINGS: Clear lungs."}
    archive.add_studies(pa.Table.from_pylist([{**SILENT, "report": None}, told]))
    [chunk] = open_input(tmp_path / "archive").chunks()
    assert dict(zip(chunk.ids, chunk.texts, strict=True)) == {"s1": "", "s2": "NO IMPRESSION"}
