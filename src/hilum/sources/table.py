"""Any CSV, TSV or Parquet table with a column of image paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hilum.archive.schema import SPLITS, VIEWS
from hilum.errors import SourceError, TableError, UsageError
from hilum.findings import canonical, fold, suggest
from hilum.sources.cells import KNOWN_VIEWS, LABEL_WORDS, SEXES, age_of, whole_of
from hilum.sources.files import relative
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed
from hilum.sources.report_files import report_columns, text_of
from hilum.tables import as_text, read_table, require_columns

# What may be mapped -> the column names it is found under when it is not.
FIELDS: dict[str, tuple[str, ...]] = {
    "image": (
        "path",
        "image path",
        "image",
        "file",
        "filename",
        "file name",
        "file path",
        "filepath",
        "pngpath",
        "dicompath",
    ),
    "image_id": ("image id", "imageid", "dicom id", "image index"),
    "study_id": ("study id", "studyid", "studyinstanceuid", "accession number", "accessionnumber", "study"),
    "patient_id": ("patient id", "patientid", "subject id", "subjectid", "patient", "subject"),
    "view": ("view", "view position", "viewposition", "projection"),
    "age": ("age", "patient age", "age years", "patientage"),
    "sex": ("sex", "gender", "patient sex", "patient gender", "patientsex"),
    "split": ("split",),
    "order": ("study order",),
    "report": (),
}
SPLIT_WORDS = {name: name for name in SPLITS} | {
    "training": "train",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}
TRIED_PATHS = 200


class ImageTable(Listed):
    """Images listed in a table, one row each.

    Args:
        columns: what -> column name, for any of image, image_id, study_id, patient_id, view, age, sex, split, order,
            report (several columns comma separated). What is not mapped is looked for under its usual names.
        views: the table's own word for a view -> pa, ap, ap_supine, lateral or unknown.
        labels: columns that state a finding: 1, 0, -1 and blank, or yes and no.
        folder: what the image paths are relative to; default the table's own folder or one of those above it.
    """

    name: ClassVar[str] = "table"
    title: ClassVar[str] = "Table of images"
    task: ClassVar[str] = "whatever its columns state"
    outputs: ClassVar[tuple[str, ...]] = ()
    size: ClassVar[str] = "any"
    split: ClassVar[str] = "its split column, else 60/20/20 by patient, hashed"
    licence: ClassVar[str] = "your own data"
    where: ClassVar[str] = "any CSV, TSV or Parquet file"
    layout: ClassVar[str] = (
        "a table with one row an image: a column of image paths (relative to the table, or absolute), and any of "
        "patient, study, view, age, sex, split, report and label columns."
    )

    def __init__(
        self,
        columns: Mapping[str, str] | None = None,
        views: Mapping[str, str] | None = None,
        labels: Sequence[str] = (),
        folder: str | Path | None = None,
    ) -> None:
        super().__init__()
        self._asked = dict(columns or {})
        self._labels = list(labels)
        self._label_words, self._label_advice = LABEL_WORDS, "Expected 1, 0, -1 or blank."
        self._folder = Path(folder) if folder is not None else None
        for name in self._asked:
            if name not in FIELDS:
                close = suggest(name, tuple(FIELDS))
                hint = f" Did you mean '{close}'?" if close else ""
                raise UsageError(f"a table maps no '{name}'.{hint} It maps: {', '.join(FIELDS)}.")
        self._views = dict(KNOWN_VIEWS)
        for word, view in (views or {}).items():
            if view not in VIEWS:
                raise UsageError(f"the view '{word}' is mapped to '{view}'; expected one of {', '.join(VIEWS)}.")
            self._views[fold(word)] = view

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the table, find the columns and check every value that a mapping could mend."""
        if root.is_dir():
            tables = sorted(f.name for f in root.iterdir() if f.suffix.lower() in (".csv", ".tsv", ".parquet"))
            hint = f" It holds: {', '.join(tables[:5])}." if tables else ""
            raise SourceError(f"{root} is a folder; source 'table' wants the table itself.{hint}")
        table = read_table(root, numbers=False)
        self._path = root
        columns = self._find_columns(table.column_names)
        require_columns(root, table.column_names, self._labels)
        self._reports = self._report_columns(table.column_names)
        cells = {what: as_text(table[name]).to_pylist() for what, name in columns.items()}
        self._cells = cells
        self._total = len(table)
        self._labeled = {name: as_text(table[name]).to_pylist() for name in self._labels}
        self._texts = {name: as_text(table[name]).to_pylist() for name in self._reports}
        if not self._total:
            raise TableError(f"{root} has a header and no rows.")
        self._check("view", self._views, f"Map them with --view-map WORD=VIEW, VIEW one of {', '.join(VIEWS)}.")
        self._check("sex", SEXES, "Expected M or F.")
        self._check("split", SPLIT_WORDS, f"Expected one of {', '.join(SPLITS)}.")
        for name, values in self._labeled.items():
            _check_words(root, name, values, self._label_words, self._label_advice)
        if "patient_id" not in cells:
            stands = "study" if "study_id" in cells else "image"
            self.counts.notes.append(
                f"no patient column (say --map patient_id=COLUMN): each {stands} stands for a patient"
            )
        self._base = self._find_folder(cells["image"])
        self._report_of = self._join_reports()
        return self._total

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every row; those without a path or an id are rejected."""
        for row in range(self._total):
            where = f"{self._path.name} row {row + 1}"
            cell = {what: values[row] for what, values in self._cells.items()}
            blank = next(
                (what for what in ("image", "image_id", "study_id", "patient_id") if cell.get(what, "") is None), None
            )
            if blank:
                yield Rejected(cell["image"] or where, "blank_id", f"{where}: '{self._columns[blank]}' is blank.")
                continue
            file = self._base / cell["image"]
            path = relative(file, self._base)
            study, patient = self._ids(row)
            facts = Facts(
                image_id=cell.get("image_id") or cell["image"],
                study_id=study,
                patient_id=patient,
                view=self._view(cell.get("view")),
                study_order=whole_of(cell.get("order")),
                age_years=age_of(cell.get("age")),
                sex=SEXES[fold(cell["sex"])] if cell.get("sex") else None,
                split=SPLIT_WORDS[fold(cell["split"])] if cell.get("split") else None,
                report=self._report_of.get(study),
                labels=tuple(
                    (self._finding_of(name), self._label_words[fold(values[row])])
                    for name, values in self._labeled.items()
                    if values[row]
                ),
            )
            yield Entry(path, file, facts)

    def _finding_of(self, column: str) -> str:
        return canonical(column)

    def _view(self, word: str | None) -> str | None:
        return self._views[fold(word)] if word else None

    def _ids(self, row: int) -> tuple[str, str]:
        """Study and patient of a row."""
        cells = self._cells
        image = cells["image_id"][row] if "image_id" in cells else cells["image"][row]
        study = cells["study_id"][row] if "study_id" in cells else image
        return study, cells["patient_id"][row] if "patient_id" in cells else study

    def _find_columns(self, names: Sequence[str]) -> dict[str, str]:
        """What -> column, for what is mapped or found by its usual names."""
        asked = {what: name for what, name in self._asked.items() if what != "report"}
        require_columns(self._path, names, asked.values())
        folded = {fold(name): name for name in names}
        self._columns = dict(asked)
        for what, usual in FIELDS.items():
            if what not in asked:
                found = next(
                    (folded[name] for name in usual if name in folded and folded[name] not in self._labels), None
                )
                if found is not None:
                    self._columns[what] = found
        if "image" not in self._columns:
            one = " The header was read as one cell: check the delimiter." if len(names) == 1 else ""
            raise TableError(
                f"{self._path} has no column of image paths. Name it: --map image=COLUMN. "
                f"Its columns: {', '.join(names)}.{one}"
            )
        return self._columns

    def _report_columns(self, names: Sequence[str]) -> list[str]:
        asked = [name.strip() for name in self._asked.get("report", "").split(",") if name.strip()]
        require_columns(self._path, names, asked)
        return asked or [name for name in report_columns(names) if name not in self._labels]

    def _check(self, what: str, words: Mapping[str, Any], advice: str) -> None:
        if what in self._cells:
            _check_words(self._path, self._columns[what], self._cells[what], words, advice)

    def _find_folder(self, paths: Sequence[str | None]) -> Path:
        """The folder under which the listed images lie: the table's, or one above it."""
        tried = [path for path in paths if path][:TRIED_PATHS]
        here = self._path.resolve().parent
        folders = [self._folder] if self._folder else [here, *list(here.parents)[:3]]
        for folder in folders:
            if any((folder / path).is_file() for path in tried):
                return folder
        if not tried:
            raise TableError(f"{self._path}: '{self._columns['image']}' is blank in every row.")
        raise SourceError(
            f"{self._path}: none of the first {len(tried)} image paths exists; tried {folders[0] / tried[0]}. Paths "
            "are relative to the table's folder or absolute; name another column with --map image=COLUMN."
        )

    def _join_reports(self) -> dict[str, str]:
        """Study -> its report, from the first of its rows that has one."""
        reports: dict[str, str] = {}
        if not self._texts:
            return reports
        for row in range(self._total):
            text = text_of({name: values[row] for name, values in self._texts.items()})
            study, _ = self._ids(row)
            if text and study:
                reports.setdefault(study, text)
        return reports


def _check_words(path: Path, column: str, values: Sequence[str | None], words: Mapping[str, Any], advice: str) -> None:
    """Fail upfront on words that nobody understands, instead of rejecting row after row."""
    strange = Counter(value for value in values if value is not None and fold(value) not in words)
    if strange:
        shown = ", ".join(f"{word!r} ({count} rows)" for word, count in strange.most_common(5))
        first = next(row for row, value in enumerate(values, start=1) if value in strange)
        raise TableError(f"{path}, row {first}: '{column}' has values that are not understood: {shown}. {advice}")
