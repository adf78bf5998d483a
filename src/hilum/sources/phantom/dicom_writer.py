"""A film written as a real DICOM file, in one of the many ways the machines of a hospital write them.

Tags follow DICOM PS3.3 A.2 (CR image) and A.26 (digital X-ray image for presentation).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from hilum.sources.phantom.canvas import Plane

UID_ROOT = "2.25"  # UIDs made from UUIDs, PS3.5 B.2
NOTICE = "SYNTHETIC IMAGE: drawn by a program, no patient was ever exposed"
SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "jpegls": JPEGLSLossless,
    "jpeg2000": JPEG2000Lossless,
    "rle": RLELossless,
    "jpeg": JPEGBaseline8Bit,
}


@dataclass(frozen=True)
class Encoding:
    """How one file is written."""

    syntax: str = "explicit"  # a key of SYNTAXES
    bits_stored: int = 12  # 8, 12, 14 or 16
    is_inverted: bool = False  # MONOCHROME1
    window: str = "linear"  # none, linear, two or sigmoid
    rescale: str = "none"  # none, identity or offset
    modality: str = "DX"  # CR or DX

    @classmethod
    def random(cls, rng: np.random.Generator) -> Encoding:
        """One of the ways in which archives are written, the common ones more often."""
        syntax = str(rng.choice(list(SYNTAXES), p=[0.25, 0.50, 0.10, 0.05, 0.03, 0.07]))
        bits = 8 if syntax == "jpeg" else int(rng.choice([8, 12, 14, 16], p=[0.12, 0.50, 0.25, 0.13]))
        return cls(
            syntax=syntax,
            bits_stored=bits,
            is_inverted=bool(rng.random() < 0.18),
            window=str(rng.choice(["none", "linear", "two", "sigmoid"], p=[0.22, 0.58, 0.12, 0.08]))
            if bits > 8
            else "none",
            rescale=str(rng.choice(["none", "identity", "offset"], p=[0.45, 0.40, 0.15])) if bits > 8 else "none",
            modality=str(rng.choice(["CR", "DX"], p=[0.4, 0.6])),
        )


@dataclass(frozen=True)
class Identity:
    """Who, when and where of one file; all invented."""

    patient_id: str
    patient_name: str
    study_uid: str
    series_uid: str
    image_uid: str
    accession: str
    date: str  # YYYYMMDD
    time: str
    age_years: int
    sex: str
    instance: int = 1


def write_dicom(path: Path, film: Plane, view: str, identity: Identity, encoding: Encoding, spacing_mm: float) -> None:
    """Write a (H, W) film in [0, 1] as DICOM Part 10; nothing in it says what was drawn."""
    meta = FileMetaDataset()
    dx = encoding.modality == "DX"
    sop_class = DigitalXRayImageStorageForPresentation if dx else ComputedRadiographyImageStorage
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, identity.image_uid
    meta.TransferSyntaxUID = SYNTAXES[encoding.syntax]
    meta.ImplementationClassUID = "2.25.302043790172249692526321623266752743501"
    meta.ImplementationVersionName = "HILUM_PHANTOM"
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, identity.image_uid
    _who_and_when(ds, identity, encoding)
    _how_it_was_taken(ds, view, encoding, spacing_mm)
    stored = stored_values(film, encoding)
    _pixels(ds, stored, encoding)
    ds.save_as(path, enforce_file_format=True)


def stored_values(film: Plane, encoding: Encoding) -> np.ndarray:
    """The film as the integers a file stores: scaled to a part of the bit range, inverted for MONOCHROME1."""
    low, high = _range(encoding)
    light = 1 - film if encoding.is_inverted else film
    values = np.rint(light * np.float32(high - low) + np.float32(low))
    return values.astype(np.uint8 if encoding.bits_stored == 8 else np.uint16)


def _range(encoding: Encoding) -> tuple[int, int]:
    top = 2**encoding.bits_stored - 1
    return (0, top) if encoding.bits_stored == 8 else (int(top * 0.04), int(top * 0.94))


def _who_and_when(ds: FileDataset, identity: Identity, encoding: Encoding) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID = identity.patient_name, identity.patient_id
    ds.PatientBirthDate = ""
    ds.PatientSex, ds.PatientAge = identity.sex, f"{identity.age_years:03d}Y"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = identity.study_uid, identity.series_uid
    ds.AccessionNumber, ds.StudyID = identity.accession, identity.accession[-6:]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = identity.date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = identity.time
    ds.SeriesNumber, ds.InstanceNumber = 1, identity.instance
    ds.Modality, ds.Manufacturer = encoding.modality, "HILUM PHANTOM"
    ds.InstitutionName = "SYNTHETIC HOSPITAL"
    ds.ReferringPhysicianName = ""
    ds.ImageComments = NOTICE
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "SYNTHETIC"


def _how_it_was_taken(ds: FileDataset, view: str, encoding: Encoding, spacing_mm: float) -> None:
    ds.StudyDescription = "CHEST"
    ds.SeriesDescription = {"pa": "PA", "ap": "AP PORTABLE", "ap_supine": "AP SUPINE", "lateral": "LATERAL"}[view]
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = {"pa": "PA", "lateral": "LL"}.get(view, "AP")
    if view == "ap_supine":
        ds.PatientOrientationCodeSequence = [_supine()]
    ds.PatientOrientation = ["A", "F"] if view == "lateral" else ["L", "F"]
    ds.BurnedInAnnotation = "YES"
    ds.ImagerPixelSpacing = [f"{spacing_mm:.4f}", f"{spacing_mm:.4f}"]
    if encoding.modality == "DX":
        ds.PixelSpacing = ds.ImagerPixelSpacing
        ds.PresentationIntentType = "FOR PRESENTATION"
        ds.ImageLaterality = "U"
        ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1
        ds.LossyImageCompression = "01" if encoding.syntax == "jpeg" else "00"
    else:
        ds.CassetteOrientation = "PORTRAIT"


def _supine() -> Dataset:
    """The lying patient as a code, PS3.16 CID 20."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "40199007", "SCT", "supine"
    return code


