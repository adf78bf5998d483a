"""PadChest (Bustos et al. 2020, Med Image Anal 66): 16-bit radiographs from Alicante, 174 findings, reports in Spanish."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from hilum.errors import TableError, UsageError
from hilum.findings import LabelValue, canonical, fold
from hilum.labelsets import NIH_14, PADCHEST_9
from hilum.sources.cells import present, sex_of, view_of
from hilum.sources.files import IMAGE_SUFFIXES, relative, require_parts, walk
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, expect_some
from hilum.sources.peek import day_of
from hilum.tables import read_table

TABLES = ("PADCHEST_chest_x_ray_images_labels_160K*.csv*", "PADCHEST*.csv*", "chest_x_ray_images_labels_sample.csv")
DROPPED = ("exclude", "suboptimal study")  # the image is left out
IGNORED = ("unchanged",)  # says nothing of the image by itself
# Findings that every labeled image states, present or absent; the others are stated where they are present.
STATED = tuple(
    dict.fromkeys((*PADCHEST_9, *NIH_14, "No Finding", "Fracture", "Tuberculosis", "Interstitial Lung Disease"))
)
USED = (
    *("ImageID", "PatientID", "StudyID", "StudyDate_DICOM", "PatientBirth", "PatientSex_DICOM", "Projection", "Labels"),
    *("MethodLabel", "Report", "PhotometricInterpretation_DICOM"),
)
LABELED_BY = ("all", "physician")


class PadChest(Listed):
    """PadChest.

    Labels are a list in a cell. Images labeled `exclude` or `suboptimal study`, without labels, or with the projection
    EXCLUDE are left out. Every other image states the findings of `STATED`, present or absent, and all others it has.
    Names keep PadChest's spelling where ours has no such finding.

    Args:
        labeled_by: "physician" takes only the quarter of images that a physician labeled; "all" also those of the network
            trained on them.
    """

    name: ClassVar[str] = "padchest"
    title: ClassVar[str] = "PadChest"
    task: ClassVar[str] = "multi-label (174 findings); reports in Spanish"
    outputs: ClassVar[tuple[str, ...]] = STATED
    size: ClassVar[str] = "160,868 images of about 69,900 patients"
    licence: ClassVar[str] = "CC BY-SA 4.0, and a research use agreement for the download"
    where: ClassVar[str] = "https://bimcv.cipf.es/bimcv-projects/padchest/"
    layout: ClassVar[str] = (
        "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv and the images unpacked from 0.zip ... 54.zip as "
        "<ImageDir>/<ImageID>, or anywhere below."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "the number of images and patients",
        "whether PNGs of MONOCHROME1 files are already inverted; they are taken as they are, and counted",
        "which 9 findings were published",
    )

    def __init__(self, labeled_by: str = "all") -> None:
        super().__init__()
        if labeled_by not in LABELED_BY:
            raise UsageError(f"source 'padchest': labeled_by is {labeled_by!r}; expected {' or '.join(LABELED_BY)}.")
        self._labeled_by = labeled_by
        self._monochrome1 = 0

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the table, leave out what it excludes, and find the images."""
        self._root = root
        (self._table,) = require_parts(root, self.name, self.layout, TABLES)
        table = read_table(self._table, columns_needed=("ImageID", "PatientID", "Labels"), numbers=False)
        files = {file.name: file for file in walk(root) if file.suffix.lower() in IMAGE_SUFFIXES}
        self._rows = [
            row
            for row in table.select([name for name in table.column_names if name in USED]).to_pylist()
            if self._is_wanted(row)
        ]
        self._first_day: dict[str, int] = {}
        for row in self._rows:
            row["file"] = files.get(row["ImageID"] or "")
            row["day"] = day_of(row.get("StudyDate_DICOM"))
            if row["day"] is not None and row["PatientID"]:
                self._first_day[row["PatientID"]] = min(row["day"], self._first_day.get(row["PatientID"], row["day"]))
        return expect_some(root, self._table.name, (row["file"] for row in self._rows), self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every labeled image that is there, in the order of the table."""
        for row in self._rows:
            image, patient, file = row["ImageID"], row["PatientID"], row["file"]
            if not image or not patient:
                yield Rejected(image or "a row", "blank_id", f"{self._table.name}: 'ImageID' or 'PatientID' is blank.")
                continue
            if file is None:
                continue
            path = relative(file, self._root)
            try:
                names = listed(row["Labels"])
            except TableError as error:
                yield Rejected(path, "unknown_label", f"{self._table.name}, {image}: {error}")
                continue
            self._monochrome1 += (row.get("PhotometricInterpretation_DICOM") or "").strip().upper() == "MONOCHROME1"
            facts = Facts(
                image_id=image,
                study_id=f"padchest-{row.get('StudyID') or image}",
                patient_id=f"padchest-{patient}",
                view=view_of(row.get("Projection")),
                study_order=row["day"] - self._first_day[patient] if row["day"] is not None else None,
                age_years=_age(row),
                sex=sex_of(row.get("PatientSex_DICOM")),
                report=row.get("Report"),
                labels=labels_of(names),
            )
            yield Entry(path, file, facts)

    def finish(self, whole: bool) -> None:
        """Say how many may be shown inverted."""
        if self._monochrome1:
            self.counts.notes.append(
                f"{self._monochrome1:,} images are said to be MONOCHROME1; they are taken as their PNG shows them"
            )

    def _is_wanted(self, row: dict[str, Any]) -> bool:
        if self._labeled_by == "physician" and fold(row.get("MethodLabel") or "") != "physician":
            self.counts.skip("not labeled by a physician")
        elif fold(row.get("Projection") or "") == "exclude":
            self.counts.skip("projection EXCLUDE")
        elif row["Labels"] is None:
            self.counts.skip("without labels")
        else:
            try:
                names = listed(row["Labels"])
            except TableError:
                return True  # rejected by name, later
            why = next((word for word in DROPPED if word in names), None)
            if why is None:
                return True
            self.counts.skip(f"labeled '{why}'")
        return False


def listed(cell: str) -> list[str]:
    """The labels in a cell such as `['cardiomegaly', ' pleural effusion', '']`, lower case, without blanks, each once.

    Raises:
        TableError: the cell is no list of texts.

    Example:
        >>> listed("['Cardiomegaly', ' pleural effusion', '', 'cardiomegaly ']")
        ['cardiomegaly', 'pleural effusion']
    """
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise TableError(f"'Labels' is {cell[:80]!r}; expected a list such as ['cardiomegaly', 'pleural effusion'].")
    return list(dict.fromkeys(name.strip().lower() for name in found if name.strip()))


def labels_of(names: list[str]) -> tuple[tuple[str, LabelValue], ...]:
    """What a list of labels states; `unchanged` is no finding, and an empty list states nothing.

    Example:
        >>> dict(labels_of(["cardiomegaly", "scoliosis"]))["scoliosis"]
        <LabelValue.POSITIVE: 'positive'>
    """
    if not names:
        return ()
    there = {canonical(name) for name in names if name not in IGNORED}
    return tuple((name, present(name in there)) for name in STATED) + tuple(
        (name, LabelValue.POSITIVE) for name in sorted(there - set(STATED))
    )


def _age(row: dict[str, Any]) -> float | None:
    """Years between birth, of which the table has the year, and study."""
    born, studied = (row.get("PatientBirth") or "").split(".")[0], (row.get("StudyDate_DICOM") or "")[:4]
    years = int(studied) - int(born) if born.isdigit() and studied.isdigit() else -1
    return float(years) if 0 <= years <= 120 else None
