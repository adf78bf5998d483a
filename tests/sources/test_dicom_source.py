"""A PACS export enters with its reports, and nothing that names a patient enters with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hilum.archive import Archive
from hilum.errors import SourceError, TableError, UsageError
from hilum.sources import ingest

SALT = b"sixteen bytes or more"


def rows(archive: Path, *columns: str) -> dict[str, dict[str, object]]:
    table = Archive.open(archive).images(["image_id", *columns])
    return {row["image_id"]: row for row in table.to_pylist()}


def test_files_are_known_by_content_and_keep_their_ids(export: Path, tmp_path: Path) -> None:
    summary = ingest("dicom", export, tmp_path / "a", workers=0)
    assert (summary.added, summary.studies, summary.reports) == (4, 3, 2)
    assert summary.skipped == {"not DICOM": 1}
    found = rows(tmp_path / "a", "study_id", "patient_id", "view", "sex", "age_years", "path")
    assert found["1.1.1"] | {"row": 0} == {
        "image_id": "1.1.1", "study_id": "1.1", "patient_id": "P1", "view": "pa", "sex": "F", "age_years": 61.0,
        "path": "p1/s1/a.dcm", "row": 0,
    }  # fmt: skip
    assert [found[i]["view"] for i in ("1.1.2", "1.2.1", "2.1.1")] == ["lateral", "ap", "unknown"]


def test_reports_beside_studies_are_cut_into_sections(export: Path, tmp_path: Path) -> None:
    summary = ingest("dicom", export, tmp_path / "a", workers=2)
    assert summary.notes == [
        "1 images have no usable study date, or no earlier file of their patient here: no study order"
    ]
    studies = {row["study_id"]: row for row in Archive.open(tmp_path / "a").studies().to_pylist()}
    assert (studies["1.1"]["findings"], studies["1.1"]["impression"]) == ("Clear lungs.", "Normal.")
    assert studies["1.2"]["impression"] == "Épanchement."
    assert studies["2.1"]["report"] is None


def test_a_text_in_a_folder_of_two_studies_belongs_to_neither(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    root = tmp_path / "flat"
    write_dicom(root / "a.dcm", image="1.1", study="1")
    write_dicom(root / "b.dcm", image="2.1", study="2", AccessionNumber="ACC2")
    (root / "letter.txt").write_text("IMPRESSION: Pneumonia.")
    (root / "ACC2.txt").write_text("IMPRESSION: Normal.")
    summary = ingest("dicom", root, tmp_path / "a", workers=0)
    studies = Archive.open(tmp_path / "a").studies(["study_id", "impression"]).to_pylist()
    assert {row["study_id"]: row["impression"] for row in studies} == {"1": None, "2": "Normal."}
    assert any("1 of 2 text files belong to no study" in note for note in summary.notes)


@pytest.mark.parametrize(
    "table",
    [
        "AccessionNumber,report\nA11,IMPRESSION: Normal.\nA12,IMPRESSION: Edema.\nA99,x\n",
        "StudyInstanceUID;impression\n1.1;Normal.\n1.2;Edema.\n9.9;x\n",
        "﻿StudyInstanceUID\treport text\n1.1\tIMPRESSION: Normal.\n1.2\tIMPRESSION: Edema.\n9.9\tx\n",
    ],
)
def test_a_report_table_is_joined_by_accession_number_or_study(export: Path, tmp_path: Path, table: str) -> None:
    (tmp_path / "r.csv").write_text(table, encoding="utf-8")
    summary = ingest("dicom", export, tmp_path / "a", workers=0, reports=tmp_path / "r.csv")
    studies = Archive.open(tmp_path / "a").studies(["study_id", "impression"]).to_pylist()
    assert {row["study_id"]: row["impression"] for row in studies} == {"1.1": "Normal.", "1.2": "Edema.", "2.1": None}
    assert "1 of 3 reports in the table belong to no study that was read now" in summary.notes


def test_a_report_table_without_a_key_says_what_it_has(export: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("AccesionNumer,report\nA11,x\n")
    with pytest.raises(TableError, match="Did you mean 'AccesionNumer'"):
        ingest("dicom", export, tmp_path / "a", workers=0, reports=tmp_path / "r.csv")
    options = {"reports": tmp_path / "r.csv", "columns": {"key": "AccesionNumer"}}
    assert ingest("dicom", export, tmp_path / "a", workers=0, **options).reports == 1


def test_dates_become_days_from_the_first_study_and_are_not_stored(export: Path, tmp_path: Path) -> None:
    summary = ingest("dicom", export, tmp_path / "a", workers=0)
    assert {i: row["study_order"] for i, row in rows(tmp_path / "a", "study_order").items()} == {
        "1.1.1": 1,
        "1.1.2": 1,
        "1.2.1": 0,
        "2.1.1": None,
    }
    assert any(note.startswith("1 images have no usable study date") for note in summary.notes)


def test_a_study_that_comes_later_counts_from_the_same_day(
    export: Path, tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    ingest("dicom", export, tmp_path / "a", workers=0)
    write_dicom(export / "p1/s0/e.dcm", image="1.0.1", study="1.0", StudyDate="20200101")
    assert ingest("dicom", export, tmp_path / "a", workers=0).added == 1
    found = rows(tmp_path / "a", "study_order")
    assert (found["1.0.1"]["study_order"], found["1.2.1"]["study_order"]) == (-8, 0)
    # Another folder without the earlier files: no day to count from, so no made-up order.
    write_dicom(tmp_path / "new" / "f.dcm", image="1.9.1", study="1.9", StudyDate="20210101")
    ingest("dicom", tmp_path / "new", tmp_path / "a", workers=0)
    assert rows(tmp_path / "a", "study_order")["1.9.1"]["study_order"] is None


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_no_name_birth_date_date_or_free_text_tag_enters(export: Path, tmp_path: Path) -> None:
    ingest("dicom", export, tmp_path / "a", workers=0)
    content = everything_in(tmp_path / "a")
    for secret in (b"SECRET", b"19500101", b"20200110", b"20200109"):
        assert secret not in content
    assert b"1.1.1" in content  # the search would have found them


def test_pseudonyms_hide_every_id_and_path_and_are_the_same_each_time(export: Path, tmp_path: Path) -> None:
    (export / "p1" / "s2" / "P1-broken.dcm").write_bytes(b"garbage")
    for place in ("a", "b"):
        summary = ingest("dicom", export, tmp_path / place, workers=0, pseudonymize=SALT)
        assert (summary.added, summary.reports) == (4, 2)
    content = everything_in(tmp_path / "a")
    for secret in (b"1.1.1", b"2.1.1", b"P1", b"A11", b"series", b"broken", b"export", SALT):
        assert secret not in content
    first, second = (Archive.open(tmp_path / place).images().to_pylist() for place in ("a", "b"))
    assert first == second
    assert len({row["patient_id"] for row in first}) == 2
    assert sorted(row["study_order"] for row in first if row["study_order"] is not None) == [0, 1, 1]
    assert ingest("dicom", export, tmp_path / "a", workers=0, pseudonymize=SALT).already_there == 4


def test_another_salt_or_none_is_refused_for_a_pseudonymized_archive(export: Path, tmp_path: Path) -> None:
    ingest("dicom", export, tmp_path / "a", workers=0, pseudonymize=SALT)
    with pytest.raises(UsageError, match="another salt"):
        ingest("dicom", export, tmp_path / "a", workers=0, pseudonymize=SALT + b"!")
    with pytest.raises(UsageError, match="--pseudonymize"):
        ingest("dicom", export, tmp_path / "a", workers=0)
    with pytest.raises(SourceError, match="at least 16"):
        ingest("dicom", export, tmp_path / "b", workers=0, pseudonymize=b"short")


def test_bad_files_are_rejected_with_a_reason_and_the_rest_enters(
    export: Path, tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    good = (export / "p1/s1/a.dcm").read_bytes()
    (export / "bad").mkdir()
    (export / "bad" / "empty.dcm").write_bytes(b"")
    (export / "bad" / "garbage.dcm").write_bytes(b"not dicom at all" * 20)
    (export / "bad" / "cut.dcm").write_bytes(good[: len(good) // 2])
    (export / "bad" / "copy.dcm").write_bytes(good)
    write_dicom(export / "bad" / "sr", image="7.1", pixels=False)
    write_dicom(export / "bad" / "ct.dcm", image="7.2", Modality="CT")
    summary = ingest("dicom", export, tmp_path / "a", workers=0)
    assert summary.added == 4
    rejected = {row["path"]: row["reason"] for row in Archive.open(tmp_path / "a").rejects().to_pylist()}
    assert rejected["bad/empty.dcm"] == "empty"
    assert rejected["bad/garbage.dcm"] == "not_an_image"
    assert rejected["bad/ct.dcm"] == "not_a_radiograph"
    assert rejected["bad/sr"] == "no_pixels"
    assert rejected["bad/cut.dcm"] in ("truncated", "unreadable")
    # bad/copy.dcm sorts before p1/s1/a.dcm: the first file of an id is kept, the other one told.
    assert rejected["p1/s1/a.dcm"] == "duplicate_id"
    assert summary.rejected.total() == len(rejected) == 6


def test_rejects_are_told_again_but_written_once(export: Path, tmp_path: Path) -> None:
    (export / "x.dcm").write_bytes(b"junk")
    first = ingest("dicom", export, tmp_path / "a", workers=0)
    second = ingest("dicom", export, tmp_path / "a", workers=0)
    assert first.rejected == second.rejected == {"not_an_image": 1}
    assert len(Archive.open(tmp_path / "a").rejects()) == 1


def test_strict_stops_at_the_first_bad_file(export: Path, tmp_path: Path) -> None:
    (export / "a-bad.dcm").write_bytes(b"junk")
    with pytest.raises(SourceError, match=r"a-bad\.dcm"):
        ingest("dicom", export, tmp_path / "a", workers=0, strict=True)


def test_missing_ids_have_stated_stand_ins(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    write_dicom(tmp_path / "d" / "a.dcm", image="1.1", study="1", patient="")
    write_dicom(tmp_path / "d" / "b.dcm", image="2.1", study=None, patient=None, BurnedInAnnotation="YES")
    summary = ingest("dicom", tmp_path / "d", tmp_path / "a", workers=0)
    found = rows(tmp_path / "a", "study_id", "patient_id")
    assert (found["1.1"]["patient_id"], found["2.1"]["study_id"]) == ("1", "2.1")
    assert any(note.startswith("2 images have no Patient ID") for note in summary.notes)
    assert any(note.startswith("1 images say that text is burned") for note in summary.notes)


def test_a_folder_without_dicom_says_so(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x.png").write_bytes(b"\x89PNG")
    with pytest.raises(SourceError, match="holds no DICOM file"):
        ingest("dicom", tmp_path / "d", tmp_path / "a", workers=0)
    with pytest.raises(SourceError, match="is a file, not a folder"):
        ingest("dicom", tmp_path / "d" / "x.png", tmp_path / "a", workers=0)
    with pytest.raises(SourceError, match="does not exist"):
        ingest("dicom", tmp_path / "nowhere", tmp_path / "a", workers=0)
    assert not (tmp_path / "a").exists()


def test_links_to_folders_are_followed_but_not_in_circles(export: Path, tmp_path: Path) -> None:
    root = tmp_path / "linked"
    root.mkdir()
    (root / "data").symlink_to(export)
    (export / "p1" / "back").symlink_to(root)
    assert ingest("dicom", root, tmp_path / "a", workers=0).added == 4


def test_what_a_file_asked_for_in_vain_is_told(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    write_dicom(tmp_path / "d" / "a.dcm", image="1.1", WindowCenter=9_000, WindowWidth=1)
    summary = ingest("dicom", tmp_path / "d", tmp_path / "a", workers=0)
    assert any(note.startswith("1 images are not shown as their file asks") for note in summary.notes)
