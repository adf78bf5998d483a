"""Edema grades: three tables, images from MIMIC-CXR, one positive among four findings."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError, UsageError
from hilum.labelsets import EDEMA_GRADES
from hilum.sources import ingest

TREE = (
    ("10000032", "50414267", "aaaaaaaa-1"),
    ("10000032", "50414267", "aaaaaaaa-2"),
    ("10000032", "53911762", "bbbbbbbb-1"),
    ("11000183", "51967845", "cccccccc-1"),
    ("12000000", "52000000", "dddddddd-1"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "edema"
    for seed, (subject, study, image) in enumerate(TREE):
        write_picture(root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}" / f"{image}.jpg", seed)
    (root / "regex_report_edema_severity.csv").write_text(
        "subject_id,study_id,edema_severity\n10000032,50414267,1.0\n11000183,51967845,3\n19000000,59000000,0\n"
    )
    (root / "expert_report_edema_severity.csv").write_text(
        "subject_id,study_id,edema_severity\n10000032,50414267,2\n10000032,53911762,0\n"
    )
    (root / "consensus_image_edema_severity.csv").write_text(
        "subject_id,study_id,dicom_id,edema_severity\n10000032,50414267,aaaaaaaa-1,3\n12000000,52000000,dddddddd-1,5\n"
    )
    return root


def grade(found: object, image: str) -> str:
    return next(iter(found.has(f"edema-{image}")))  # type: ignore[attr-defined]


def test_the_best_table_grades_an_image(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "edema", root)
    assert [grade(found, f"{n}") for n in ("aaaaaaaa-1", "aaaaaaaa-2", "bbbbbbbb-1", "cccccccc-1")] == [
        EDEMA_GRADES[3],
        EDEMA_GRADES[2],
        EDEMA_GRADES[0],
        EDEMA_GRADES[3],
    ]
    assert found.has("edema-aaaaaaaa-1", "negative") == set(EDEMA_GRADES[:3])
    assert found.summary.rejected == {"unknown_label": 1}
    assert found.images["edema-aaaaaaaa-1"]["patient_id"] == "mimic-10000032"
    assert any("lateral ones too" in note for note in found.summary.notes)


def test_report_grades_hold_for_the_images_of_the_cohort(root: Path, tmp_path: Path) -> None:
    (root / "auxiliary_metadata").mkdir()
    (root / "auxiliary_metadata" / "mimic_cxr_metadata_available_CHF_view.csv").write_text(
        "dicom_id,ViewPosition\naaaaaaaa-1,PA\nbbbbbbbb-1,AP\n"
    )
    found = enter(tmp_path / "a", "edema", root)
    assert found.column("view") == {"edema-aaaaaaaa-1": "pa", "edema-bbbbbbbb-1": "ap"}


def test_consensus_patients_can_be_held_out(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "edema", root, hold_out="consensus")
    split = found.column("split")
    assert {image for image in split if split[image] == "test"} == {
        "edema-aaaaaaaa-1",
        "edema-aaaaaaaa-2",
        "edema-bbbbbbbb-1",
    }
    with pytest.raises(UsageError, match="expected none or consensus"):
        ingest("edema", root, tmp_path / "b", hold_out="yes")


def test_images_may_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mimic").mkdir()
    (root / "files").rename(tmp_path / "mimic" / "files")
    with pytest.raises(SourceError, match="put or link files/ here"):
        ingest("edema", root, tmp_path / "a")
    assert enter(tmp_path / "a", "edema", root, images=tmp_path / "mimic").summary.added == 4
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match=r"lacks all of regex_report_edema_severity\.csv"):
        ingest("edema", tmp_path / "none", tmp_path / "b")
