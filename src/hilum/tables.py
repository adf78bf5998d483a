"""Read a CSV, TSV or Parquet table as it comes: unknown delimiter, byte order mark, Latin-1, odd headers.

Identifiers survive: `007` stays text, and no number is rounded on the way.
"""

from __future__ import annotations

import csv
import gzip
import io
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from hilum.errors import TableError, UsageError
from hilum.findings import suggest

log = logging.getLogger(__name__)

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
BLANKS = ("", "nan", "NaN", "NAN", "NULL", "null", "<NA>", "N/A", "NA", "None")

# Round trip safe only: no leading zeros, at most 15 digits, so that an identifier is never changed by reading it.
_WHOLE = r"^-?(0|[1-9][0-9]{0,14})$"
_NUMBER = r"^[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)?$"
_DECIMAL_COMMA = r"^[-+]?[0-9]+,[0-9]+$"
_LONG_OR_PADDED = r"^[-+]?(0[0-9]+|[0-9]{16,})$"


def read_table(
    path: str | Path,
    *,
    columns_needed: Sequence[str] = (),
    id_column: str | None = None,
    delimiter: str | None = None,
    numbers: bool = True,
) -> pa.Table:
    """The table in `path`, with clean column names; blank cells and the usual spellings of missing are null.

    Args:
        path: CSV, TSV or any delimited text, also gzipped, or Parquet. The content decides, not the extension.
        columns_needed: columns that must be there, by exact name.
        id_column: a column of identifiers: kept as text, each present and there once.
        delimiter: of a text table; found from its header when not given.
        numbers: turn columns that hold only numbers into int64 or float64; False keeps every cell of a text
            table as text.

    Raises:
        TableError: not there, not a table, a column is missing, or an id is blank or doubled.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "t.csv").write_text("id;score\\n007;0.5\\n")
        ...     read_table(Path(folder, "t.csv"), id_column="id").to_pylist()
        [{'id': '007', 'score': 0.5}]
    """
    path = Path(path)
    content = _content_of(path)
    wanted = list(dict.fromkeys([*columns_needed, *([id_column] if id_column else [])]))
    if content[:4] == b"PAR1":
        table = _read_parquet(path, content)
    else:
        table = _read_delimited(path, content, delimiter, wanted)
        if numbers:
            table = _with_numbers(table, keep_text={id_column})
    require_columns(path, table.column_names, wanted)
    if id_column:
        ids = as_text(table[id_column])
        table = table.set_column(table.column_names.index(id_column), id_column, ids)
        _require_good_ids(path, id_column, ids.to_pylist())
    return table


def check_place(path: str | Path) -> None:
    """Fail when no file can be written at `path`: worth asking before a long computation.

    Raises:
        UsageError: a folder is there, or a file stands where its folder should be.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected the name of a CSV file, such as {path / 'table.csv'}.")
    above = next((folder for folder in path.parents if folder.exists()), Path())
    if not above.is_dir():
        raise UsageError(f"{path}: {above} is a file, not a folder. Name another file to write.")


def write_table(path: str | Path, table: pa.Table) -> None:
    """Write a table as CSV, null as a blank cell; the file is complete or absent.

    Raises:
        UsageError: the file cannot be written there.
    """
    path = Path(path)
    check_place(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.csv.write_csv(table, temporary)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error}). Name another file.") from error


def csv_text(table: pa.Table) -> str:
    """The text that `write_table` would write."""
    stream = io.BytesIO()
    pyarrow.csv.write_csv(table, stream)
    return stream.getvalue().decode()


def require_columns(path: str | Path, columns: Sequence[str], needed: Iterable[str]) -> None:
    """Fail when a needed column is not there, with the closest name that is.

    Raises:
        TableError: a column of `needed` is not in `columns`.
    """
    for name in needed:
        if name in columns:
            continue
        close = suggest(name, list(columns))
        hint = f" Did you mean '{close}'?" if close else ""
        shown = ", ".join(columns[:40]) + (f" and {len(columns) - 40} more" if len(columns) > 40 else "")
        raise TableError(f"{path} has no column '{name}'.{hint} Its columns: {shown}.{_one_cell_hint(columns)}")


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as strings as a person writes them: whole floats without `.0`, surrounding blanks cut, blank is null."""
    if pa.types.is_floating(column.type):
        present = pc.drop_null(pc.if_else(pc.is_nan(column), None, column))
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if pc.all(pc.equal(pc.round(present), present)).as_py() is not False:
            column = column.cast(pa.int64())
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.is_in(text, pa.array(BLANKS)), pa.scalar(None, pa.string()), text)


def _content_of(path: Path) -> bytes:
    if path.is_dir():
        raise TableError(f"{path} is a folder; expected a CSV, TSV or Parquet file.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}. Expected a CSV, TSV or Parquet file.") from error
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise TableError(f"{path} is a damaged gzip file ({error}); copy or download it again.") from error
    if not content.strip():
        raise TableError(f"{path} is empty; expected a table with a header line.")
    return content


def _read_parquet(path: Path, content: bytes) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} is a damaged Parquet file: {error}") from error


