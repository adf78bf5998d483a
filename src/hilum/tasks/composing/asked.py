"""The image that a draft is asked for, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from hilum.archive import Archive
from hilum.archive.schema import pixels_sha1
from hilum.errors import UsageError
from hilum.imaging import DicomHeader, read_image, resize_longer_side
from hilum.reports import study_text
from hilum.reports.headers import is_hollow
from hilum.reports.policy import POLICIES


@dataclass(frozen=True)
class Own:
    """Whose an image is: these reports it must not be given.

    Attributes:
        study_id, patient_id: of the archive.
        reports: its study's report in every cut, to know it again where a corpus does not say whose its reports are.
    """

    study_id: str
    patient_id: str
    reports: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Asked:
    """An image to draft for.

    Attributes:
        name: file or image id, for messages.
        pixels: (H, W) uint8.
        own: whose it is, for an image of a patient of the archive.
        remark: how a file was recognized as such.
    """

    name: str
    pixels: np.ndarray
    own: Own | None = None
    remark: str = ""


def asked_image(archive: Archive, image: str | PathLike[str]) -> Asked:
    """An image by its id in the archive, else from a file. A file is recognized where its patient is in the archive.

    Args:
        archive: where an id is looked for; a file is shrunk as its images were.
        image: an image id, or the path of a DICOM, PNG, JPEG or other picture.

    Raises:
        UsageError: it is neither.
        ImageError: the file cannot be turned into pixels.
    """
    name = str(image)
    quoted = name.replace("'", "''")
    found = archive.images(["row", "image_id", "study_id", "patient_id"], where=f"image_id = '{quoted}'").to_pylist()
    if found:
        (pixels,) = archive.pixels([found[0]["row"]])
        return Asked(name, pixels, own_of(archive, found[0]["study_id"], found[0]["patient_id"]))
    if not Path(image).exists():
        raise UsageError(
            f"{name}: no such file, and no image of {archive.path} has this id. Give the path of a DICOM, PNG or JPEG file, or "
            "an image_id of the archive."
        )
    shown = read_image(image).shrunk(archive.manifest.longer_side_px)
    own = owner_of(archive, shown.pixels, shown.dicom)
    remark = "" if own is None else f"{name} is of a patient of {archive.path}, whose own reports are kept out."
    return Asked(name, shown.pixels, own, remark)


def owner_of(archive: Archive, pixels: np.ndarray, header: DicomHeader | None = None) -> Own | None:
    """Whose a picture from outside is, where the archive has its pixels, its study or its patient; else None.

    Where an archive holds pseudonyms, only the pixels can be recognized.

    Args:
        archive: where to look.
        pixels: (H, W) uint8; shrunk as the archive's images were.
        header: of a DICOM file.
    """
    stored = resize_longer_side(pixels, archive.manifest.longer_side_px)
    conditions = {"pixels_sha1": pixels_sha1(stored.tobytes())}
    if header is not None and not archive.manifest.pseudonymized:
        given = {"study_id": header.study_instance_uid, "patient_id": header.patient_id}
        conditions |= {name: value for name, value in given.items() if value}
    for name, value in conditions.items():
        quoted = value.replace("'", "''")
        found = archive.images(["study_id", "patient_id"], where=f"{name} = '{quoted}'")
        if found.num_rows:
            study, patient = found["study_id"][0].as_py(), found["patient_id"][0].as_py()
            return own_of(archive, study, patient)
    return None


def own_of(archive: Archive, study_id: str, patient_id: str) -> Own:
    """Whose an image of the archive is."""
    quoted = study_id.replace("'", "''")
    for study in archive.studies(where=f"study_id = '{quoted}'").to_pylist():
        return own_of_study(study, patient_id)
    return Own(study_id, patient_id)


def own_of_study(study: Mapping[str, str | None], patient_id: str) -> Own:
    """Whose an image of this row of `studies` is."""
    cuts = (words_of_study(study, policy) for policy in POLICIES)
    return Own(str(study["study_id"]), patient_id, frozenset(cut for cut in cuts if cut))


def words_of_study(study: Mapping[str, str | None], policy: str) -> str:
    """The words of a row of `studies` that a text policy chooses; empty where it has none.

    Raises:
        ReportError: the policy is unknown.
    """
    text = study_text(study, policy)
    return "" if is_hollow(text) else text
