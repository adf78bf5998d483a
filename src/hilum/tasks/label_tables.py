"""One's own table of labels, matched with an archive's images."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from hilum.errors import TableError
from hilum.findings import canonical, find, fold
from hilum.tables import as_text

ID_COLUMNS = ("image_id", "study_id")
NOT_FINDINGS = frozenset(
    fold(name) for name in ("image_id", "study_id", "patient_id", "split", "path", "view", "age", "sex", "source")
)
CODES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1, "positive": 1, "negative": 0, "uncertain": -1}


def truth_from_table(path: Path, table: pa.Table, images: pa.Table) -> tuple[pa.Table, list[str]]:
    """Labels for an archive's images.

    Args:
        path: named in errors.
        table: `image_id` or `study_id`, and one column a finding of 1, 0, -1 (uncertain) or blank.
        images: `image_id`, `study_id`, `patient_id`, `split`.

    Returns:
        `images` with a column of codes for each finding, and remarks on ids that only one side has.

    Raises:
        TableError: no id column, an id twice, no id of the archive, or a cell that is no label.
    """
    key = next((name for name in ID_COLUMNS if name in table.column_names), None)
    if key is None:
        raise TableError(f"{path}: expected a column image_id or study_id, found {', '.join(table.column_names)}.")
    ids = as_text(table[key]).to_pylist()
    row_of: dict[str, int] = {}
    for row, one in enumerate(ids):
        if one is None or one in row_of:
            what = "is blank" if one is None else f"{one!r} is already in row {row_of[one] + 1}"
            raise TableError(f"{path}, row {row + 1}: '{key}' {what}; expected each id once.")
        row_of[one] = row
    wanted = images[key].to_pylist()
    known = set(wanted)
    strangers = [one for one in ids if one not in known]
    if len(strangers) == len(ids):
        raise TableError(
            f"{path}: none of its {len(ids)} ids is in the archive (its first: {ids[0]!r}; the archive's: {wanted[0]!r}). "
            "Write the ids as `hilum labels export` does."
        )
    remarks = []
    if strangers:
        remarks.append(
            f"{path}: {len(strangers)} ids are not in the archive, such as {strangers[0]!r}; they are left out"
        )
    result = images
    for name in table.column_names:
        if fold(name) in NOT_FINDINGS:
            continue
        codes = _codes(path, name, as_text(table[name]).to_pylist())
        said = [codes[row_of[one]] if one in row_of else None for one in wanted]
        result = result.append_column(canonical(name), pa.array(said, pa.int8()))
    return result, remarks


def _codes(path: Path, name: str, cells: list[str | None]) -> list[int | None]:
    codes: list[int | None] = []
    for row, cell in enumerate(cells, start=1):
        text = (cell or "").strip().lower()
        if text and text not in CODES:
            hint = "" if find(name) else f" If '{name}' is no finding, remove the column."
            raise TableError(
                f"{path}, row {row}: '{name}' is {cell!r}; expected 1 (there), 0 (not there), -1 (uncertain) or blank. A column "
                f"of words, such as classes, becomes one column of 0 and 1 for each word.{hint}"
            )
        codes.append(CODES[text] if text else None)
    return codes
