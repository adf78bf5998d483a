"""An image is asked for by its id or as a file; anything else is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hilum.archive import Archive
from hilum.errors import ImageError, UsageError
from hilum.imaging import DicomHeader
from hilum.tasks.composing import asked_image, own_of, owner_of


def test_an_id_of_the_archive_brings_whose_it_is(disks: Path) -> None:
    asked = asked_image(Archive.open(disks), "i5")
    assert asked.pixels.shape == (80, 64)
    assert asked.own is not None
    assert (asked.own.study_id, asked.own.patient_id) == ("s5", "p5")
    assert "Right effusion. No pneumothorax." in asked.own.reports


def test_a_file_is_nobody_s_and_shrunk_as_the_archive_s_images(disks: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((800, 600), np.uint8)).save(tmp_path / "new.png")
    asked = asked_image(Archive.open(disks), tmp_path / "new.png")
    assert asked.pixels.shape == (384, 288)
    assert asked.own is None


def test_a_file_with_an_image_s_own_pixels_is_recognized(disks: Path, tmp_path: Path) -> None:
    archive = Archive.open(disks)
    Image.fromarray(np.asarray(asked_image(archive, "i7").pixels)).save(tmp_path / "copy.png")
    asked = asked_image(archive, tmp_path / "copy.png")
    assert asked.own is not None
    assert (asked.own.study_id, asked.own.patient_id) == ("s7", "p7")
    assert "copy.png is of a patient of" in asked.remark


def test_another_file_of_a_known_study_or_patient_is_recognized_by_its_header(disks: Path) -> None:
    archive, other = Archive.open(disks), np.zeros((8, 8), np.uint8)
    for header in (DicomHeader(study_instance_uid="s9"), DicomHeader(study_instance_uid="new", patient_id="p9")):
        own = owner_of(archive, other, header)
        assert own is not None
        assert own.patient_id == "p9"
    assert owner_of(archive, other, DicomHeader(patient_id="o'neil")) is None
    assert owner_of(archive, other) is None


def test_what_is_neither_is_named(disks: Path, tmp_path: Path) -> None:
    archive = Archive.open(disks)
    with pytest.raises(UsageError, match=r"o'clock: no such file, and no image of .* has this id"):
        asked_image(archive, "o'clock")
    (tmp_path / "page.dcm").write_text("<html>")
    with pytest.raises(ImageError, match="HTML or XML page"):
        asked_image(archive, tmp_path / "page.dcm")
    with pytest.raises(ImageError):
        asked_image(archive, tmp_path)


def test_a_study_that_is_not_in_the_table_has_no_reports(disks: Path) -> None:
    assert own_of(Archive.open(disks), "nowhere", "p").reports == frozenset()
