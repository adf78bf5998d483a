"""The quick look at a header says what the full parser says, on any file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from hilum.imaging import read_dicom_header
from hilum.sources import peek as module
from hilum.sources.peek import peek


@pytest.fixture
def file(tmp_path: Path, write_dicom: Callable[..., Path]) -> Path:
    return write_dicom(tmp_path / "a.dcm", image="1.1", study="1.9", patient="P7", StudyDate="20200131")


def said(file: Path) -> tuple[str, str, int | None]:
    found = peek(file)
    assert found is not None
    return found.patient_id, found.study_id, found.study_day


def expected(file: Path) -> tuple[str | None, str | None, int | None]:
    header = read_dicom_header(file)
    return header.patient_id, header.study_instance_uid, module.day_of(header.study_date)


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_each_transfer_syntax(file: Path, syntax: str | None) -> None:
    if syntax:
        dataset = dcmread(file)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    assert said(file) == expected(file) == ("P7", "1.9", 737455)


def test_sequences_long_values_and_other_alphabets_before_the_ids(file: Path) -> None:
    dataset = dcmread(file)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID = "Ä1"
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.StudyInstanceUID = "9.9.9"
    dataset.ReferencedImageSequence = [item]
    dataset.add_new(0x00091001, "UN", b"x" * 10_000)
    dataset.save_as(file)
    assert said(file) == expected(file) == ("Ä1", "1.9", 737455)
    dataset.PatientID = "A1"
    dataset["ReferencedImageSequence"].is_undefined_length = True
    dataset.save_as(file)
    assert said(file) == expected(file) == ("A1", "1.9", 737455)


def test_the_quick_way_is_taken_for_a_usual_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_dicom_header", lambda _: pytest.fail("the full parser was called"))
    assert said(file) == ("P7", "1.9", 737455)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_give_an_answer_or_none(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "any.dcm"
    head = b"\0" * 128 + b"DICM\x02\x00\x00\x00UL\x04\x00\x1a\x00\x00\x00\x02\x00\x10\x00UI\x12\x001.2.840.10008.1.2\0"
    path.write_bytes(data.draw(st.sampled_from([b"", head])) + data.draw(st.binary(max_size=200)))
    peek(path)
