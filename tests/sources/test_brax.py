"""BRAX: five-year ages, PNG or DICOM with and without ending, CheXpert's codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError
from hilum.labelsets import BRAX_14
from hilum.sources import ingest

HEADER = (
    "DicomPath,PngPath,PatientID,PatientSex,PatientAge,AccessionNumber,StudyDate,"
    + ",".join(BRAX_14)
    + ",ViewPosition,Rows,Columns,Manufacturer"
)


def row(image: str, about: str, date: str, view: str, **values: str) -> str:
    cells = ",".join(values.get(name.replace(" ", "_"), "") for name in BRAX_14)
    return f"Anonymized_DICOMs/{image}.dcm,images/{image}.png,{about},{date},{cells},{view},2544,3056,1"


IMAGES = [f"id_{n}/Study_{n}/Series_{n}/image-{n}" for n in range(5)]


@pytest.fixture
def root(tmp_path: Path, write_dicom: Callable[..., Path]) -> Path:
    root = tmp_path / "brax"
    write_picture(root / f"images/{IMAGES[0]}.png", 0, depth=16)
    write_picture(root / f"images/{IMAGES[1]}.png", 1)
    write_dicom(root / f"Anonymized_DICOMs/{IMAGES[2]}.dcm", image="1.2", seed=2, ViewPosition="AP")
    write_dicom(root / f"Anonymized_DICOMs/{IMAGES[3]}", image="1.3", seed=3, PhotometricInterpretation="MONOCHROME2")
    rows = [
        row(IMAGES[0], "p1,M,85 or more,a1", "20080312", "PA", Edema="1", Pneumonia="-1", Fracture="0"),
        row(IMAGES[1], "p1,M,85 or more,a0", "20080302", "L", No_Finding="1"),
        row(IMAGES[2], "p2,F,45,a2", "20090101", ""),
        row(IMAGES[3], "p3,O,,a3", "20090101", "RLO"),
        row(IMAGES[4], "p4,O,,a4", "20090101", "PA"),
    ]
    (root / "master_spreadsheet_update.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return root


def test_either_format_enters_with_its_metadata(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "brax", root)
    names = [f"brax-{image}" for image in IMAGES[:4]]
    assert sorted(found.images) == names
    assert [found.images[n]["view"] for n in names] == ["pa", "lateral", "ap", "unknown"]
    assert [found.images[n]["age_years"] for n in names] == [85.0, 85.0, 45.0, None]
    assert [found.images[n]["sex"] for n in names] == ["M", "M", "F", "O"]
    assert [found.images[n]["study_order"] for n in names] == [10, 0, 0, 0]
    assert found.images[names[0]]["patient_id"] == "brax-p1"
    assert found.summary.notes == ["1 of 5 images in master_spreadsheet_update.csv are not in the folder"]


def test_labels_keep_doubt_and_silence_apart(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "brax", root)
    name = f"brax-{IMAGES[0]}"
    assert [found.has(name, value) for value in ("positive", "uncertain", "negative")] == [
        {"Edema"},
        {"Pneumonia"},
        {"Fracture"},
    ]
    assert found.summary.labels == 4


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    (root / "master_spreadsheet_update.csv").rename(root / "sheet.csv")
    with pytest.raises(SourceError, match=r"lacks master_spreadsheet_update\.csv"):
        ingest("brax", root, tmp_path / "a")
