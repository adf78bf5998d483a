"""TB Portals: one table with columns that the user names."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import TableError, UsageError
from hilum.sources import ingest

COLUMNS = {"image": "img_path", "patient_id": "case", "smear": "microscopy"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for number in range(5):
        write_picture(tmp_path / "tb" / f"{number}.jpg", number)
    (tmp_path / "tb" / "t.csv").write_text(
        "img_path,case,microscopy,gender\n0.jpg,c1,Positive,Male\n1.jpg,c2,Negative,Female\n2.jpg,c3,2+,Male\n"
        "3.jpg,c4,Not Reported,Male\n4.jpg,c5,,Male\n"
    )
    return tmp_path / "tb" / "t.csv"


def test_the_named_columns_become_images_patients_and_smears(table: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "tbportals", table, columns=COLUMNS)
    assert found.said == {
        ("0.jpg", "TB Smear"): "positive",
        ("1.jpg", "TB Smear"): "negative",
        ("2.jpg", "TB Smear"): "positive",
        ("3.jpg", "TB Smear"): "not_mentioned",
    }
    assert found.images["1.jpg"]["patient_id"] == "c2"
    assert found.images["1.jpg"]["sex"] == "F"


def test_other_words_are_asked_for_and_can_be_given(table: Path, tmp_path: Path) -> None:
    table.write_text(table.read_text().replace("2+", "10 to 99 in 100"))
    with pytest.raises(TableError, match=r"'10 to 99 in 100' \(1 rows\).*--set positive=WORD"):
        ingest("tbportals", table, tmp_path / "a", columns=COLUMNS)
    found = enter(tmp_path / "a", "tbportals", table, columns=COLUMNS, positive="10 to 99 in 100, more")
    assert found.said["2.jpg", "TB Smear"] == "positive"


def test_columns_that_were_not_named_are_asked_for(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--map patient_id=COLUMN --map smear=COLUMN"):
        ingest("tbportals", table, tmp_path / "a", columns={"image": "img_path"})
    with pytest.raises(TableError, match="no column 'smear'"):
        ingest("tbportals", table, tmp_path / "a", columns={**COLUMNS, "smear": "smear"})
