"""Boxes of findings, from a table onto the images of an archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hilum.archive import Archive
from hilum.errors import TableError
from hilum.evaluation.boxes import boxed_findings


def written(folder: Path, text: str) -> Path:
    path = folder / "boxes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_boxes_of_a_finding_are_gathered_and_scaled_to_the_stored_pixels(small_archive: Path, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "image_id,finding,x0,y0,x1,y1\ni3,effusion,0,0,64,80\ni1,Edema,4,8,20,24\n"
        "i3,Pleural Effusion,100,0,120,10\nelse,Edema,1,1,2,2\n",
    )
    found = boxed_findings(path, Archive.open(small_archive), side_px=160)
    assert [(one.image_id, one.finding, one.patient_id) for one in found] == [
        ("i1", "Edema", "p1"),
        ("i3", "Pleural Effusion", "p3"),
    ]
    assert found[0].boxes.tolist() == [[2, 4, 10, 12]]  # stored images are 80 x 64
    assert found[1].boxes.tolist() == [[0, 0, 32, 40], [50, 0, 60, 5]]
    mask = found[0].mask()
    assert mask.shape == (80, 64)
    assert mask.sum() == 64
    assert mask[4:12, 2:10].all()
    assert found[1].mask((8, 8)).sum() == 4 * 4


def test_vindr_annotations_are_read_and_rows_without_a_box_passed_over(small_archive: Path, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\ni2,R1,No finding,,,,\ni2,R2,Cardiomegaly,10.5,20,30,40.5\n",
    )
    (one,) = boxed_findings(path, Archive.open(small_archive))
    assert one.finding == "Cardiomegaly"
    assert one.boxes.tolist() == [[10.5, 20, 30, 40.5]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_id,finding,x0,y0,x1\ni1,Edema,1,1,2\n", "y1"),
        ("image_id,finding,x0,y0,x1,y1\ni1,Edema,9,1,2,5\n", "line 2.*has no area"),
        ("image_id,finding,x0,y0,x1,y1\ni1,Edema,a,1,2,5\n", "expected four numbers"),
        ("image_id,finding,x0,y0,x1,y1\nx9,Edema,1,1,2,5\n", "none of its 1 images"),
    ],
)
def test_a_table_that_does_not_fit_is_told(small_archive: Path, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        boxed_findings(written(tmp_path, text), Archive.open(small_archive))


def test_findings_and_images_can_be_chosen(small_archive: Path, tmp_path: Path) -> None:
    path = written(tmp_path, "image_id,finding,x0,y0,x1,y1\ni1,Edema,1,1,2,5\ni1,Fracture,1,1,2,5\ni2,Edema,1,1,2,5\n")
    archive = Archive.open(small_archive)
    assert len(boxed_findings(path, archive)) == 3
    assert len(boxed_findings(path, archive, findings=["edema"])) == 2
    assert [one.image_id for one in boxed_findings(path, archive, where="image_id = 'i2'")] == ["i2"]
    assert np.array_equal(boxed_findings(path, archive, where="image_id = 'i2'")[0].boxes, [[1, 1, 2, 5]])
