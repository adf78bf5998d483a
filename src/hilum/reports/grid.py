"""A table of labels in memory: reports x findings, each cell one of four states, read from any labeler's CSV.

Cells are held as CheXbert's class codes (Smit et al. 2020, section 3.1): 0 not mentioned, 1 positive, 2 negative,
3 uncertain. Columns are always addressed by name: the CheXpert labeler, the released CSV files and MIMIC-CXR-JPG order
them differently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hilum.errors import TableError
from hilum.findings import CHEXPERT_NAMES, LabelValue, canonical, suggest
from hilum.reports.inputs import ID_NAMES, ROW_ID

BLANK, POSITIVE, NEGATIVE, UNCERTAIN = 0, 1, 2, 3
STATES = (LabelValue.NOT_MENTIONED, LabelValue.POSITIVE, LabelValue.NEGATIVE, LabelValue.UNCERTAIN)
CODES = {value: code for code, value in enumerate(STATES)}
NO_FINDING = "No Finding"

# The usual names of a report's identifier, in the order they are looked for, and what `hilum label` calls it where it had none.
ID_COLUMNS = (*ID_NAMES, ROW_ID, "file")

_CELLS = {
    **dict.fromkeys(("", "nan", "na", "none", "null", "not_mentioned", "blank"), BLANK),
    **dict.fromkeys(("1", "1.0", "positive"), POSITIVE),
    **dict.fromkeys(("0", "0.0", "negative"), NEGATIVE),
    **dict.fromkeys(("-1", "-1.0", "uncertain"), UNCERTAIN),
}


@dataclass(frozen=True)
class LabelGrid:
    """Labels of many reports.

    Attributes:
        name: what the table is called in results (the file's stem).
        ids: one identifier a report.
        findings: one name a column, as the vocabulary writes it.
        codes: (reports, findings) int8 class codes.
        groups: what is drawn together in a bootstrap (a patient, say), one a report; None when reports are drawn.
    """

    name: str
    ids: tuple[str, ...]
    findings: tuple[str, ...]
    codes: np.ndarray
    groups: tuple[str, ...] | None = None

    def select(self, rows: Sequence[int], findings: Sequence[str]) -> np.ndarray:
        """(rows, findings) class codes, in the order asked for."""
        columns = np.array([self.findings.index(finding) for finding in findings], dtype=np.int64)
        return np.asarray(self.codes[np.ix_(np.asarray(rows, dtype=np.int64), columns)])


def read_grid(path: Path, id_column: str | None = None, group_column: str | None = None) -> LabelGrid:
    """The labels in a CSV, TSV or Parquet file.

    Args:
        path: a table with one row a report: an identifier and one column a finding with 1, 0, -1 or nothing.
        id_column: the identifier's column; by default the first known name (id, study_id, uid, ...).
        group_column: a column whose rows are drawn together in a bootstrap, such as the patient.

    Raises:
        TableError: no identifier, no column of the 14 observations, a cell that is no label, or an identifier twice.
    """
    from hilum.tables import as_text, read_table, require_columns

    table = read_table(path, numbers=False)
    header = list(table.column_names)
    id_name = id_column_of(path, header, id_column)
    columns = {column: canonical(column) for column in header if canonical(column) in CHEXPERT_NAMES}
    if not columns:
        raise TableError(
            f"{path}: none of its columns ({_some(header)}) is one of the 14 observations. "
            f"Expected names such as 'Cardiomegaly' or 'Pleural Effusion'."
        )
    twice = [name for name, times in Counter(columns.values()).items() if times > 1]
    if twice:
        raise TableError(f"{path}: two columns mean {twice[0]!r}. Keep one of them.")
    require_columns(path, header, [group_column] if group_column else [])
    ids = unique_ids(path, id_name, as_text(table[id_name]).to_pylist())
    codes = np.column_stack([_codes(path, column, as_text(table[column]).to_pylist()) for column in columns])
    groups = None if group_column is None else tuple(as_text(table[group_column]).to_pylist())
    if groups is not None and None in groups:
        raise TableError(
            f"{path}, row {groups.index(None) + 2}: {group_column!r} is blank; every report belongs to a group."
        )
    return LabelGrid(Path(path).stem, ids, tuple(columns.values()), codes, groups)


def to_code(cell: str | None) -> int | None:
    """The class code of a label as files write it (1, 0, -1, nothing, or the word), or None when it is no label.

    Example:
        >>> to_code("-1.0"), to_code("positive"), to_code(None), to_code("7")
        (3, 1, 0, None)
    """
    return _CELLS.get((cell or "").strip().lower())


def _codes(path: Path, column: str, cells: Sequence[str | None]) -> np.ndarray:
    known = {cell: to_code(cell) for cell in set(cells)}
    if None in known.values():
        row = next(row for row, cell in enumerate(cells) if known[cell] is None)
        raise TableError(
            f"{path}, row {row + 2}: {column!r} is {cells[row]!r}; "
            f"expected 1 (positive), 0 (negative), -1 (uncertain) or nothing."
        )
    return np.array([known[cell] for cell in cells], dtype=np.int8)


def unique_ids(path: Path, column: str, cells: Sequence[str | None]) -> tuple[str, ...]:
    """The identifiers of a table, each there and there once."""
    seen: dict[str, int] = {}
    for row, name in enumerate(cells):
        if name is None:
            raise TableError(f"{path}, row {row + 2}: {column!r} is blank; every report needs an identifier.")
        if name in seen:
            raise TableError(
                f"{path}, rows {seen[name] + 2} and {row + 2}: {column!r} is {name!r} twice; "
                f"every report needs its own identifier."
            )
        seen[name] = row
    return tuple(seen)


def id_column_of(path: Path, header: Sequence[str], wanted: str | None) -> str:
    """The identifier's column: the wanted one, else the first usual name."""
    if wanted is not None:
        if wanted in header:
            return wanted
        close = suggest(wanted, list(header))
        raise TableError(
            f"{path}: no column {wanted!r}. It has: {_some(header)}." + (f" Did you mean {close!r}?" if close else "")
        )
    folded = {column.strip().lower(): column for column in reversed(header)}
    for name in ID_COLUMNS:
        if name in folded:
            return folded[name]
    raise TableError(f"{path}: no identifier among its columns ({_some(header)}). Name it with --id-column.")


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
