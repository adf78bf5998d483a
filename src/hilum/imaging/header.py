"""The few DICOM tags the archive needs, and no others.

The parser is told this list, so that a patient's name, birth date or a free-text tag is never read into memory.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from hilum.errors import ImageError
from hilum.imaging.files import open_file
from hilum.imaging.limits import Limits

HEADER_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "AccessionNumber",
    "Modality",
    "ViewPosition",
    "ImageLaterality",
    "Laterality",
    "PatientOrientation",
    "ViewCodeSequence",
    "PatientOrientationCodeSequence",
    "PatientSex",
    "PatientAge",
    "StudyDate",
    "StudyTime",
    "PhotometricInterpretation",
    "BurnedInAnnotation",
)

# View codes of PS3.16 CID 4010, as SNOMED CT and as the older SRT.
VIEW_CODES = {
    "272479007": "pa",
    "R-40888": "pa",
    "R-10214": "pa",
    "399348003": "ap",
    "R-10206": "ap",
    "399198007": "lateral",
    "R-10232": "lateral",
    "399173006": "lateral",
    "R-10236": "lateral",
    "399067008": "lateral",
    "R-102CD": "lateral",
}
# Supine and recumbent, PS3.16 CID 19 and CID 20.
LYING_CODES = frozenset({"40199007", "F-10340", "102538003", "F-10320"})
# PS3.3 C.8.11.5: PA, AP, LL, RL; the rest are names met in the field.
VIEW_POSITIONS = {
    "PA": "pa",
    "AP": "ap",
    "LL": "lateral",
    "RL": "lateral",
    "LAT": "lateral",
    "LLAT": "lateral",
    "RLAT": "lateral",
}
AGE_UNITS_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7.0, "D": 365.25}  # PS3.5 6.2, value representation AS


@dataclass(frozen=True)
class DicomHeader:
    """What is kept of a DICOM header. Identifiers are as in the file; whoever stores them may replace them by hashes.

    Attributes:
        view_position: View Position (0018,5101), as written.
        view_code: code value of the first View Code Sequence item, or None.
        patient_orientation: anatomical direction of rows and of columns (C.7.6.1.1.1), such as ("A", "F"), or ().
        is_lying: the patient is said to be supine or recumbent (Patient Orientation Code Sequence).
        sex: "M", "F", "O" or None.
        age_years: from Patient's Age, never from the birth date.
        study_date: YYYYMMDD, for ordering studies only.
        study_time: HHMMSS..., for ordering studies only.
        burned_in_annotation: whether the file says that text is burned into the pixels; None when it does not say.
    """

    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    patient_id: str | None = None
    accession_number: str | None = None
    modality: str | None = None
    view_position: str | None = None
    view_code: str | None = None
    patient_orientation: tuple[str, ...] = ()
    is_lying: bool = False
    laterality: str | None = None
    sex: str | None = None
    age_years: float | None = None
    study_date: str | None = None
    study_time: str | None = None
    photometric: str | None = None
    burned_in_annotation: bool | None = None

    @property
    def view(self) -> str:
        """One of pa, ap, ap_supine, lateral, unknown: by view position, then view code, then orientation.

        Orientation tells only lateral views: rows that run towards front or back. PA and AP both run to the left.

        Example:
            >>> DicomHeader(view_position="AP SUPINE").view, DicomHeader(patient_orientation=("A", "F")).view
            ('ap_supine', 'lateral')
        """
        position = re.sub(r"[^A-Z]+", " ", (self.view_position or "").upper()).strip()
        words = position.split()
        view = VIEW_POSITIONS.get(position)
        if view is None and any(word.startswith("LATERAL") or VIEW_POSITIONS.get(word) == "lateral" for word in words):
            view = "lateral"
        if view is None:
            view = next((VIEW_POSITIONS[word] for word in words if word in ("PA", "AP")), None)
        if view is None and self.view_code:
            view = VIEW_CODES.get(self.view_code)
        if view is None and self.patient_orientation and self.patient_orientation[0][:1] in ("A", "P"):
            view = "lateral"
        if view == "ap" and (self.is_lying or any(word.startswith("SUP") for word in words)):
            view = "ap_supine"
        return view or "unknown"


def read_dicom_header(path: str | os.PathLike[str], *, limits: Limits = Limits()) -> DicomHeader:
    """Read the allow-listed tags of a DICOM file without its pixels.

    Args:
        path: a DICOM file, with or without the 128-byte preamble.
        limits: most bytes of the file.

    Raises:
        ImageError: the file is missing, or is not DICOM.
    """
    # Late, because pixels and header share the parser.
    from hilum.imaging.dicom import is_dicom, quiet, read_dataset

    content = open_file(path, limits)
    if not is_dicom(content):
        raise ImageError(f"{os.fspath(path)}: expected a DICOM file, got something else.", "not_an_image")
    try:
        with quiet():
            return header_of(read_dataset(content, HEADER_TAGS, limits, os.fspath(path), with_pixels=False))
    except ImageError:
        raise
    except Exception as error:  # the boundary to the parser of foreign bytes
        raise ImageError(
            f"{os.fspath(path)}: cannot read the DICOM header ({type(error).__name__}: {error})."
        ) from error


def header_of(dataset: Any) -> DicomHeader:
    """The allow-listed tags of a parsed pydicom data set."""
    view_item = _first_item(dataset, "ViewCodeSequence")
    lying_item = _first_item(dataset, "PatientOrientationCodeSequence")
    sex = (_text(dataset, "PatientSex") or "").upper()[:1]
    burned = (_text(dataset, "BurnedInAnnotation") or "").upper()
    orientation = _text(dataset, "PatientOrientation") or ""
    return DicomHeader(
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        study_instance_uid=_text(dataset, "StudyInstanceUID"),
        series_instance_uid=_text(dataset, "SeriesInstanceUID"),
        patient_id=_text(dataset, "PatientID"),
        accession_number=_text(dataset, "AccessionNumber"),
        modality=_text(dataset, "Modality"),
        view_position=_text(dataset, "ViewPosition"),
        view_code=_text(view_item, "CodeValue") if view_item is not None else None,
        patient_orientation=tuple(orientation.split("\\")) if orientation else (),
        is_lying=lying_item is not None and _text(lying_item, "CodeValue") in LYING_CODES,
        laterality=_text(dataset, "ImageLaterality") or _text(dataset, "Laterality"),
        sex=sex if sex in ("M", "F", "O") else None,
        age_years=age_in_years(_text(dataset, "PatientAge")),
        study_date=_text(dataset, "StudyDate"),
        study_time=_text(dataset, "StudyTime"),
        photometric=_text(dataset, "PhotometricInterpretation"),
        burned_in_annotation={"YES": True, "NO": False}.get(burned),
    )


def age_in_years(age: str | None) -> float | None:
    """Years behind a DICOM age string (value representation AS), or None when it is not one.

    Example:
        >>> age_in_years("063Y"), age_in_years("006M"), age_in_years("old")
        (63.0, 0.5, None)
    """
    match = re.fullmatch(r"(\d{1,3})\s*([DWMY]?)", (age or "").strip().upper())
    return int(match[1]) / AGE_UNITS_PER_YEAR[match[2] or "Y"] if match else None


def _text(dataset: Any, keyword: str) -> str | None:
    """A value as stripped text, parts joined with a backslash as in the file; None when absent or empty."""
    value = dataset.get(keyword)
    if value is None:
        return None
    parts = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    return "\\".join(str(part) for part in parts).strip(" \0") or None


def _first_item(dataset: Any, keyword: str) -> Any:
    sequence = dataset.get(keyword)
    return sequence[0] if sequence else None
