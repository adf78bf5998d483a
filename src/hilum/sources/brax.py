"""BRAX (Reis et al. 2022, Sci Data 9): Brazilian radiographs labeled from Portuguese reports by CheXpert's scheme."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from hilum.labelsets import BRAX_14
from hilum.sources.cells import possible_age, sex_of, view_of
from hilum.sources.files import relative, require_parts
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, UnknownCode, coded_labels, expect_some
from hilum.sources.peek import day_of
from hilum.tables import read_table

TABLES = ("master_spreadsheet_update.csv", "master_spreadsheet*.csv")
OLDEST_GROUP = "85 or more"


class Brax(Listed):
    """BRAX: PNG where it is there, else DICOM.

    Blank cells (not mentioned) state nothing, -1 stays uncertain. Ages are groups of five years; the lowest of the group
    is kept, 85 for `85 or more`. The order of studies is days from the patient's first.
    """

    name: ClassVar[str] = "brax"
    title: ClassVar[str] = "BRAX"
    task: ClassVar[str] = "multi-label, mined from reports"
    outputs: ClassVar[tuple[str, ...]] = BRAX_14
    size: ClassVar[str] = "40,967 images of 24,959 studies of 19,351 patients"
    licence: ClassVar[str] = "PhysioNet credentialed access with training and data use agreement"
    where: ClassVar[str] = "https://physionet.org/content/brax/"
    layout: ClassVar[str] = (
        "master_spreadsheet_update.csv (DicomPath, PngPath, PatientID, AccessionNumber, StudyDate, 14 findings, ...) and "
        "images/id_*/Study_*/Series_*/image-*.png, or Anonymized_DICOMs/ of the same shape."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "the folder names",
        "that DICOM files of v1.0.0 lack the ending .dcm; both are looked for",
        "that the PNGs of MONOCHROME1 files are already inverted",
    )

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the spreadsheet and look which images are there, in either format."""
        self._root = root
        (self._table,) = require_parts(root, self.name, self.layout, TABLES)
        needed = ("PatientID", "AccessionNumber", *BRAX_14)
        self._rows = read_table(self._table, columns_needed=needed, numbers=False).to_pylist()
        self._first_day: dict[str, int] = {}
        for row in self._rows:
            row["file"] = self._file(row)
            row["day"] = day_of((row.get("StudyDate") or "").replace("-", ""))
            if row["day"] is not None and row["PatientID"]:
                self._first_day[row["PatientID"]] = min(row["day"], self._first_day.get(row["PatientID"], row["day"]))
        return expect_some(root, self._table.name, (row["file"] for row in self._rows), self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every listed image that is there, in the order of the table."""
        columns = {name: name for name in BRAX_14}
        for number, row in enumerate(self._rows, start=1):
            where = f"{self._table.name} row {number}"
            patient, study, file = row["PatientID"], row["AccessionNumber"], row["file"]
            if not patient or not study:
                yield Rejected(where, "blank_id", f"{where}: 'PatientID' or 'AccessionNumber' is blank.")
                continue
            if file is None:
                continue
            path = relative(file, self._root)
            try:
                labels = tuple(coded_labels(row, columns))
            except UnknownCode as error:
                yield Rejected(path, "unknown_label", f"{where}: {error}.")
                continue
            age = (row.get("PatientAge") or "").strip().lower()
            facts = Facts(
                image_id=f"brax-{_stem(row)}",
                study_id=f"brax-{study}",
                patient_id=f"brax-{patient}",
                view=view_of(row["ViewPosition"]) if row.get("ViewPosition") else None,
                study_order=row["day"] - self._first_day[patient] if row["day"] is not None else None,
                age_years=possible_age("85" if age == OLDEST_GROUP else age),
                sex=sex_of(row.get("PatientSex")),
                labels=labels,
            )
            yield Entry(path, file, facts)

    def _file(self, row: dict[str, Any]) -> Path | None:
        names = [row[column].strip().lstrip("/") for column in ("PngPath", "DicomPath") if row.get(column)]
        tried = [part for name in names for part in (name, name.removesuffix(".dcm"), f"{name}.dcm")]
        return next((file for part in tried if (file := self._root / part).is_file()), None)


def _stem(row: dict[str, Any]) -> str:
    """The path of an image without its top folder and ending, the same for PNG and DICOM."""
    path = (row.get("PngPath") or row.get("DicomPath") or "").strip().lstrip("/")
    return path.partition("/")[2].removesuffix(".png").removesuffix(".dcm")
