"""Small DICOM files for tests of ingest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian


def _write_dicom(
    path: Path,
    *,
    image: str,
    study: str | None = "1.2.3",
    patient: str | None = "P1",
    seed: int = 0,
    side_px: int = 48,
    pixels: bool = True,
    **tags: object,
) -> Path:
    """A 12-bit radiograph of noise with these identifiers and any further tags by keyword."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = image or "1.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    if image:
        dataset.SOPInstanceUID = image
    if study is not None:
        dataset.StudyInstanceUID = study
    if patient is not None:
        dataset.PatientID = patient
    dataset.PatientName = "SECRET^NAME"
    dataset.PatientBirthDate = "19500101"
    dataset.PatientComments = "SECRET COMMENT"
    dataset.StudyDescription = "SECRET DESCRIPTION"
    dataset.Modality = "DX"
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    if pixels:
        rng = np.random.default_rng(seed)
        dataset.Rows, dataset.Columns = side_px, side_px
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.PixelData = rng.integers(0, 4096, (side_px, side_px), dtype=np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def write_dicom() -> Callable[..., Path]:
    """Writes one DICOM file: (path, image=, study=, patient=, seed=, side_px=, pixels=, **tags)."""
    return _write_dicom


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Two patients, three studies, four images of one PACS export, with texts beside them."""
    root = tmp_path / "export"
    _write_dicom(
        root / "p1" / "s1" / "a.dcm",
        image="1.1.1",
        study="1.1",
        patient="P1",
        seed=1,
        StudyDate="20200110",
        ViewPosition="PA",
        PatientSex="F",
        PatientAge="061Y",
        AccessionNumber="A11",
    )
    _write_dicom(
        root / "p1" / "s1" / "b",
        image="1.1.2",
        study="1.1",
        patient="P1",
        seed=2,
        StudyDate="20200110",
        ViewPosition="LL",
        AccessionNumber="A11",
    )
    _write_dicom(
        root / "p1" / "s2" / "c.dcm",
        image="1.2.1",
        study="1.2",
        patient="P1",
        seed=3,
        StudyDate="20200109",
        ViewPosition="AP",
        AccessionNumber="A12",
    )
    _write_dicom(
        root / "p2" / "s3" / "series" / "d.dcm", image="2.1.1", study="2.1", patient="P2", seed=4, AccessionNumber="A21"
    )
    (root / "p1" / "s1" / "report.txt").write_text("FINDINGS: Clear lungs.\n\nIMPRESSION: Normal.\n")
    (root / "p1" / "s2.txt").write_bytes("IMPRESSION: \xc9panchement.\r\n".encode("latin-1"))
    (root / "README.txt").write_text("about this export")
    (root / "export.log").write_text("done")
    return root
