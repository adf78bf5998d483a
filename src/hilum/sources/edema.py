"""Pulmonary edema severity grades of MIMIC-CXR (Horng et al. 2021, Radiology: AI 3; Liao et al. 2021, PhysioNet)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError, UsageError
from hilum.labelsets import EDEMA_GRADES
from hilum.sources.cells import one_of, view_of, whole_of
from hilum.sources.files import contents, find_part, relative, require_folder
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, expect_some
from hilum.sources.mimic_tree import MimicTree, patient_name
from hilum.tables import read_table

# From the least to the most trusted.
TABLES = ("regex_report_edema_severity.csv", "expert_report_edema_severity.csv", "consensus_image_edema_severity.csv")
VIEWED = "auxiliary_metadata/mimic_cxr_metadata_available_CHF_view.csv"
HOLD_OUT = ("none", "consensus")


class PulmonaryEdema(Listed):
    """Pulmonary edema severity: grades 0 none, 1 vascular congestion, 2 interstitial, 3 alveolar, on images of MIMIC-CXR.

    An image takes the grade radiologists agreed on for it; else the expert's reading of its report, else what a pattern
    found in the report. Grades of a report hold for the study's images that the table of the heart failure cohort
    lists, or for all where it is not there. Stated as four findings, one of them positive.

    Args:
        images: the folder of MIMIC-CXR or MIMIC-CXR-JPG; default the root.
        hold_out: "consensus" makes a test set of all images of the patients whose images radiologists agreed on, as the
            authors recommend; "none" splits all alike.
    """

    name: ClassVar[str] = "edema"
    title: ClassVar[str] = "Pulmonary Edema Severity (MIMIC-CXR)"
    task: ClassVar[str] = "ordinal: edema severity 0 to 3"
    outputs: ClassVar[tuple[str, ...]] = EDEMA_GRADES
    size: ClassVar[str] = (
        "6,710 reports by pattern, 485 by an expert, 141 images by consensus; cohort of 17,857 images of 1,916 patients"
    )
    split: ClassVar[str] = "60/20/20 by patient, hashed; --set hold_out=consensus tests on the consensus patients"
    licence: ClassVar[str] = "PhysioNet credentialed access with training and data use agreement"
    where: ClassVar[str] = "https://physionet.org/content/mimic-cxr-pe-severity/ and the images of MIMIC-CXR-JPG"
    layout: ClassVar[str] = (
        "any of regex_report_edema_severity.csv, expert_report_edema_severity.csv and consensus_image_edema_severity.csv "
        "(subject_id, study_id, dicom_id, edema_severity), auxiliary_metadata/; and files/ of MIMIC-CXR or MIMIC-CXR-JPG "
        "beside them, or --set images=FOLDER."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "that the two report tables have no dicom_id column; one that is there is used",
        "the columns of the auxiliary metadata",
        "how 17,857 images come to labels: fewer images have a grade in the published tables",
    )

    def __init__(self, images: str | Path | None = None, hold_out: str = "none") -> None:
        super().__init__()
        if hold_out not in HOLD_OUT:
            raise UsageError(f"source 'edema': hold_out is {hold_out!r}; expected {' or '.join(HOLD_OUT)}.")
        self._images, self._hold_out = Path(images) if images is not None else None, hold_out

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the tables of grades and find the images they speak of."""
        require_folder(root, self.name, self.layout)
        self._root = root
        tables = [root / name for name in TABLES if (root / name).is_file()]
        if not tables:
            raise SourceError(
                f"{root} lacks all of {', '.join(TABLES)}; it holds: {contents(root)}. Source 'edema' expects: {self.layout}"
            )
        absent = [name for name in TABLES if not (root / name).is_file()]
        if absent:
            self.counts.notes.append(f"not there: {', '.join(absent)}")
        self._tree = MimicTree(self._images or root, self.name)
        self._views = self._cohort(root)
        self._agreed: set[str] = set()  # patients of the consensus
        # (subject, study, image) -> grade as written, and where; a later, better table overwrites.
        self._grades: dict[tuple[str, str, str], tuple[str | None, str]] = {}
        listed: dict[tuple[str, str, str], Path | None] = {}
        for table in tables:
            self._read(table, listed)
        self._files = {key: file for key, file in listed.items() if file is not None}
        return expect_some(root, tables[-1].name, listed.values(), self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every graded image that is there."""
        for (subject, study, image), file in self._files.items():
            text, where = self._grades[subject, study, image]
            path = relative(file, self._root)
            grade = whole_of(text)
            if grade is None or not 0 <= grade < len(EDEMA_GRADES):
                yield Rejected(path, "unknown_label", f"{where}: 'edema_severity' is {text!r}; expected 0, 1, 2 or 3.")
                continue
            held_out = self._hold_out == "consensus"
            split = ("test" if subject in self._agreed else "train_val") if held_out else None
            facts = Facts(
                image_id=f"edema-{image}",
                study_id=f"edema-{study}",
                patient_id=patient_name(subject),
                view=self._views.get(image),
                split=split,
                labels=one_of(EDEMA_GRADES, EDEMA_GRADES[grade]),
            )
            yield Entry(path, file, facts)

    def _read(self, table: Path, listed: dict[tuple[str, str, str], Path | None]) -> None:
        rows = read_table(table, columns_needed=("subject_id", "study_id", "edema_severity"), numbers=False).to_pylist()
        for number, row in enumerate(rows, start=1):
            subject, study, image = row["subject_id"], row["study_id"], row.get("dicom_id")
            if not subject or not study:
                self.counts.skip(f"row without subject or study in {table.name}")
                continue
            if table.name == TABLES[-1]:
                self._agreed.add(subject)
            where = f"{table.name} row {number}"
            files: list[tuple[str, Path | None]]
            if image:
                files = [(image, self._tree.image(subject, study, image))]
            else:
                found = list(self._tree.images(subject, study))
                files = [(file.stem, file) for file in found if not self._views or file.stem in self._views]
                if not found:
                    listed[subject, study, ""] = None
            for name, file in files:
                listed[subject, study, name] = file
                self._grades[subject, study, name] = row["edema_severity"], where

    def _cohort(self, root: Path) -> dict[str, str]:
        """Images of the heart failure cohort with their views; empty where the table is not there."""
        path = find_part(root, VIEWED, Path(VIEWED).name)
        if path is None:
            self.counts.notes.append(
                f"no {VIEWED}: grades of reports hold for all images of their study, lateral ones too"
            )
            return {}
        rows = read_table(path, columns_needed=("dicom_id",), numbers=False).to_pylist()
        return {row["dicom_id"]: view_of(row.get("ViewPosition") or row.get("view")) for row in rows if row["dicom_id"]}
