"""MIMIC-CXR in both releases: three levels of folders, packed tables, reports beside studies, order by date and time."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError, TableError
from hilum.sources import ingest
from hilum.sources.mimic_tree import minute_of

# subject, study, image, StudyDate, StudyTime, ViewPosition, split
IMAGES = (
    ("10000032", "53911762", "68b5c4b1-227d0485-9cc38c3f-7b84ab51-4b472714", "21800626", "165500.312", "AP", "train"),
    ("10000032", "50414267", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "21800506", "213014.531", "PA", "train"),
    ("10000032", "50414267", "174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "21800506", "213014.531", "LATERAL", "train"),
    ("10000032", "59999999", "aaaaaaaa-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "21800506", "5402.75", "", "train"),
    ("11000183", "51967845", "bbbbbbbb-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "21100301", "10000.0", "LL", "validate"),
    ("12000000", "52000000", "cccccccc-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "21100301", "10000.0", "PA", "test"),
)  # fmt: skip
FINDINGS = "Atelectasis,Edema,No Finding,Pleural Effusion"
REPORT = (
    "                                 FINAL REPORT\n FINDINGS:\n Clear lungs.\n\n IMPRESSION:\n ___ No acute process.\n"
)


def packed(path: Path, lines: list[str]) -> None:
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))


def folder(root: Path, subject: str, study: str) -> Path:
    return root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"


@pytest.fixture
def jpg(tmp_path: Path) -> Path:
    root = tmp_path / "mimic-cxr-jpg"
    for seed, (subject, study, image, *_) in enumerate(IMAGES):
        write_picture(folder(root, subject, study) / f"{image}.jpg", seed)
    first = folder(root, "10000032", "50414267")
    first.with_suffix(".txt").write_text(REPORT)
    meta = [
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime"
    ]
    meta += [
        f"{i},{p},{s},CHEST (PA AND LAT),{view},3056,2544,{date},{time}" for p, s, i, date, time, view, _ in IMAGES
    ]
    packed(root / "mimic-cxr-2.0.0-metadata.csv.gz", meta)
    packed(
        root / "mimic-cxr-2.0.0-split.csv.gz",
        ["dicom_id,study_id,subject_id,split", *(f"{i},{s},{p},{split}" for p, s, i, *_, split in IMAGES)],
    )
    packed(
        root / "mimic-cxr-2.0.0-chexpert.csv.gz",
        [f"subject_id,study_id,{FINDINGS}", "10000032,50414267,,-1.0,,1.0", "10000032,53911762,0.0,,1.0,"],
    )
    packed(
        root / "mimic-cxr-2.0.0-negbio.csv.gz",
        [f"subject_id,study_id,{FINDINGS}", "10000032,50414267,,1.0,,1.0"],
    )
    (root / "mimic-cxr-2.1.0-test-set-labeled.csv").write_text("study_id,Edema\n52000000,1.0\n")
    return root


def test_images_labels_and_splits_come_from_the_packed_tables(jpg: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "mimic", jpg)
    assert (found.summary.added, found.summary.rejected, found.summary.studies) == (6, {}, 5)
    first = found.images[IMAGES[1][2]]
    assert (first["patient_id"], first["study_id"], first["view"]) == ("mimic-10000032", "mimic-50414267", "pa")
    assert [found.images[row[2]]["view"] for row in IMAGES] == ["ap", "pa", "lateral", "unknown", "lateral", "pa"]
    assert [found.images[row[2]]["split"] for row in IMAGES] == ["train"] * 4 + ["val", "test"]
    assert found.said == {
        ("mimic-50414267", "Edema"): "uncertain",
        ("mimic-50414267", "Pleural Effusion"): "positive",
        ("mimic-53911762", "Atelectasis"): "negative",
        ("mimic-53911762", "No Finding"): "positive",
    }


def test_other_speakers_keep_their_own_name(jpg: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "mimic", jpg)
    assert found.others == {
        ("labeler:mimic/negbio", "mimic-50414267", "Edema"): "positive",
        ("labeler:mimic/negbio", "mimic-50414267", "Pleural Effusion"): "positive",
        ("reader:mimic/radiologist", "mimic-52000000", "Edema"): "positive",
    }


def test_a_second_run_adds_nothing(jpg: Path, tmp_path: Path) -> None:
    first = enter(tmp_path / "a", "mimic", jpg, rows_per_commit=1)
    again = enter(tmp_path / "a", "mimic", jpg)
    assert (again.summary.added, again.summary.already_there, again.summary.labels) == (0, 6, 0)
    assert (again.said, again.others) == (first.said, first.others)


def test_studies_are_ordered_by_date_and_time_not_by_number(jpg: Path, tmp_path: Path) -> None:
    order = enter(tmp_path / "a", "mimic", jpg).column("study_order")
    last, evening, evening_too, night, *_ = (order[row[2]] for row in IMAGES)
    assert night < evening == evening_too < last
    assert (night, evening) == (54, 21 * 60 + 30)
    assert minute_of("", "1") is None


def test_reports_are_found_beside_studies_in_a_folder_and_in_the_zip(jpg: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "mimic", jpg)
    studies = {row["study_id"]: row for row in found.archive.studies().to_pylist()}
    assert studies["mimic-50414267"]["findings"] == "Clear lungs."
    assert studies["mimic-53911762"]["report"] is None
    assert "4 studies have no report beside them" in found.summary.notes
    with zipfile.ZipFile(jpg / "mimic-cxr-reports.zip", "w") as packed_reports:
        packed_reports.writestr("files/p10/p10000032/s53911762.txt", REPORT)
    assert enter(tmp_path / "b", "mimic", jpg).reports()["mimic-53911762"] == REPORT.strip()
    (tmp_path / "texts" / "files" / "p11" / "p11000183").mkdir(parents=True)
    (tmp_path / "texts" / "files" / "p11" / "p11000183" / "s51967845.txt").write_text(REPORT)
    reports = enter(tmp_path / "c", "mimic", jpg, reports=tmp_path / "texts").reports()
    assert reports["mimic-51967845"] == reports["mimic-50414267"] == REPORT.strip()


def test_the_dicom_release_takes_views_and_days_from_headers(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    root = tmp_path / "mimic-cxr"
    listing = ["subject_id,study_id,dicom_id,path"]
    for seed, (subject, study, image, date, _, view, _) in enumerate(IMAGES[:3]):
        path = folder(root, subject, study) / f"{image}.dcm"
        write_dicom(
            path, image=f"2.25.{seed}", study=study, patient=subject, seed=seed, StudyDate=date, ViewPosition=view
        )
        listing.append(f"{subject},{study},{image},{path.relative_to(root).as_posix()}")
    packed(root / "cxr-record-list.csv.gz", listing)
    found = enter(tmp_path / "a", "mimic", root)
    assert [found.images[row[2]]["view"] for row in IMAGES[:3]] == ["ap", "pa", "lateral"]
    assert [found.images[row[2]]["study_order"] for row in IMAGES[:3]] == [51 * 1440, 0, 0]
    assert any("60/20/20" in note for note in found.summary.notes)


def test_a_patient_in_two_official_splits_is_told_and_kept(jpg: Path, tmp_path: Path) -> None:
    lines = [f"{i},{s},{p},{'test' if s == '59999999' else split}" for p, s, i, *_, split in IMAGES]
    packed(jpg / "mimic-cxr-2.0.0-split.csv.gz", ["dicom_id,study_id,subject_id,split", *lines])
    found = enter(tmp_path / "a", "mimic", jpg)
    assert found.images[IMAGES[3][2]]["split"] == "test"
    assert any(
        "1 patient is in two of the dataset's own splits (mimic-10000032: train and test)" in n
        for n in found.summary.notes
    )
    hashed = enter(tmp_path / "b", "mimic", jpg, split="hashed")
    assert not any("two of the dataset" in note for note in hashed.summary.notes)
    assert len({hashed.images[row[2]]["split"] for row in IMAGES[:4]}) == 1


def test_what_is_missing_is_named(jpg: Path, tmp_path: Path) -> None:
    (jpg / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    with pytest.raises(SourceError, match=r"lacks mimic-cxr-\*-metadata\.csv\.gz .*it holds: files"):
        ingest("mimic", jpg, tmp_path / "a")
    with pytest.raises(SourceError, match="has no folder files/ with p10 to p19"):
        ingest("mimic", jpg / "files" / "p10", tmp_path / "a")


def test_an_unknown_split_stops_before_the_first_image(jpg: Path, tmp_path: Path) -> None:
    packed(jpg / "mimic-cxr-2.0.0-split.csv.gz", ["dicom_id,split", f"{IMAGES[0][2]},dev"])
    with pytest.raises(TableError, match="row 1: 'split' is 'dev'"):
        ingest("mimic", jpg, tmp_path / "a")