def _pixels(ds: FileDataset, stored: np.ndarray, encoding: Encoding) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if encoding.is_inverted else "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated = 8 if encoding.bits_stored == 8 else 16
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = encoding.bits_stored, encoding.bits_stored - 1, 0
    slope, intercept = {"none": (1, 0), "identity": (1, 0), "offset": (0.5, -200)}[encoding.rescale]
    if encoding.rescale != "none":
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = str(slope), str(intercept), "US"
    if encoding.modality == "DX":
        ds.PresentationLUTShape = "INVERSE" if encoding.is_inverted else "IDENTITY"
        if encoding.rescale == "none":
            ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", "0", "US"
    _window(ds, encoding, slope, intercept)
    if encoding.syntax in ("implicit", "explicit"):
        data = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        ds.PixelData = data + b"\0" * (len(data) % 2)
        ds["PixelData"].VR = "OB" if stored.dtype == np.uint8 and encoding.syntax == "explicit" else "OW"
    elif encoding.syntax == "jpeg":
        _jpeg(ds, stored)
    else:
        ds.compress(
            SYNTAXES[encoding.syntax], stored, encoding_plugin=_PLUGINS[encoding.syntax], generate_instance_uid=False
        )


_PLUGINS = {"jpegls": "pyjpegls", "jpeg2000": "pylibjpeg", "rle": "pydicom"}


def _window(ds: FileDataset, encoding: Encoding, slope: float, intercept: float) -> None:
    if encoding.window == "none":
        return
    low, high = (v * slope + intercept for v in _range(encoding))
    center, width = (low + high) / 2, high - low
    ds.WindowCenter, ds.WindowWidth = f"{center:.1f}", f"{width:.1f}"
    ds.VOILUTFunction = "LINEAR"
    if encoding.window == "two":
        ds.WindowCenter, ds.WindowWidth = (
            [f"{center:.1f}", f"{center * 0.9:.1f}"],
            [f"{width:.1f}", f"{width * 0.7:.1f}"],
        )
        ds.WindowCenterWidthExplanation = ["NORMAL", "HARDER"]
    elif encoding.window == "sigmoid":
        ds.VOILUTFunction = "SIGMOID"
        ds.WindowWidth = f"{width * 0.9:.1f}"


def _jpeg(ds: FileDataset, stored: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG", quality=92)
    ds.PixelData = encapsulate([buffer.getvalue()])
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    ds.LossyImageCompressionRatio = f"{stored.size / buffer.tell():.2f}"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.LossyImageCompression = "01"
