"""One table of truth, scores or calls: its ids, and its columns found by the name of the finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.errors import EvaluationError, TableError, UsageError
from hilum.findings import canonical, find, fold
from hilum.tables import as_text, read_table, require_columns

TableLike: TypeAlias = str | Path | pa.Table | Mapping[str, Sequence[Any]]

# Searched in this order when no id column is named: the finest unit first.
ID_NAMES = (
    "image_id", "dicom_id", "sop_instance_uid", "SOPInstanceUID", "Image Index", "study_id", "Study",
    "StudyInstanceUID", "AccessionNumber", "accession", "id", "path", "filename", "file", "image", "patient_id",
)  # fmt: skip
# Columns that tables of labels carry beside findings; never read as one.
NOT_FINDINGS = frozenset(
    fold(name)
    for name in (
        *ID_NAMES, "PatientID", "subject_id", "patient", "source", "view", "ViewPosition", "frontal/lateral", "ap/pa",
        "sex", "gender", "age", "age_years", "split", "study_order", "study_date", "date", "height", "width", "dataset",
        "follow-up #", "report", "impression", "findings", "model", "fold",
    )
)  # fmt: skip
# How a cell of truth, or of a reader's calls, may say it.
POSITIVE, NEGATIVE, UNCERTAIN, BLANK = 1, 0, -1, -2
_SAID = {
    **dict.fromkeys(("1", "1.0", "positive", "true", "yes"), POSITIVE),
    **dict.fromkeys(("0", "0.0", "negative", "false", "no"), NEGATIVE),
    **dict.fromkeys(("-1", "-1.0", "uncertain"), UNCERTAIN),
    **dict.fromkeys(("", "not_mentioned"), BLANK),
}


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table with a name to show in results and a place to show in errors."""

    name: str
    where: str
    table: pa.Table

    def column_named(self, name: str) -> str | None:
        """The column of this name, whatever its case and underscores."""
        return next((column for column in self.table.column_names if fold(column) == fold(name)), None)

    def keyed(self, id_column: str, apart: Sequence[str]) -> Keyed:
        """The sheet with its ids and findings looked up.

        Args:
            id_column: the column of ids.
            apart: more columns that hold no finding.

        Raises:
            TableError: there is no such column, an id is blank or doubled, or two columns are the same finding.
        """
        return Keyed(self, self._ids(id_column), self._findings((id_column, *apart)))

    def _ids(self, column: str) -> list[str]:
        found = self.column_named(column)
        if found is None:
            require_columns(self.where, self.table.column_names, [column])
        values = as_text(self.table[found]).to_pylist()
        seen: dict[str, int] = {}
        for row, value in enumerate(values, start=1):
            if value is None:
                raise TableError(
                    f"{self.where}, row {row}: the id in '{column}' is blank or NaN ({values.count(None)} such rows); "
                    "every row needs an id. Fill it in, remove the row, or name another column with --id."
                )
            if value in seen:
                raise TableError(
                    f"{self.where}, row {row}: the id {value!r} in '{column}' is already in row {seen[value]} "
                    f"({len(values) - len(set(values))} repeated); each id may be there once. "
                    "Remove the repeats, or name another column with --id."
                )
            seen[value] = row
        return list(seen)

    def _findings(self, apart: Sequence[str]) -> dict[str, str]:
        skip = NOT_FINDINGS | {fold(name) for name in apart}
        found: dict[str, str] = {}
        for column in self.table.column_names:
            if fold(column) in skip:
                continue
            name = canonical(column)
            if name in found:
                raise TableError(
                    f"{self.where}: the columns '{found[name]}' and '{column}' are both the finding '{name}'; "
                    "remove or rename one of them."
                )
            found[name] = column
        return found


