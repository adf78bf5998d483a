"""MIMIC-CXR (Johnson et al. 2019, Sci Data 6) and MIMIC-CXR-JPG (arXiv:1901.07042): images, reports, labels, official split."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from hilum.errors import SourceError, TableError
from hilum.findings import CHEXPERT_NAMES, LabelValue, canonical
from hilum.sources.cells import view_of
from hilum.sources.files import contents, find_part, relative, require_folder
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, Statement, no_progress
from hilum.sources.listed import Listed, UnknownCode, coded_labels, expect_some
from hilum.sources.mimic_tree import MINUTES_PER_DAY, MimicTree, in_path, minute_of, patient_name
from hilum.sources.peek import peek
from hilum.sources.report_files import MOST_REPORT_BYTES
from hilum.tables import read_table

SPLITS = {"train": "train", "validate": "val", "test": "test"}
# Table -> who speaks in it.
LABELERS = {
    "mimic-cxr-*-chexpert.csv*": None,
    "mimic-cxr-*-negbio.csv*": "labeler:mimic/negbio",
    "mimic-cxr-*-test-set-labeled.csv*": "reader:mimic/radiologist",
}


class MimicCxr(Listed):
    """MIMIC-CXR and MIMIC-CXR-JPG.

    Labels are of the study: CheXpert's as the dataset's own, NegBio's and the radiologist's test labels as theirs. Blank
    cells (not mentioned) state nothing, doubt stays uncertain. The order of a patient's studies is minutes of StudyDate
    and StudyTime from the patient's first day.

    Args:
        reports: where the reports are, when not beside the study folders: a folder that holds `files/`, or
            mimic-cxr-reports.zip. Looked for under the root too.
    """

    name: ClassVar[str] = "mimic"
    title: ClassVar[str] = "MIMIC-CXR and MIMIC-CXR-JPG"
    task: ClassVar[str] = "reports; multi-label, mined from them"
    outputs: ClassVar[tuple[str, ...]] = CHEXPERT_NAMES
    size: ClassVar[str] = "377,110 images of 227,835 studies of 65,379 patients"
    split: ClassVar[str] = "official (train, validate, test); without its table 60/20/20 by patient, hashed"
    licence: ClassVar[str] = "PhysioNet credentialed access with training and data use agreement"
    where: ClassVar[str] = "https://physionet.org/content/mimic-cxr/ and https://physionet.org/content/mimic-cxr-jpg/"
    layout: ClassVar[str] = (
        "files/p10/p10000032/s50414267/*.dcm or *.jpg; mimic-cxr-*-metadata.csv.gz (JPG) or cxr-record-list.csv.gz (DICOM); "
        "and where they are there: mimic-cxr-*-split.csv.gz, -chexpert, -negbio and -test-set-labeled tables, reports as "
        "s50414267.txt beside the study folders, in mimic-cxr-reports/ or mimic-cxr-reports.zip (or --reports)."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "the order of the label columns; they are read by name",
        "the columns of mimic-cxr-2.1.0-test-set-labeled.csv",
        "that the JPGs are histogram-equalized and never inverted",
    )

    def __init__(self, reports: str | Path | None = None) -> None:
        super().__init__()
        self._asked_reports = Path(reports) if reports is not None else None

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the tables, and learn each patient's first day."""
        require_folder(root, self.name, self.layout)
        self._root = root
        self._tree = MimicTree(root, self.name)
        tables = (root, root / "mimic-cxr-jpg", self._tree.files.parent)
        listing = _first(tables, "mimic-cxr-*-metadata.csv*", "cxr-record-list.csv*")
        if listing is None:
            raise SourceError(
                f"{root} lacks mimic-cxr-*-metadata.csv.gz (JPG) and cxr-record-list.csv.gz (DICOM), one of which lists the "
                f"images; it holds: {contents(root)}. Source 'mimic' expects: {self.layout}"
            )
        needed = ("dicom_id", "subject_id", "study_id")
        self._rows = read_table(listing, columns_needed=needed, numbers=False).to_pylist()
        for row in self._rows:
            row["file"] = self._tree.image(*(row[name] or "" for name in ("subject_id", "study_id", "dicom_id")))
        self._listing = listing
        present = expect_some(root, listing.name, (row["file"] for row in self._rows), self.counts)
        self._first_day = self._first_days(progress)
        split = _first(tables, "mimic-cxr-*-split.csv*")
        self._splits: dict[str, str] = {}
        if split is not None:
            table = read_table(split, columns_needed=("dicom_id", "split"), numbers=False)
            self._splits = _official(split, table.to_pylist())
        else:
            self.counts.notes.append("no mimic-cxr-*-split.csv.gz: patients are split 60/20/20")
        self._statements = [
            _StudyLabels(table, said_by)
            for pattern, said_by in LABELERS.items()
            if (table := _first(tables, pattern)) is not None
        ]
        self._reports = _Reports(self._tree, self._asked_reports, root)
        return present

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every listed image that is there, in the order of the table."""
        for number, row in enumerate(self._rows, start=1):
            image, subject, study = row["dicom_id"], row["subject_id"], row["study_id"]
            where = f"{self._listing.name} row {number}"
            if not (image and subject and study):
                yield Rejected(where, "blank_id", f"{where}: 'dicom_id', 'subject_id' or 'study_id' is blank.")
                continue
            if row["file"] is None:
                continue
            path = relative(row["file"], self._root)
            try:
                said = tuple(statement for labels in self._statements for statement in labels.of(study))
            except UnknownCode as error:
                yield Rejected(path, "unknown_label", f"study {study}: {error}.")
                continue
            facts = Facts(
                image_id=image,
                study_id=f"mimic-{study}",
                patient_id=patient_name(subject),
                view=view_of(row["ViewPosition"]) if row.get("ViewPosition") else None,
                study_order=self._order(row),
                split=self._splits.get(image),
                report=self._reports.of(subject, study),
                statements=said,
            )
            yield Entry(path, row["file"], facts)

    def finish(self, whole: bool) -> None:
        """Say how many studies came without a report."""
        if self._reports.missing:
            self.counts.notes.append(f"{len(self._reports.missing):,} studies have no report beside them")

    def _order(self, row: dict[str, Any]) -> int | None:
        minute, first = row.get("minute"), self._first_day.get(row["subject_id"])
        return None if minute is None or first is None else minute - first * MINUTES_PER_DAY

    def _first_days(self, progress: Progress) -> dict[str, int]:
        """Subject -> the day of the first study; from the metadata, else from the headers of the DICOM files."""
        first: dict[str, int] = {}
        has_dates = bool(self._rows) and "StudyDate" in self._rows[0]
        days: dict[str, int | None] = {}
        for number, row in enumerate(self._rows, start=1):
            if has_dates:
                row["minute"] = minute_of(row["StudyDate"], row.get("StudyTime"))
            elif row["file"] is not None and row["file"].suffix == ".dcm":
                progress("reading headers", number, len(self._rows))
                if row["study_id"] not in days:
                    seen = peek(row["file"])
                    days[row["study_id"]] = seen.study_day if seen else None
                day = days[row["study_id"]]
                row["minute"] = None if day is None else day * MINUTES_PER_DAY
            minute = row.get("minute")
            if minute is not None:
                day = minute // MINUTES_PER_DAY
                first[row["subject_id"]] = min(day, first.get(row["subject_id"], day))
        if not has_dates:
            self.counts.notes.append("no metadata table: studies of one day have the same order")
        return first


class _StudyLabels:
    """One table of labels, study by study."""

    def __init__(self, path: Path, said_by: str | None) -> None:
        table = read_table(path, columns_needed=("study_id",), numbers=False)
        self._columns = {name: canonical(name) for name in table.column_names if canonical(name) in CHEXPERT_NAMES}
        if not self._columns:
            raise TableError(f"{path} has none of the 14 findings. Its columns: {', '.join(table.column_names)}.")
        self._said_by = said_by
        self._rows = {row["study_id"]: row for row in table.select(["study_id", *self._columns]).to_pylist()}

    def of(self, study: str) -> Iterator[Statement]:
        labels: Iterator[tuple[str, LabelValue]] = coded_labels(self._rows.get(study, {}), self._columns)
        return (Statement(finding, value, self._said_by, of_study=True) for finding, value in labels)


class _Reports:
    """Reports beside the study folders, in another tree of the same shape, or in the zip file they come in."""

    def __init__(self, tree: MimicTree, asked: Path | None, root: Path) -> None:
        self.missing: set[str] = set()
        self._zip: zipfile.ZipFile | None = None
        self._trees = [tree.files]
        place = asked or find_part(root, "mimic-cxr-reports.zip", "mimic-cxr-reports")
        if place is None:
            return
        if place.is_dir():
            self._trees.insert(0, MimicTree(place, "mimic").files)
        elif place.is_file() and zipfile.is_zipfile(place):
            self._zip = zipfile.ZipFile(place)
            self._names = {
                found[1]: part.filename
                for part in self._zip.infolist()
                if part.file_size <= MOST_REPORT_BYTES and (found := _report_in(part.filename))
            }
        else:
            raise SourceError(f"{place}: expected a folder with files/ or mimic-cxr-reports.zip.")

    def of(self, subject: str, study: str) -> str | None:
        content = b""
        if self._zip is not None and study in self._names:
            content = self._zip.read(self._names[study])
        else:
            for tree in self._trees:
                file = tree / f"p{subject[:2]}" / f"p{subject}" / f"s{study}.txt"
                if file.is_file() and file.stat().st_size <= MOST_REPORT_BYTES:
                    content = file.read_bytes()
                    break
        if not content.strip():
            self.missing.add(study)
            return None
        return content.decode("utf-8", errors="replace").strip()


def _report_in(name: str) -> tuple[str, str] | None:
    found = in_path(name.removesuffix(".txt") + "/0") if name.endswith(".txt") else None
    return (found[0], found[1]) if found else None


def _official(path: Path, rows: list[dict[str, Any]]) -> dict[str, str]:
    for number, row in enumerate(rows, start=1):
        if row["split"] not in SPLITS:
            raise TableError(f"{path}, row {number}: 'split' is {row['split']!r}; expected {', '.join(SPLITS)}.")
    return {row["dicom_id"]: SPLITS[row["split"]] for row in rows}


def _first(folders: tuple[Path, ...], *names: str) -> Path | None:
    return next((part for folder in folders if folder.is_dir() and (part := find_part(folder, *names))), None)
