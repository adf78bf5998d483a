"""Any table of image paths enters, or says which column or value stands in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hilum.archive import Archive
from hilum.errors import HilumError, SourceError, TableError, UsageError
from hilum.sources import ingest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a.png", "sub/b.png", "c.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(path)
    return tmp_path / "data"


def write(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def images(archive: Path) -> list[dict[str, Any]]:
    return sorted(Archive.open(archive).images().to_pylist(), key=lambda row: row["image_id"])


def test_usual_column_names_are_found(folder: Path, tmp_path: Path) -> None:
    table = write(
        folder,
        "Path;Patient ID;Study_ID;View Position;Age;Gender;Split;Findings;Impression\n"
        "a.png;7;s1;AP Supine;63Y;female;valid;Clear.;Normal.\n"
        "sub/b.png;7;s2;;12.5;M;valid;;\n",
    )
    summary = ingest("table", table, tmp_path / "a", workers=0)
    first, second = images(tmp_path / "a")
    assert (first["patient_id"], first["study_id"], first["view"], first["age_years"], first["sex"], first["split"]) == (
        "7", "s1", "ap_supine", 63.0, "F", "val",
    )  # fmt: skip
    assert (second["view"], second["path"]) == ("unknown", "sub/b.png")
    assert (summary.studies, summary.reports) == (2, 1)
    studies = {row["study_id"]: row for row in Archive.open(tmp_path / "a").studies().to_pylist()}
    assert (studies["s1"]["findings"], studies["s1"]["impression"]) == ("Clear.", "Normal.")


def test_columns_views_and_labels_can_be_mapped(folder: Path, tmp_path: Path) -> None:
    table = write(folder, "f\tpid\tproj\tEffusion\ttb\na.png\t1\tFrontal\t1.0\tyes\nc.png\t2\tLAT\t-1.0\t\n", "t.tsv")
    summary = ingest(
        "table",
        table,
        tmp_path / "a",
        workers=0,
        columns={"image": "f", "patient_id": "pid", "view": "proj"},
        views={"Frontal": "pa"},
        labels=["Effusion", "tb"],
    )
    assert [row["view"] for row in images(tmp_path / "a")] == ["pa", "lateral"]
    assert summary.labels == 3
    said = Archive.open(tmp_path / "a").labels(["image_id", "finding", "value", "said_by"]).to_pylist()
    assert {(row["image_id"], row["finding"], row["value"]) for row in said} == {
        ("a.png", "Pleural Effusion", "positive"),
        ("a.png", "Tuberculosis", "positive"),
        ("c.png", "Pleural Effusion", "uncertain"),
    }
    assert {row["said_by"] for row in said} == {"dataset:table"}


def test_parquet_latin1_and_byte_order_marks_are_read(folder: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a.png"], "patient_id": pa.array([7.0])}), folder / "t.parquet")
    ingest("table", folder / "t.parquet", tmp_path / "p", workers=0)
    assert images(tmp_path / "p")[0]["patient_id"] == "7"
    ingest("table", write(folder, "﻿path,report\na.png,x\n"), tmp_path / "b", workers=0)
    ingest(
        "table",
        write(folder, "path,report\na.png,IMPRESSION: Épanchement\n", encoding="latin-1"),
        tmp_path / "l",
        workers=0,
    )
    assert Archive.open(tmp_path / "l").studies(["impression"])["impression"].to_pylist() == ["Épanchement"]


def test_paths_may_count_from_a_folder_above_the_table(folder: Path, tmp_path: Path) -> None:
    table = write(folder, "path\ndata/a.png\ndata/sub/b.png\n")
    assert ingest("table", table, tmp_path / "a", workers=0).added == 2


def test_blank_ids_missing_files_and_repeats_are_rejected_row_by_row(folder: Path, tmp_path: Path) -> None:
    table = write(
        folder,
        "path,image_id,patient_id\na.png,1,P1\nsub/b.png,NaN,P1\n,3,P1\nc.png,4,\ngone.png,5,P1\nc.png,1,P2\nc.png,6,P2\n",
    )
    summary = ingest("table", table, tmp_path / "a", workers=0)
    assert summary.rejected == {"blank_id": 3, "missing": 1, "duplicate_id": 1}
    assert [row["image_id"] for row in images(tmp_path / "a")] == ["1", "6"]
    assert images(tmp_path / "a")[0]["patient_id"] == "P1"  # not overwritten by the repeat
    messages = {row["message"] for row in Archive.open(tmp_path / "a").rejects().to_pylist()}
    assert "t.csv row 2: 'image_id' is blank." in messages


def test_without_a_patient_column_the_summary_says_who_stands_for_it(folder: Path, tmp_path: Path) -> None:
    summary = ingest("table", write(folder, "path\na.png\n"), tmp_path / "a", workers=0)
    assert any("no patient column" in note for note in summary.notes)


@pytest.mark.parametrize(
    ("text", "options", "kind", "said"),
    [
        ("file_of_image\na.png\n", {}, TableError, "no column of image paths"),
        ("path,view\na.png,Frontal\n", {}, TableError, r"'Frontal' \(1 rows\).*--view-map"),
        ("path,x\na.png,1\n", {"columns": {"view": "X"}}, TableError, "Did you mean 'x'"),
        ("path,x\na.png,1\n", {"columns": {"veiw": "x"}}, UsageError, "Did you mean 'view'"),
        ("path,Edema\na.png,1\n", {"labels": ["edema"]}, TableError, "Did you mean 'Edema'"),
        (
            "path,Edema\na.png,2\n",
            {"labels": ["Edema"]},
            TableError,
            "row 1: 'Edema' has values that are not understood",
        ),
        ("path,x\na.png,1\n", {"views": {"x": "front"}}, UsageError, "expected one of pa"),
        ("path,split\na.png,fold1\n", {}, TableError, "'fold1'"),
        ("path,sex\na.png,9\n", {}, TableError, "Expected M or F"),
        ("path\nnot-there.png\n", {}, SourceError, "none of the first 1 image paths exists"),
        ("path\n", {}, TableError, "no rows"),
        ("path#view\na.png#pa\n", {}, TableError, "check the delimiter"),
    ],
)
def test_what_a_mapping_could_mend_stops_before_the_first_image(
    folder: Path, tmp_path: Path, text: str, options: dict[str, Any], kind: type[HilumError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        ingest("table", write(folder, text), tmp_path / "a", workers=0, **options)
    assert not (tmp_path / "a").exists()


def test_a_folder_is_not_a_table(folder: Path, tmp_path: Path) -> None:
    write(folder, "path\na.png\n")
    with pytest.raises(SourceError, match=r"It holds: t\.csv"):
        ingest("table", folder, tmp_path / "a", workers=0)