@dataclass(frozen=True, eq=False)
class Keyed:
    """A sheet whose rows have ids and whose columns have the names of findings.

    Attributes:
        sheet: the table behind it.
        ids: one a row, unique.
        columns: finding -> column.
    """

    sheet: Sheet
    ids: list[str]
    columns: dict[str, str]

    @property
    def where(self) -> str:
        """What errors call it."""
        return self.sheet.where

    @property
    def table(self) -> pa.Table:
        """The cells."""
        return self.sheet.table

    def texts(self, name: str) -> list[str | None]:
        """A column's cells as text; None for each where there is no such column."""
        column = self.sheet.column_named(name)
        return [None] * len(self.ids) if column is None else as_text(self.table[column]).to_pylist()

    def scores(self, finding: str) -> np.ndarray:
        """(rows,) float64 in [0, 1].

        Raises:
            EvaluationError: a cell is blank, NaN, no number, or outside [0, 1].
        """
        column = self.columns[finding]
        values = _numbers(self.table[column])
        wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if len(wrong):
            row = int(wrong[0])
            cell = self.table[column][row].as_py()
            shown = "blank or NaN" if cell is None or cell != cell else repr(cell)
            hint = (
                "Logits are mapped with 1 / (1 + exp(-x)), which changes no AUROC; percentages are divided by 100."
                if np.isfinite(values[row])
                else "Give every image a score, or remove its row from the file."
            )
            raise EvaluationError(
                f"{self.where}, row {row + 1}: the score of '{column}' is {shown}; "
                f"expected a number from 0 to 1 ({len(wrong)} such cells in this column). {hint}"
            )
        return values

    def statements(self, finding: str) -> np.ndarray | None:
        """(rows,) int8 of POSITIVE, NEGATIVE, UNCERTAIN and BLANK; None for a column that is no finding at all.

        Raises:
            EvaluationError: a known finding's cell, or a cell among others that are 0 or 1, says something else.
        """
        column = self.columns[finding]
        kind = self.table[column].type
        text = as_text(self.table[column].cast(pa.int8()) if pa.types.is_boolean(kind) else self.table[column])
        distinct = text.unique().to_pylist()
        wrong = [value for value in distinct if (value or "").lower() not in _SAID]
        if wrong and find(column) is None and not {"0", "1", "0.0", "1.0"} & set(distinct):
            return None
        if wrong:
            row = text.to_pylist().index(wrong[0])
            raise EvaluationError(
                f"{self.where}, row {row + 1}: '{column}' is {wrong[0]!r}; expected 1 (there), 0 (not there), "
                "-1 (uncertain) or a blank cell. If these are scores, give the file with --scores."
            )
        code = {value: _SAID[(value or "").lower()] for value in distinct}
        return np.array([code[value] for value in text.to_pylist()], dtype=np.int8)


def open_sheet(source: TableLike, name: str | None = None) -> Sheet:
    """A sheet from a file, named after its stem, or from a table in memory.

    Raises:
        TableError: the file cannot be read as a table, or has no rows.
    """
    if isinstance(source, str | Path):
        sheet = Sheet(name or stem_of(source), str(source), read_table(source, numbers=False))
    else:
        try:
            table = source if isinstance(source, pa.Table) else pa.table(source)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise UsageError(
                f"a table of type {type(source).__name__} cannot be read ({error}); expected a path, a pyarrow table "
                "or a dict of columns of one length."
            ) from error
        sheet = Sheet(name or "table", name or "the table given", table)
    if not sheet.table.num_rows:
        raise TableError(f"{sheet.where} has a header but no rows; nothing can be evaluated.")
    return sheet


def stem_of(path: str | Path) -> str:
    """The file's name without folder and table suffixes.

    Example:
        >>> stem_of("runs/chexzero.csv.gz")
        'chexzero'
    """
    name = Path(path).name
    for suffix in (".gz", ".csv", ".tsv", ".txt", ".parquet"):
        name = name.removesuffix(suffix)
    return name


def common_id(sheets: Sequence[Sheet], wanted: str | None) -> str:
    """The id column of all these sheets: the wanted one, else the first known name they share.

    Raises:
        EvaluationError: they share none.
        TableError: the wanted one is missing somewhere.
    """
    if wanted:
        for sheet in sheets:
            if sheet.column_named(wanted) is None:
                require_columns(sheet.where, sheet.table.column_names, [wanted])
        return str(wanted)
    first, *others = sheets
    unknown = [name for name in first.table.column_names if find(name) is None]
    for name in (*ID_NAMES, *unknown[:1]):
        if all(sheet.column_named(name) is not None for sheet in sheets):
            return name
    odd = next(
        (s for s in others if not any(s.column_named(n) and first.column_named(n) for n in ID_NAMES)), others[-1]
    )
    raise EvaluationError(
        f"{first.where} and {odd.where} share no id column; looked for {', '.join(ID_NAMES[:9])} and others. "
        f"Their columns: {_listed(first.table.column_names)}; and {_listed(odd.table.column_names)}. "
        "Name the column with --id, the same in every file."
    )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """(rows,) float64; NaN where the cell is blank or no number."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return np.asarray(column.cast(pa.float64()), dtype=np.float64)
    text = as_text(column)
    try:
        return np.asarray(pc.cast(text, pa.float64()), dtype=np.float64)
    except pa.ArrowInvalid:
        return np.array([_number(cell) for cell in text.to_pylist()])


def _number(cell: str | None) -> float:
    try:
        return float((cell or "nan").replace(",", "."))
    except ValueError:
        return float("nan")


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
