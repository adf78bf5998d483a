"""Phantoms' DICOM files: valid, of many kinds, and silent about what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from hilum.errors import SourceError
from hilum.imaging import read_image
from hilum.sources.layout import Entry, Known
from hilum.sources.phantom import DRAWN, generate
from hilum.sources.phantom.dicom_writer import SYNTAXES, Encoding, Identity, write_dicom
from hilum.sources.phantom.source import PhantomFolder

IDENTITY = Identity("P", "PHANTOM^P^SYNTHETIC", "2.25.1", "2.25.2", "2.25.3", "A1", "20200101", "101010", 50, "F")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom_files") / "world"
    generate(out, patients=25, seed=3, side_px=96, workers=1)
    return out


def gradient() -> np.ndarray:
    film = np.add.outer(np.linspace(0, 0.6, 61), np.linspace(0, 0.4, 47)).astype(np.float32)
    film[0, 0], film[-1, -1] = 0, 1
    return film


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("bits", [8, 12, 14, 16])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_every_encoding_is_read_back(tmp_path: Path, syntax: str, bits: int, is_inverted: bool) -> None:
    if syntax == "jpeg" and bits > 8:
        pytest.skip("baseline JPEG holds 8 bits")
    window = "none" if bits == 8 else "linear"
    encoding = Encoding(syntax, bits, is_inverted, window, "offset" if bits == 12 else "none", "CR")
    write_dicom(tmp_path / "a.dcm", gradient(), "pa", IDENTITY, encoding, 0.8)
    read = read_image(tmp_path / "a.dcm")
    # Without a window the reader stretches the picture a little: the extremes of the gradient are single pixels.
    assert np.abs(read.pixels / 255.0 - gradient()).max() < (0.06 if window == "none" else 0.035)


@pytest.mark.parametrize("window", ["none", "linear", "two", "sigmoid"])
def test_every_window_shows_the_picture(tmp_path: Path, window: str) -> None:
    write_dicom(tmp_path / "a.dcm", gradient(), "pa", IDENTITY, Encoding(window=window, rescale="offset"), 0.8)
    read = read_image(tmp_path / "a.dcm")
    assert np.corrcoef(read.pixels.ravel(), gradient().ravel())[0, 1] > 0.98


def test_files_have_the_tags_their_class_requires(world: Path) -> None:
    kinds = set()
    for path in (world / "dicom").rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        kinds.add((str(header.SOPClassUID), header.PhotometricInterpretation, str(header.file_meta.TransferSyntaxUID)))
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID
        assert header.SOPClassUID in (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation)
        assert header.Modality == ("CR" if header.SOPClassUID == ComputedRadiographyImageStorage else "DX")
        assert header.BitsStored <= header.BitsAllocated
        assert header.HighBit == header.BitsStored - 1
        assert header.PatientID == path.parts[-3]
        for tag in (
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "StudyDate",
            "ViewPosition",
            "AccessionNumber",
            "PatientAge",
        ):
            assert header.get(tag), f"{path} lacks {tag}"
        if header.Modality == "DX":
            for tag in (
                "PresentationIntentType",
                "PixelIntensityRelationship",
                "PresentationLUTShape",
                "ImageLaterality",
            ):
                assert header.get(tag), f"{path} lacks {tag}"
    assert {kind[1] for kind in kinds} == {"MONOCHROME1", "MONOCHROME2"}
    assert len({kind[2] for kind in kinds}) >= 4


def test_every_file_says_that_it_is_synthetic(world: Path) -> None:
    for path in (world / "dicom").rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert str(header.PatientName).startswith("PHANTOM^")
        assert "SYNTHETIC" in header.ImageComments
        assert header.BurnedInAnnotation == "YES"
    for report in (world / "dicom").rglob("report.txt"):
        assert report.read_text(encoding="utf-8").lstrip().startswith("SYNTHETIC PATIENT")
    assert (world / "README.txt").read_text(encoding="utf-8").startswith("SYNTHETIC DATA")


def test_no_label_leaks_into_the_tags_or_the_tree(world: Path) -> None:
    words = {word for name in DRAWN for word in name.lower().split()} - {"other", "lung"}
    for path in (world / "dicom").rglob("*"):
        assert path.is_dir() or path.suffix == ".dcm" or path.name == "report.txt"
    for path in (world / "dicom").rglob("*.dcm"):
        header = str(pydicom.dcmread(path, stop_before_pixels=True)).lower()
        assert not [word for word in words if word in header]


def test_files_of_all_kinds_show_the_same_findings(world: Path) -> None:
    """How a file is written must not tell what it shows: normals and others share the kinds."""
    import csv

    with open(world / "truth" / "truth.csv", encoding="utf-8") as file:
        normal = {row["image_id"] for row in csv.DictReader(file) if row["No Finding"] == "1"}
    inverted: dict[bool, list[bool]] = {True: [], False: []}
    for path in (world / "dicom").rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        inverted[header.SOPInstanceUID in normal].append(header.PhotometricInterpretation == "MONOCHROME1")
    assert any(inverted[True])
    assert any(inverted[False])


def test_the_source_finds_images_and_reports_and_never_the_truth(world: Path) -> None:
    source = PhantomFolder()
    count = source.open(world, Known())
    entries = list(source.entries())
    assert count == len(entries) == len(list((world / "dicom").rglob("*.dcm")))
    for entry in entries[:10]:
        assert isinstance(entry, Entry)
        assert "truth" not in entry.path
        facts = source.facts(entry, read_image(entry.file))
        assert facts.labels == ()
        assert facts.report == (entry.file.parent / "report.txt").read_text(encoding="utf-8").strip()


def test_a_folder_without_dicom_is_not_a_phantom(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="hilum phantom"):
        PhantomFolder().open(tmp_path, Known())
