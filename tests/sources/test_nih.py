"""ChestX-ray14 enters from each of its layouts, and from the real files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hilum.archive import Archive
from hilum.errors import SourceError, TableError
from hilum.sources import ingest

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
ROWS = (
    "00000001_000.png,Cardiomegaly|Effusion,0,1,57,M,PA,2682,2749,0.143,0.143\n"
    "00000001_001.png,No Finding,1,1,58,M,AP,2682,2749,0.143,0.143\n"
    "00000002_000.png,Pleural_Thickening,0,2,413,F,PA,2682,2749,0.143,0.143\n"
    "00000003_000.png,Hernia,0,3,081Y,F,PA,2682,2749,0.143,0.143\n"
)


def dataset(root: Path, header: str = HEADER, table: str = "Data_Entry_2017_v2020.csv", images: str = "images") -> Path:
    """Three of the four listed images, and one that is not listed."""
    (root / images).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("00000001_000.png", "00000001_001.png", "00000002_000.png", "99999999_000.png"):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(root / images / name)
    (root / table).write_text(f"{header}\n{ROWS}")
    return root


def images(archive: Path) -> dict[str, dict[str, Any]]:
    return {row["image_id"]: row for row in Archive.open(archive).images().to_pylist()}


@pytest.mark.parametrize(
    ("header", "table", "folder"),
    [
        (HEADER, "Data_Entry_2017_v2020.csv", "images"),
        (HEADER + ",", "Data_Entry_2017.csv", "images_001/images"),
        (HEADER, "Data_Entry_2017.csv", "."),
        (
            HEADER.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"').replace(
                "OriginalImagePixelSpacing[x,y]", '"OriginalImagePixelSpacing[x,y]"'
            ),
            "Data_Entry_2017.csv",
            "images_012",
        ),
    ],
)
def test_each_layout_and_header_enters(tmp_path: Path, header: str, table: str, folder: str) -> None:
    root = dataset(tmp_path / "nih", header, table, folder)
    if header.endswith(","):
        (root / table).write_text((root / table).read_text().replace("0.143\n", "0.143,\n"))
    summary = ingest("nih", root, tmp_path / "a", workers=0)
    assert (summary.added, summary.studies, summary.labels) == (3, 3, 45)
    assert summary.skipped == {f"image not in {table}": 1}
    assert f"1 of 4 images in {table} are not in the folder" in summary.notes
    assert "1 impossible ages are stored as unknown" in summary.notes
    found = images(tmp_path / "a")
    assert found["00000001_001.png"]["patient_id"] == found["00000001_000.png"]["patient_id"] == "nih-1"
    assert [found[i]["study_order"] for i in sorted(found)] == [0, 1, 0]
    assert [found[i]["view"] for i in sorted(found)] == ["pa", "ap", "pa"]
    assert [found[i]["age_years"] for i in sorted(found)] == [57.0, 58.0, None]


def test_every_image_states_every_finding(tmp_path: Path) -> None:
    ingest("nih", dataset(tmp_path / "nih"), tmp_path / "a", workers=0)
    said = Archive.open(tmp_path / "a").labels().to_pylist()
    assert {row["said_by"] for row in said} == {"dataset:nih"}
    positive = {(row["image_id"], row["finding"]) for row in said if row["value"] == "positive"}
    assert positive == {
        ("00000001_000.png", "Cardiomegaly"),
        ("00000001_000.png", "Pleural Effusion"),
        ("00000001_001.png", "No Finding"),
        ("00000002_000.png", "Pleural Thickening"),
    }
    assert Counter(row["value"] for row in said) == {"positive": 4, "negative": 41}


def test_the_official_test_list_is_kept_and_the_rest_split_by_patient(tmp_path: Path) -> None:
    root = dataset(tmp_path / "nih")
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    (root / "test_list.txt").write_text("00000002_000.png\n")
    ingest("nih", root, tmp_path / "a", workers=0)
    found = images(tmp_path / "a")
    assert found["00000002_000.png"]["split"] == "test"
    assert found["00000001_000.png"]["split"] == found["00000001_001.png"]["split"] in ("train", "val")
    ingest("nih", root, tmp_path / "h", workers=0, split="hashed", fractions={"val": 1.0})
    assert {row["split"] for row in images(tmp_path / "h").values()} == {"val"}


def test_googles_expert_labels_are_a_readers_opinions(tmp_path: Path) -> None:
    root = dataset(tmp_path / "nih")
    (root / "four_findings_expert_labels").mkdir()
    header = "Image ID,Patient ID,Fracture,Pneumothorax,Airspace opacity,Nodule or mass"
    (root / "four_findings_expert_labels" / "test_labels.csv").write_text(
        f"{header}\n00000001_000.png,1,NO,YES,NO,YES\n"
    )
    ingest("nih", root, tmp_path / "a", workers=0)
    said = Archive.open(tmp_path / "a").labels(where="said_by = 'reader:nih/google'").to_pylist()
    assert {row["finding"]: row["value"] for row in said} == {
        "Fracture": "negative",
        "Pneumothorax": "positive",
        "Lung Opacity": "negative",
        "Lung Lesion": "positive",
    }
    (root / "four_findings_expert_labels" / "test_labels.csv").write_text(
        f"{header}\n00000001_000.png,1,NO,PERHAPS,NO,NO\n"
    )
    with pytest.raises(TableError, match="row 1: 'perhaps' is not understood"):
        ingest("nih", root, tmp_path / "b", workers=0)


def test_half_of_the_official_split_is_not_used(tmp_path: Path) -> None:
    root = dataset(tmp_path / "nih")
    (root / "test_list.txt").write_text("00000002_000.png\n")
    assert any("train_val_list.txt is not there" in n for n in ingest("nih", root, tmp_path / "a", workers=0).notes)


def test_an_unknown_finding_rejects_its_row(tmp_path: Path) -> None:
    root = dataset(tmp_path / "nih")
    table = root / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("Pleural_Thickening", "Pleural_Thinning"))
    assert ingest("nih", root, tmp_path / "a", workers=0).rejected == {"unknown_label": 1}


def test_a_folder_that_is_not_the_dataset_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "nih").mkdir()
    with pytest.raises(SourceError, match=r"lacks Data_Entry_2017_v2020\.csv .* it holds: nothing"):
        ingest("nih", tmp_path / "nih", tmp_path / "a")
    (tmp_path / "nih" / "Data_Entry_2017.csv").write_text(f"{HEADER}\n{ROWS}")
    with pytest.raises(SourceError, match="no image"):
        ingest("nih", tmp_path / "nih", tmp_path / "a")
    (tmp_path / "nih" / "other.png").write_bytes(b"x")
    with pytest.raises(SourceError, match="none of the 1 images"):
        ingest("nih", tmp_path / "nih", tmp_path / "a")


@pytest.mark.realdata
def test_the_real_files_enter_whole(real_data: Path, tmp_path: Path) -> None:
    summary = ingest("nih", real_data / "nih_small", tmp_path / "a", workers=0)
    assert (summary.added, summary.labels, summary.rejected) == (626, 626 * 15, {})
    archive = Archive.open(tmp_path / "a")
    found = archive.images()
    assert len(set(found["patient_id"].to_pylist())) == 178
    assert set(found["view"].to_pylist()) == {"pa", "ap"}
    effusion = archive.labels(["value"], "finding = 'Pleural Effusion' AND value = 'positive'")
    rows = (real_data / "nih_small" / "Data_Entry_2017_v2020.csv").read_text().splitlines()[1:]
    assert len(effusion) == sum("Effusion" in row.split(",")[1].split("|") for row in rows) > 0
    assert all(pixels.std() > 5 for pixels in archive.pixels(range(50)))
