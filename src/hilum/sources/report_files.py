"""Find the report of a study: text files beside its images, or a table joined by an identifier."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from hilum.errors import TableError
from hilum.findings import fold, suggest
from hilum.sources.layout import Counts
from hilum.tables import as_text, read_table

MOST_REPORT_BYTES = 1 << 20
NOT_REPORTS = re.compile(r"^(read.?me|licen[sc]e|index|changelog|checksums?|sha256sums|requirements)", re.I)

ACCESSION_COLUMNS = ("accession number", "accessionnumber", "accession", "accession no", "acc")
STUDY_COLUMNS = ("studyinstanceuid", "study instance uid", "study uid", "studyuid", "study id", "studyid", "study")
REPORT_COLUMNS = (
    "report",
    "report text",
    "reporttext",
    "text",
    "radiology report",
    "full report",
    "narrative",
    "notes",
)
SECTION_COLUMNS = ("indication", "history", "technique", "comparison", "findings", "impression")


def text_of(columns: Mapping[str, str | None]) -> str | None:
    """One report from its cells: section columns get their header, others stay as they are; None when all are blank.

    Example:
        >>> text_of({"Findings": "Clear.", "impression": "Normal."})
        'FINDINGS: Clear.\\n\\nIMPRESSION: Normal.'
    """
    parts = []
    for name, value in columns.items():
        if value and value.strip():
            # A lone `findings` column keeps its header too: without it the text would be cut anew.
            parts.append(f"{fold(name).upper()}: {value.strip()}" if fold(name) in SECTION_COLUMNS else value.strip())
    return "\n\n".join(parts) or None


def report_columns(names: Sequence[str]) -> list[str]:
    """The columns that hold report text: one for the whole report, else those named like sections."""
    folded = {fold(name): name for name in names}
    whole = [folded[name] for name in REPORT_COLUMNS if name in folded]
    return whole[:1] or [folded[name] for name in SECTION_COLUMNS if name in folded]


class ReportTable:
    """Reports in a CSV, TSV or Parquet file, by AccessionNumber or StudyInstanceUID.

    Args:
        path: the table.
        key: the column to join by; detected when None.
        text: the columns that hold text, joined in this order; detected when empty.

    Raises:
        TableError: it cannot be read, or the columns are not there or cannot be told apart.
    """

    def __init__(self, path: Path, key: str | None = None, text: Sequence[str] = ()) -> None:
        table = read_table(path, columns_needed=[*([key] if key else []), *text], numbers=False)
        keys = [key] if key else self._key_columns(path, table.column_names)
        wanted = list(text) or report_columns(table.column_names)
        if not wanted:
            raise TableError(
                f"{path} has no column with report text; expected one named 'report' or 'text', or 'findings' and "
                f"'impression'. Its columns: {', '.join(table.column_names)}. Name it: --map report=COLUMN."
            )
        self._texts = [as_text(table[name]) for name in wanted]
        self._names = wanted
        self._rows: dict[str, list[int]] = {}
        self.unkeyed = 0
        self._used: set[str] = set()
        self._index(table, keys)

    def find(self, study: str | None, accession: str | None) -> str | None:
        """The report of a study, by study UID first; several rows of one study are joined."""
        for identifier in (study, accession):
            if identifier and identifier.strip() in self._rows:
                self._used.add(identifier.strip())
                texts = dict.fromkeys(self._text(row) for row in self._rows[identifier.strip()])
                return "\n\n".join(text for text in texts if text) or None
        return None

    def say(self, counts: Counts) -> None:
        """Add to the summary what did not fit."""
        unused = len(self._rows) - len(self._used)
        if unused:
            counts.notes.append(
                f"{unused} of {len(self._rows)} reports in the table belong to no study that was read now"
            )
        if self.unkeyed:
            counts.notes.append(f"{self.unkeyed} rows of the report table have no id: not used")

    def _text(self, row: int) -> str | None:
        return text_of({name: cells[row].as_py() for name, cells in zip(self._names, self._texts, strict=True)})

    def _index(self, table: pa.Table, keys: Sequence[str]) -> None:
        columns = [as_text(table[name]).to_pylist() for name in keys]
        for row, identifiers in enumerate(zip(*columns, strict=True)):
            if not any(identifiers):
                self.unkeyed += 1
            for identifier in dict.fromkeys(identifiers):
                if identifier:
                    self._rows.setdefault(identifier, []).append(row)

    @staticmethod
    def _key_columns(path: Path, names: Sequence[str]) -> list[str]:
        folded = {fold(name): name for name in names}
        for known in (STUDY_COLUMNS, ACCESSION_COLUMNS):
            found = [folded[name] for name in known if name in folded]
            if found:
                return found[:1]
        close = suggest("AccessionNumber", tuple(names)) or suggest("StudyInstanceUID", tuple(names))
        hint = f" Did you mean '{close}'? Say so with --map key='{close}'." if close else " Name it: --map key=COLUMN."
        raise TableError(
            f"{path} has no column AccessionNumber or StudyInstanceUID to join reports by.{hint} "
            f"Its columns: {', '.join(names)}."
        )


class ReportsBeside:
    """Text files that lie beside images, each tied to the one study it can belong to.

    Tried from the image's folder upwards: a file named after the study or accession number; `<folder>.txt` next to a
    folder that holds one study (the layout of MIMIC-CXR); the text files inside a folder that holds one study.

    Args:
        root: the ingested root; nothing above it is looked at.
        texts: every text file under it.
    """

    def __init__(self, root: Path, texts: Sequence[Path]) -> None:
        self._root = root
        self._inside: dict[Path, list[Path]] = {}
        for text in texts:
            if not NOT_REPORTS.match(text.name):
                self._inside.setdefault(text.parent, []).append(text)
        self._only_study: dict[Path, str | None] = {}
        self._used: set[Path] = set()
        self.found = sum(len(files) for files in self._inside.values())

    def saw(self, file: Path, study: str) -> None:
        """Note that an image of this study lies at `file`."""
        if not self.found:
            return
        for folder in self._folders(file):
            if self._only_study.setdefault(folder, study) != study:
                self._only_study[folder] = None

    def find(self, file: Path, study: str, accession: str | None) -> str | None:
        """The report of the study that the image at `file` belongs to."""
        if not self.found:
            return None
        for folder in self._folders(file):
            texts = self._inside.get(folder, [])
            named = [text for text in texts if text.stem in (study, accession)]
            if not named and self._only_study.get(folder) == study:
                # Texts named after a subfolder belong to that subfolder's study alone.
                named = [text for text in texts if not (folder / text.stem).is_dir()]
                if not named and folder != self._root:
                    named = [t for t in self._inside.get(folder.parent, []) if t.stem == folder.name]
            if named:
                self._used.update(named)
                return "\n\n".join(read_report(text) for text in named).strip() or None
        return None

    def say(self, counts: Counts) -> None:
        """Add to the summary what did not fit."""
        unused = self.found - len(self._used)
        if unused:
            counts.notes.append(f"{unused} of {self.found} text files belong to no study that was read now")

    def _folders(self, file: Path) -> list[Path]:
        """From the image's folder up to the root."""
        folders = [file.parent]
        while folders[-1] != self._root and self._root in folders[-1].parents:
            folders.append(folders[-1].parent)
        return folders


def read_report(path: Path) -> str:
    """The text of a report file: UTF-8, or Latin-1 where it is not; line ends made plain.

    Raises:
        TableError: it cannot be read or is far too large for a report.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_REPORT_BYTES + 1)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > MOST_REPORT_BYTES:
        raise TableError(f"{path} is larger than {MOST_REPORT_BYTES:,} bytes; expected the text of one report.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
