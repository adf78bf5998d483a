"""The folder tree of MIMIC-CXR, which the DICOM and the JPG release share, and ids of its patients and studies.

    files/p10/p10000032/s50414267/02aa804e-....jpg   image: patient 10000032, study 50414267
    files/p10/p10000032/s50414267.txt                report

REFLACX and the edema grades name images of this tree. Patient ids are the same in all three sources, so that one patient
gets one split, and overlaps can be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hilum.errors import SourceError
from hilum.sources.files import contents
from hilum.sources.peek import day_of

SUFFIXES = (".jpg", ".dcm", ".png", ".jpeg")
IN_PATH = re.compile(r"(?:^|/)files/(p\d\d/p(\d+)/s(\d+)/([0-9a-fA-F-]+))(?:\.\w+)?$")
MINUTES_PER_DAY = 1440


class MimicTree:
    """Images of MIMIC-CXR under one folder.

    Args:
        root: the folder that holds `files/`, or is it.

    Raises:
        SourceError: there is no folder `files` with p10 .. p19 in it.
    """

    def __init__(self, root: Path, needed_by: str) -> None:
        places = [root / "files", root, *sorted(root.glob("*/files"))]
        self.files = next((place for place in places if any(place.glob("p1[0-9]"))), root / "files")
        if not any(self.files.glob("p1[0-9]")):
            there = contents(root) if root.is_dir() else "it is no folder"
            raise SourceError(
                f"{root} has no folder files/ with p10 to p19 of MIMIC-CXR or MIMIC-CXR-JPG; it holds: {there}. "
                f"Source '{needed_by}' takes its images from there: put or link files/ here."
            )

    def study_folder(self, subject: str, study: str) -> Path:
        """Where the images of a study lie; its report is beside it."""
        return self.files / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"

    def image(self, subject: str, study: str, dicom: str) -> Path | None:
        """The file of one image, of either release."""
        folder = self.study_folder(subject, study)
        return next((file for suffix in SUFFIXES if (file := folder / f"{dicom}{suffix}").is_file()), None)

    def images(self, subject: str, study: str) -> Iterator[Path]:
        """All images of one study that are here."""
        folder = self.study_folder(subject, study)
        if folder.is_dir():
            yield from (file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES)


def in_path(path: str) -> tuple[str, str, str] | None:
    """Subject, study and image behind a path of MIMIC-CXR, however it begins.

    Example:
        >>> in_path("physionet.org/files/mimic-cxr/2.0.0/files/p10/p10000032/s50414267/02aa804e-bde0afdd.dcm")
        ('10000032', '50414267', '02aa804e-bde0afdd')
    """
    match = IN_PATH.search(path.replace("\\", "/"))
    return (match[2], match[3], match[4]) if match else None


def patient_name(subject: str) -> str:
    """The patient id of a subject in every source with images of MIMIC-CXR."""
    return f"mimic-{subject}"


def minute_of(date: str | None, time: str | None) -> int | None:
    """Minutes since day 0 behind StudyDate and StudyTime; times come as 213014.531 and, cut by a reader, as 5402.75.

    Example:
        >>> minute_of("21800506", "213014.531000") - minute_of("21800506", "5402.75")
        1236
    """
    day = day_of(date)
    if day is None:
        return None
    clock = (time or "").split(".")[0].zfill(6)
    minutes = int(clock[:2]) * 60 + int(clock[2:4]) if clock.isdigit() and len(clock) == 6 else 0
    return day * MINUTES_PER_DAY + minutes
