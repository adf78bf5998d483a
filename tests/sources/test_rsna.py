"""RSNA Pneumonia: several boxes an image, detailed classes, and patients of ChestX-ray14 where the mapping is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sources.entered import enter

from hilum.errors import SourceError
from hilum.sources import ingest

IDS = (
    "0004cfab-14fd-4e49-80ba-63a80b6bddd6",
    "00313ee0-9eaa-42f4-b0ab-c148ed3241cd",
    "00322d4d-1c29-4943-afc9-b6754be640eb",
)


@pytest.fixture
def root(tmp_path: Path, write_dicom: Callable[..., Path]) -> Path:
    root = tmp_path / "rsna"
    for seed, (image, view) in enumerate(zip(IDS, ("PA", "AP", "AP"), strict=True)):
        write_dicom(root / "stage_2_train_images" / f"{image}.dcm", image=f"1.{seed}", seed=seed, ViewPosition=view)
    write_dicom(root / "stage_2_test_images" / "x.dcm", image="1.9")
    (root / "stage_2_train_labels.csv").write_text(
        f"patientId,x,y,width,height,Target\n{IDS[0]},,,,,0\n{IDS[1]},264.0,152.0,213.0,379.0,1\n"
        f"{IDS[1]},562.0,152.0,256.0,453.0,1\n{IDS[2]},,,,,0\n"
    )
    (root / "stage_2_detailed_class_info.csv").write_text(
        f"patientId,class\n{IDS[0]},No Lung Opacity / Not Normal\n{IDS[1]},Lung Opacity\n{IDS[1]},Lung Opacity\n{IDS[2]},Normal\n"
    )
    return root


def test_boxes_of_one_image_are_one_label(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "rsna", root)
    assert (found.summary.added, found.summary.rejected) == (3, {})
    assert [found.has(image) for image in IDS] == [
        {"Abnormal Without Lung Opacity"},
        {"Pneumonia", "Lung Opacity"},
        {"No Finding"},
    ]
    assert [found.images[image]["view"] for image in IDS] == ["pa", "ap", "ap"]
    assert found.summary.skipped == {"test image without a public label": 1}


def test_the_mapping_gives_patients_of_chestxray14(root: Path, tmp_path: Path) -> None:
    mapping = [
        {"subset_img_id": IDS[0], "img_id": "00014197_002.png"},
        {"subset_img_id": IDS[1], "img_id": "00014197_007.png"},
    ]
    (root / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping))
    found = enter(tmp_path / "a", "rsna", root)
    assert [found.images[image]["patient_id"] for image in IDS] == ["nih-14197", "nih-14197", f"rsna-{IDS[2]}"]
    (root / "pneumonia-challenge-dataset-mappings_2018.json").write_text('{"a": 1}')
    with pytest.raises(SourceError, match="expected a list with subset_img_id"):
        ingest("rsna", root, tmp_path / "b")


def test_a_target_that_is_none_rejects_and_missing_parts_are_named(root: Path, tmp_path: Path) -> None:
    table = root / "stage_2_train_labels.csv"
    table.write_text(table.read_text().replace(f"{IDS[0]},,,,,0", f"{IDS[0]},,,,,2"))
    assert enter(tmp_path / "a", "rsna", root).summary.rejected == {"unknown_label": 1}
    table.unlink()
    with pytest.raises(
        SourceError, match=r"lacks stage_2_train_labels\.csv; it holds: stage_2_detailed_class_info\.csv"
    ):
        ingest("rsna", root, tmp_path / "b")
