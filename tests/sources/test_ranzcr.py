"""RANZCR CLiP: eleven columns of lines, a patient column, JPEGs named by study."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError, TableError
from hilum.labelsets import RANZCR_11
from hilum.sources import ingest

HEADER = f"StudyInstanceUID,{','.join(RANZCR_11)},PatientID\n"
ROWS = (
    "1.2.826.0.1.1,0,0,0,0,0,0,1,0,0,0,0,ec89415d1\n"
    "1.2.826.0.1.2,0,0,1,0,0,1,0,0,0,1,1,ec89415d1\n"
    "1.2.826.0.1.3,0,0,0,0,0,0,0,0,1,0,0,bf4c6da3c\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "ranzcr"
    for number in (1, 2):
        write_picture(root / "train" / f"1.2.826.0.1.{number}.jpg", seed=number)
    write_picture(root / "test" / "1.2.826.0.1.9.jpg")
    (root / "train.csv").write_text(HEADER + ROWS)
    (root / "train_annotations.csv").write_text("StudyInstanceUID,label,data\n")
    return root


def test_images_enter_with_eleven_labels_under_their_own_names(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "ranzcr", root)
    assert (found.summary.added, found.summary.labels) == (2, 22)
    assert found.has("1.2.826.0.1.1") == {"NGT - Normal"}
    assert found.has("1.2.826.0.1.2") == {
        "ETT - Normal",
        "NGT - Incompletely Imaged",
        "CVC - Normal",
        "Swan Ganz Catheter Present",
    }
    assert set(found.column("patient_id").values()) == {"ranzcr-ec89415d1"}
    assert len(set(found.column("split").values())) == 1
    assert found.summary.notes == ["1 of 3 images in train.csv are not in the folder"]
    assert found.summary.skipped == {"test image without a public label": 1}


def test_a_label_that_is_no_code_rejects_its_row(root: Path, tmp_path: Path) -> None:
    (root / "train.csv").write_text(HEADER + ROWS.replace("1.2.826.0.1.1,0", "1.2.826.0.1.1,2"))
    assert ingest("ranzcr", root, tmp_path / "a", workers=0).rejected == {"unknown_label": 1}


def test_all_that_is_missing_is_said_at_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"lacks train\.csv and train; it holds: nothing"):
        ingest("ranzcr", tmp_path / "empty", tmp_path / "a")
    (root / "train.csv").write_text(HEADER.replace("CVC - Normal", "CVC Normal") + ROWS)
    with pytest.raises(TableError, match="no column 'CVC - Normal'"):
        ingest("ranzcr", root, tmp_path / "a")
    (root / "train.csv").write_text(HEADER + ROWS.replace("1.2.826", "9.9"))
    with pytest.raises(SourceError, match="none of the 3 images"):
        ingest("ranzcr", root, tmp_path / "a")