def _read_delimited(path: Path, content: bytes, delimiter: str | None, wanted: Sequence[str]) -> pa.Table:
    text = _decode(path, content)
    if text.lstrip()[:1] == "<":
        raise TableError(
            f"{path} is an HTML or XML page, not a table. If it was downloaded, a login page was saved instead."
        )
    header_line = _first_record(text)
    found = delimiter or _delimiter_of(header_line, wanted)
    if (
        delimiter is None
        and found != ("\t" if path.suffix.lower() in (".tsv", ".tab") else ",")
        and found in header_line
    ):
        log.warning("%s: columns are separated by %s; read so", path, DELIMITERS[found])
    names = _clean_names(path, _header_cells(text, header_line, found), wanted)
    body = text.encode("utf-8")
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(body),
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, skip_rows_after_names=1, block_size=min(len(body) + 1, 1 << 26), use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=found, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, null_values=list(BLANKS), strings_can_be_null=True
            ),
        )
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0].removeprefix("CSV parse error: ")[:300]
        raise TableError(
            f"{path} does not have the same columns in every row ({reason}). "
            f"Its header has {len(names)} columns separated by {DELIMITERS.get(found, repr(found))}; "
            "quote cells that hold the separator."
        ) from error
    empty = [name for name in names if name.startswith("unnamed_") and table[name].null_count == len(table)]
    return table.drop_columns(empty) if empty else table


def _decode(path: Path, content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise TableError(f"{path} starts like UTF-16 but is not ({error}); save it as UTF-8.") from error
    if content[:4] == b"PK\x03\x04":
        raise TableError(f"{path} is an Excel workbook or a zip file; save the sheet as CSV and give that.")
    if b"\x00" in content[:4096]:
        raise TableError(f"{path} is a binary file; expected a CSV, TSV or Parquet table.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        log.warning("%s: not UTF-8 (byte %d); read as Latin-1", path, error.start)
        return content.decode("cp1252" if _is_cp1252(content) else "latin-1")


def _is_cp1252(content: bytes) -> bool:
    return not set(b"\x81\x8d\x8f\x90\x9d") & set(content)


def _first_record(text: str) -> str:
    """The header: text up to the first line end outside quotes."""
    quoted = False
    for place, mark in enumerate(text):
        if mark == '"':
            quoted = not quoted
        elif mark in "\r\n" and not quoted:
            return text[:place]
    return text


def _header_cells(text: str, header: str, delimiter: str) -> list[str]:
    """The column names. Quoted names that hold the delimiter are taken apart where the first row has a cell for each
    part: copies of ChestX-ray14 quote `OriginalImage[Width,Height]`, which heads two columns."""
    cells = next(csv.reader([header], delimiter=delimiter))
    try:
        first_row = next(csv.reader([_first_record(text[len(header) :].lstrip("\r\n"))], delimiter=delimiter), [])
    except csv.Error:  # a cell above csv's limit: a long report, and no sign of a header to take apart
        return cells
    apart = [part for cell in cells for part in cell.split(delimiter)]
    return apart if len(cells) < len(first_row) == len(apart) else cells


def _delimiter_of(header: str, wanted: Sequence[str]) -> str:
    """The separator under which the wanted columns appear, else the most frequent one outside quotes."""

    def names(delimiter: str) -> list[str]:
        return [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]

    def merit(delimiter: str) -> tuple[int, int]:
        found = names(delimiter)
        return sum(name in found for name in wanted), len(found)

    return max(DELIMITERS, key=merit)


def _clean_names(path: Path, names: list[str], wanted: Sequence[str]) -> list[str]:
    stripped = [name.strip() or f"unnamed_{place}" for place, name in enumerate(names, start=1)]
    doubled = [name for name, count in Counter(stripped).items() if count > 1]
    for name in doubled:
        if name in wanted:
            raise TableError(f"{path} has the column '{name}' more than once; rename or remove one of them.")
        log.warning("%s: column '%s' is there more than once; later ones are numbered", path, name)
    seen: Counter[str] = Counter()
    clean = []
    for name in stripped:
        seen[name] += 1
        clean.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return clean


def _one_cell_hint(columns: Sequence[str]) -> str:
    if len(columns) != 1:
        return ""
    inside = [word for mark, word in DELIMITERS.items() if mark in columns[0]]
    said = f"; it looks separated by {inside[0]}" if inside else ""
    return f" The header was read as one cell{said}: check the delimiter."


def _with_numbers(table: pa.Table, keep_text: set[str | None]) -> pa.Table:
    for place, name in enumerate(table.column_names):
        if name not in keep_text:
            table = table.set_column(place, name, _as_numbers(table[name]))
    return table


def _as_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.null_count == len(column):
        return column
    trimmed = pc.utf8_trim_whitespace(column)
    first = next(value.as_py() for value in trimmed if value.is_valid)
    if not re.match(r"[-+.0-9]", first):
        return column
    if _all_match(trimmed, _WHOLE):
        return trimmed.cast(pa.int64())
    if pc.any(pc.match_substring_regex(trimmed, _LONG_OR_PADDED)).as_py():
        return column
    if _all_match(trimmed, _NUMBER):
        return pc.replace_substring_regex(trimmed, r"^\+", "").cast(pa.float64())
    if _all_match(trimmed, _DECIMAL_COMMA):
        return pc.replace_substring(trimmed, ",", ".").cast(pa.float64())
    return column


def _all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, pattern)).as_py())


def _require_good_ids(path: Path, column: str, ids: list[str | None]) -> None:
    blank = [row for row, value in enumerate(ids, start=1) if value is None]
    if blank:
        raise TableError(
            f"{path}, row {blank[0]}: '{column}' is blank ({len(blank)} such rows); every row needs an id. "
            "Fill it in or remove the row."
        )
    seen: dict[str | None, int] = {}
    for row, value in enumerate(ids, start=1):
        if value in seen:
            doubled = sum(count - 1 for count in Counter(ids).values())
            raise TableError(
                f"{path}, row {row}: '{column}' {value!r} is already in row {seen[value]} ({doubled} repeated ids); "
                "ids must be unique. Remove the repeats or choose another id column."
            )
        seen[value] = row
