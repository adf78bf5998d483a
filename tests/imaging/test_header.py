"""Which tags are kept, what they say, and that no others are."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.imaging.dicom_files import radiograph_dataset, save

from hilum.errors import ImageError
from hilum.imaging import DicomHeader, read_dicom_header, read_image
from hilum.imaging.header import age_in_years

PIXELS = np.zeros((4, 4), np.uint8)
IDENTIFYING = (
    "PatientName",
    "OtherPatientNames",
    "PatientAddress",
    "InstitutionName",
    "ReferringPhysicianName",
    "StudyDescription",
    "SeriesDescription",
    "PatientComments",
    "ImageComments",
    "RequestedProcedureDescription",
)


def coded(value: str, meaning: str = "") -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return Sequence([item])


def header(tmp_path: Path, **tags: object) -> DicomHeader:
    return read_dicom_header(save(radiograph_dataset(PIXELS, **tags), tmp_path / "a.dcm"))


def test_allowed_tags_are_read_with_and_without_pixels(tmp_path: Path) -> None:
    dataset = radiograph_dataset(
        PIXELS,
        PatientID=" P-1 ",
        AccessionNumber="A7",
        ViewPosition="PA",
        ImageLaterality="U",
        PatientSex="F",
        PatientAge="063Y",
        StudyDate="20200131",
        StudyTime="101500",
        BurnedInAnnotation="NO",
        PatientOrientation=["L", "F"],
    )
    path = save(dataset, tmp_path / "a.dcm")
    found = read_dicom_header(path)
    assert found == read_image(path).dicom
    assert found == DicomHeader(
        sop_instance_uid=dataset.SOPInstanceUID,
        study_instance_uid=dataset.StudyInstanceUID,
        series_instance_uid=dataset.SeriesInstanceUID,
        patient_id="P-1",
        accession_number="A7",
        modality="DX",
        view_position="PA",
        patient_orientation=("L", "F"),
        laterality="U",
        sex="F",
        age_years=63.0,
        study_date="20200131",
        study_time="101500",
        photometric="MONOCHROME2",
        burned_in_annotation=False,
    )
    assert found.view == "pa"


def test_names_birth_dates_and_free_text_leave_no_trace(tmp_path: Path) -> None:
    secret = "SECRET"
    tags = dict.fromkeys(IDENTIFYING, secret)
    dataset = radiograph_dataset(
        PIXELS, PatientBirthDate="19501231", ViewCodeSequence=coded("399067008", secret), **tags
    )
    radiograph = read_image(save(dataset, tmp_path / "a.dcm"))
    text = repr(radiograph.dicom) + repr(radiograph.remarks)
    assert secret not in text
    assert "1950" not in text
    assert not {field.name for field in fields(DicomHeader)} & {"patient_name", "birth_date", "description"}


@pytest.mark.parametrize(
    ("position", "view"),
    [
        ("PA", "pa"),
        ("AP", "ap"),
        ("LL", "lateral"),
        ("RL", "lateral"),
        ("LATERAL", "lateral"),
        ("L LAT", "lateral"),
        ("LLAT", "lateral"),
        ("AP SUPINE", "ap_supine"),
        ("AP_SUP", "ap_supine"),
        ("pa", "pa"),
        ("LLO", "unknown"),
        ("", "unknown"),
        ("PAINTED", "unknown"),
    ],
)
def test_view_position_gives_the_view(position: str, view: str) -> None:
    assert DicomHeader(view_position=position).view == view


@pytest.mark.parametrize(
    ("code", "view"),
    [("272479007", "pa"), ("399348003", "ap"), ("399067008", "lateral"), ("R-10236", "lateral"), ("1", "unknown")],
)
def test_view_code_gives_the_view_where_the_position_is_empty(tmp_path: Path, code: str, view: str) -> None:
    assert header(tmp_path, ViewPosition="", ViewCodeSequence=coded(code)).view == view


def test_orientation_tells_a_lateral_view_and_no_other(tmp_path: Path) -> None:
    assert header(tmp_path, PatientOrientation=["A", "F"]).view == "lateral"
    assert header(tmp_path, PatientOrientation=["P", "F"]).view == "lateral"
    assert header(tmp_path, PatientOrientation=["L", "F"]).view == "unknown"


def test_lying_patient_makes_ap_supine_and_leaves_pa(tmp_path: Path) -> None:
    supine = coded("40199007")
    assert header(tmp_path, ViewPosition="AP", PatientOrientationCodeSequence=supine).view == "ap_supine"
    assert header(tmp_path, ViewPosition="PA", PatientOrientationCodeSequence=supine).view == "pa"


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("063Y", 63.0),
        ("006M", 0.5),
        ("63", 63.0),
        ("", None),
        ("abcY", None),
        ("014D", 14 / 365.25),
        ("052W", 52 * 7 / 365.25),
    ],
)
def test_age_string_gives_years(age: str, years: float | None) -> None:
    assert age_in_years(age) == (years if years is None else pytest.approx(years))


def test_age_is_not_worked_out_from_the_birth_date(tmp_path: Path) -> None:
    assert header(tmp_path, PatientBirthDate="19501231", StudyDate="20200101").age_years is None


def test_sex_that_is_none_of_the_standards_is_none(tmp_path: Path) -> None:
    assert header(tmp_path, PatientSex="X").sex is None


def test_what_is_not_dicom_has_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ImageError) as caught:
        read_dicom_header(tmp_path / "a.txt")
    assert caught.value.reason == "not_an_image"
