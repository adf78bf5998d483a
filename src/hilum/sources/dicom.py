"""A folder tree of DICOM radiographs, with reports beside them or in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError, TableError, UsageError
from hilum.imaging import DicomHeader, Radiograph
from hilum.sources.files import looks_like_dicom, relative, require_folder, walk
from hilum.sources.layout import Counts, Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import BY_PATIENT
from hilum.sources.peek import day_of, peek
from hilum.sources.report_files import ReportsBeside, ReportTable
from hilum.sources.splitting import TRAIN_VAL

# Modalities that are never a radiograph (PS3.3 C.7.3.1.1.1). CR, DX, RG, OT and the absent one enter.
OTHER_MODALITIES = frozenset(
    "CT MR US PT NM MG XA RF ES GM SM OP OPT IVUS ECG SR PR KO SEG RTDOSE RTPLAN RTSTRUCT DOC".split()  # noqa: SIM905
)
MEDIA_DIRECTORY = b"1.2.840.10008.1.3.10"


class DicomFolder:
    """DICOM files of any extension under one folder.

    Files are known by their content. Image, study and patient ids are SOP Instance UID, Study Instance UID and
    Patient ID; where a patient id is missing, the study stands for the patient. Study dates become days from the
    patient's first study and are not kept.

    Args:
        reports: a table of reports joined by accession number or study UID; None looks for text files beside images.
        columns: `key` (the column of `reports` to join by) and `report` (columns with text, comma separated), where
            they are not found by themselves.
    """

    name: ClassVar[str] = "dicom"
    title: ClassVar[str] = "DICOM folder"
    task: ClassVar[str] = "reports, where they are given; no labels"
    outputs: ClassVar[tuple[str, ...]] = ()
    size: ClassVar[str] = "any"
    split: ClassVar[str] = BY_PATIENT
    licence: ClassVar[str] = "your own data"
    where: ClassVar[str] = "your PACS or modality export"
    layout: ClassVar[str] = (
        "a folder tree with DICOM files of any name; reports as <study>.txt next to a study's folder, as *.txt inside "
        "it, or in a table given with --reports (columns AccessionNumber or StudyInstanceUID, and report)."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = ()
    train_val: ClassVar[Mapping[str, float]] = TRAIN_VAL

    def __init__(self, reports: str | Path | None = None, columns: Mapping[str, str] | None = None) -> None:
        self.counts = Counts()
        self._reports_path = Path(reports) if reports is not None else None
        self._columns = dict(columns or {})
        unknown = sorted(set(self._columns) - {"key", "report"})
        if unknown:
            raise UsageError(f"source 'dicom' maps no {unknown[0]!r}; expected key=COLUMN or report=COLUMN[,COLUMN].")
        self._table: ReportTable | None = None
        self._first_day: dict[str, int] = {}
        self._order_unknown: set[str] = set()
        self._guessed = {"patient": 0, "study": 0, "burned": 0, "unordered": 0}

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Find the DICOM files and texts, and every patient's first study, without decoding a pixel."""
        require_folder(root, self.name, self.layout)
        self._root = root
        if self._reports_path is not None:
            texts = [part for part in self._columns.get("report", "").split(",") if part]
            self._table = ReportTable(self._reports_path, self._columns.get("key"), texts)
        self._files: list[str] = []  # text, for there may be millions
        texts_found: list[Path] = []
        for file in walk(root):
            if file.suffix.lower() == ".txt":
                texts_found.append(file)
            elif file.suffix.lower() in (".dcm", ".dicom") or looks_like_dicom(file):
                self._files.append(str(file))
            else:
                self.counts.skip("not DICOM")
        if not self._files:
            raise SourceError(f"{root} holds no DICOM file. Source 'dicom' expects: {self.layout}")
        self._beside = ReportsBeside(root, [] if self._table else texts_found)
        self._read_headers(known, progress)
        return len(self._files)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every DICOM file in the order of its path; the file tells the rest."""
        for file in map(Path, self._files):
            yield Entry(relative(file, self._root), file)

    def facts(self, entry: Entry, image: Radiograph) -> Facts | Rejected:
        """What the header says, and the study's report."""
        header = image.dicom
        if header is None:
            return Rejected(entry.path, "not_dicom", f"{entry.file} was decoded, but not as DICOM.")
        if header.modality in OTHER_MODALITIES:
            return Rejected(entry.path, "not_a_radiograph", f"{entry.file} has modality {header.modality}.")
        if not header.sop_instance_uid:
            return Rejected(entry.path, "no_id", f"{entry.file} has no SOP Instance UID (0008,0018) to name it by.")
        study = header.study_instance_uid or header.sop_instance_uid
        patient = header.patient_id or study
        self._guessed["study"] += not header.study_instance_uid
        self._guessed["patient"] += not header.patient_id
        self._guessed["burned"] += header.burned_in_annotation is True
        try:
            report = self._report(entry.file, study, header)
        except TableError as error:
            return Rejected(entry.path, "unreadable_report", str(error))
        return Facts(
            image_id=header.sop_instance_uid,
            study_id=study,
            patient_id=patient,
            view=header.view,
            study_order=self._order(patient, header),
            age_years=header.age_years,
            sex=header.sex,
            report=report,
        )

    def finish(self, whole: bool) -> None:
        """Say which reports fitted no study, and what was guessed."""
        if whole:  # else the studies of some reports were not looked at
            for reports in (self._table, self._beside):
                if reports is not None:
                    reports.say(self.counts)
        elif self._table is not None:
            self.counts.notes.append("studies that were in the archive before keep the report they had, or had not")
        said = {
            "patient": "images have no Patient ID: their study stands for the patient",
            "study": "images have no Study Instance UID: each is a study of its own",
            "burned": "images say that text is burned into their pixels (0028,0301): names may be readable there",
            "unordered": "images have no usable study date, or no earlier file of their patient here: no study order",
        }
        self.counts.notes.extend(
            f"{self._guessed[what]} {words}" for what, words in said.items() if self._guessed[what]
        )

    def _report(self, file: Path, study: str, header: DicomHeader) -> str | None:
        if self._table is not None:
            return self._table.find(study, header.accession_number)
        return self._beside.find(file, study, header.accession_number)

    def _order(self, patient: str, header: DicomHeader) -> int | None:
        day = day_of(header.study_date)
        if day is None or patient not in self._first_day:
            self._guessed["unordered"] += 1
            return None
        return day - self._first_day[patient]

    def _read_headers(self, known: Known, progress: Progress) -> None:
        """Learn each patient's first day, or the day that orders already in the archive count from."""
        kept: list[str] = []
        anchored: set[str] = set()
        for place, file in enumerate(map(Path, self._files), start=1):
            progress("reading headers", place, len(self._files))
            if _is_media_directory(file):
                self.counts.skip("DICOMDIR")
                continue
            kept.append(str(file))
            seen = peek(file)
            if seen is None:
                continue
            self._beside.saw(file, seen.study_id)
            if seen.study_day is None:
                continue
            patient, order = seen.patient_id, known.order_of(relative(file, self._root))
            if order is not None and patient not in anchored:
                anchored.add(patient)
                self._first_day[patient] = seen.study_day - order
            elif patient not in anchored:
                self._first_day[patient] = min(seen.study_day, self._first_day.get(patient, seen.study_day))
        for patient in [p for p in self._first_day if p not in anchored and known.has_patient(p)]:
            # None of this patient's earlier files is here to count from: a made-up order would be a wrong one.
            del self._first_day[patient]
        self._files = kept


def _is_media_directory(file: Path) -> bool:
    if file.name.upper() != "DICOMDIR":
        return False
    with file.open("rb") as stream:
        return MEDIA_DIRECTORY in stream.read(1024)
