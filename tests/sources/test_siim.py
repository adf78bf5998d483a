"""SIIM-ACR: a header with a leading blank, several masks an image, -1 with and without a blank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError, TableError
from hilum.sources import ingest

UID = "1.2.276.0.7230010.3.1.4.8323329."
ROWS = f"{UID}1, -1\n{UID}2,557374 2 1015 8\n{UID}2,100 5 20 3\n{UID}3,-1\n{UID}4,-1\n"


def dataset(root: Path, write_dicom: Callable[..., Path], table: str, folder: str) -> Path:
    for number in (1, 2, 3, 9):
        image = f"{UID}{number}"
        path = root / folder / f"1.2.{number}" / f"1.3.{number}" / f"{image}.dcm"
        write_dicom(path, image=image, seed=number, ViewPosition="PA", PatientAge="051Y", PatientSex="F")
    (root / table).write_text(f"ImageId, EncodedPixels\n{ROWS}")
    return root


@pytest.mark.parametrize(
    ("table", "folder"), [("train-rle.csv", "dicom-images-train"), ("stage_2_train.csv", "stage_2_images")]
)
def test_any_mask_makes_an_image_positive(
    tmp_path: Path, write_dicom: Callable[..., Path], table: str, folder: str
) -> None:
    found = enter(tmp_path / "a", "siim", dataset(tmp_path / "s", write_dicom, table, folder))
    assert {image[-1]: value for (image, _), value in found.said.items()} == {
        "1": "negative",
        "2": "positive",
        "3": "negative",
    }
    assert found.summary.rejected == {}
    assert found.summary.skipped == {"image without a public label": 1}
    assert found.summary.notes == [f"1 of 4 images in {table} are not in the folder"]
    assert set(found.column("view").values()) == {"pa"}
    assert set(found.column("sex").values()) == {"F"}


def test_the_png_copy_tells_its_label_in_the_name(tmp_path: Path) -> None:
    for seed, name in enumerate(("0_train_1_.png", "1_train_0_.png", "2_test_1_.png")):
        write_picture(tmp_path / "s" / "png_images" / name, seed)
    found = enter(tmp_path / "a", "siim", tmp_path / "s")
    assert {image: value for (image, _), value in found.said.items()} == {
        "0_train_1_": "positive",
        "1_train_0_": "negative",
        "2_test_1_": "positive",
    }


def test_what_is_missing_is_named(tmp_path: Path, write_dicom: Callable[..., Path]) -> None:
    root = dataset(tmp_path / "s", write_dicom, "train-rle.csv", "dicom-images-train")
    (root / "train-rle.csv").rename(root / "masks.csv")
    with pytest.raises(SourceError, match=r"lacks stage_2_train\.csv .*it holds: dicom-images-train, masks\.csv"):
        ingest("siim", root, tmp_path / "a")
    (root / "train-rle.csv").write_text("ImageId,Mask\nx,-1\n")
    with pytest.raises(TableError, match="no column 'EncodedPixels'"):
        ingest("siim", root, tmp_path / "a")
    (tmp_path / "e").mkdir()
    with pytest.raises(SourceError, match="has none of dicom-images-train"):
        ingest("siim", tmp_path / "e", tmp_path / "a")
