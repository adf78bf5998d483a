"""PadChest: 16-bit pictures in numbered folders, labels as a list in a cell, Spanish reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError, TableError, UsageError
from hilum.labelsets import PADCHEST_9
from hilum.sources import ingest
from hilum.sources.padchest import listed

HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,PhotometricInterpretation_DICOM,ReportID,Report,MethodLabel,Labels"
)
ROWS = (
    "0,a.png,0,20140915,s2,p1,1930.0,F,POSTEROANTERIOR,PA,DICOM,MONOCHROME2,r1,derrame pleural,Physician,"
    "\"['cardiomegaly', ' pleural effusion', '', 'scoliosis ']\"",
    "1,b.png,0,20140910,s1,p1,1930.0,F,LATERAL,L,DICOM,MONOCHROME1,r2,sin hallazg,RNN_model,\"['normal']\"",
    "2,c.png,1,20150101,s3,p2,1990.0,M,,AP_horizontal,CNN,MONOCHROME2,r3,,Physician,\"['COPD signs', 'unchanged']\"",
    "3,d.png,1,20150101,s4,p3,,M,,PA,CNN,MONOCHROME2,r4,,Physician,\"['exclude']\"",
    "4,e.png,1,20150101,s5,p3,,M,,PA,CNN,MONOCHROME2,r4,,Physician,\"['suboptimal study', 'pneumonia']\"",
    "5,f.png,1,20150101,s6,p3,,M,,EXCLUDE,CNN,MONOCHROME2,r4,,Physician,\"['pneumonia']\"",
    "6,g.png,1,20150101,s7,p3,,M,,COSTAL,CNN,MONOCHROME2,r4,,Physician,",
    "7,h.png,1,20150101,s8,p3,,M,,COSTAL,CNN,MONOCHROME2,r4,,Physician,\"['pneumonia'\"",
    "8,i.png,2,20150101,s9,p4,,M,,PA,CNN,MONOCHROME2,r4,,Physician,\"['pneumonia']\"",
)  # fmt: skip
TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "padchest"
    for seed, name in enumerate(
        ("0/a.png", "0/b.png", "1/c.png", "1/d.png", "1/e.png", "1/f.png", "1/g.png", "1/h.png")
    ):
        write_picture(root / name, seed, depth=16)
    (root / TABLE).write_text("\n".join([HEADER, *ROWS]) + "\n", encoding="utf-8")
    return root


def test_lists_of_labels_become_findings(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "padchest", root)
    assert sorted(found.images) == ["a.png", "b.png", "c.png"]
    assert found.has("a.png") == {"Cardiomegaly", "Pleural Effusion", "scoliosis"}
    assert found.has("b.png") == {"No Finding"}
    assert found.has("c.png") == {"COPD"}
    assert {"Pneumonia", "Heart Failure"} <= found.has("a.png", "negative")
    assert all((image, name) in found.said for image in found.images for name in PADCHEST_9)


def test_what_is_left_out_is_counted_and_what_is_broken_rejected(root: Path, tmp_path: Path) -> None:
    summary = enter(tmp_path / "a", "padchest", root).summary
    assert summary.skipped == {
        "labeled 'exclude'": 1,
        "labeled 'suboptimal study'": 1,
        "projection EXCLUDE": 1,
        "without labels": 1,
    }
    assert summary.rejected == {"unknown_label": 1}
    assert summary.notes == [
        f"1 of 5 images in {TABLE} are not in the folder",
        "1 images are said to be MONOCHROME1; they are taken as their PNG shows them",
    ]


def test_view_age_order_and_report_are_read(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "padchest", root)
    assert list(found.column("view").values()) == ["pa", "lateral", "ap_supine"]
    assert list(found.column("age_years").values()) == [84.0, 84.0, 25.0]
    assert list(found.column("study_order").values()) == [5, 0, 0]
    assert found.reports() == {"padchest-s2": "derrame pleural", "padchest-s1": "sin hallazg", "padchest-s3": None}


def test_only_a_physicians_labels_can_be_asked_for(root: Path, tmp_path: Path) -> None:
    assert sorted(enter(tmp_path / "a", "padchest", root, labeled_by="physician").images) == ["a.png", "c.png"]
    with pytest.raises(UsageError, match="expected all or physician"):
        ingest("padchest", root, tmp_path / "b", labeled_by="me")


@pytest.mark.parametrize("cell", ["pneumonia", "['a', 1]", "{'a'}", "['a'", "__import__('os')", "(" * 500, "['a'] * 9"])
def test_a_cell_that_is_no_list_of_names_is_refused_and_never_run(cell: str) -> None:
    with pytest.raises(TableError, match="expected a list such as"):
        listed(cell)


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    (root / TABLE).unlink()
    with pytest.raises(SourceError, match="lacks PADCHEST_chest_x_ray_images_labels_160K"):
        ingest("padchest", root, tmp_path / "a")
