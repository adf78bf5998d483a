"""Reports from a table, a folder of text files or an archive, one chunk at a time."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from hilum.errors import TableError, UsageError
from hilum.findings import fold

log = logging.getLogger(__name__)

CHUNK = 500  # reports handed to a worker at once
ID_NAMES = (
    "id",
    "study_id",
    "uid",
    "report_id",
    "image_id",
    "accession",
    "accessionnumber",
    "dicom_id",
    "filename",
    "path",
)
TEXT_NAMES = ("report", "text", "report_text", "reports", "report impression", "full_report", "narrative")
ROW_ID = "row"  # the id where a table has none
_MISSING = frozenset(("", "nan", "none", "null", "<na>", "n/a", "na"))
_ENDS = (".", "!", "?", ":")
csv.field_size_limit(1 << 28)


class Chunk(NamedTuple):
    """Some reports in the order of the input, and how much of the input is behind them (0 to 1)."""

    ids: list[str]
    texts: list[str]
    share_read: float


@dataclass(frozen=True)
class ReportInput:
    """Where reports are read from.

    Attributes:
        path: a table, a folder or an archive.
        kind: "csv", "parquet", "folder" or "archive".
        id_name: what the id column is called in the output.
        id_column, text_columns: columns of a table.
        delimiter, encoding, header: of a text table; without header its single column is the text.
    """

    path: Path
    kind: str
    id_name: str
    id_column: str | None = None
    text_columns: tuple[str, ...] = ()
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    header: bool = True

    def chunks(self, size: int = CHUNK) -> Iterator[Chunk]:
        """The reports, `size` at a time."""
        rows = {"csv": self._csv, "parquet": self._parquet, "folder": self._folder, "archive": self._archive}[
            self.kind
        ]()
        ids: list[str] = []
        texts: list[str] = []
        share = 0.0
        for name, text, share in rows:
            ids.append(name)
            texts.append(text)
            if len(ids) == size:
                yield Chunk(ids, texts, share)
                ids, texts = [], []
        if ids:
            yield Chunk(ids, texts, share)

    def stamp(self) -> list[Any]:
        """What must be unchanged for a run to be taken up again."""
        if self.path.is_file():
            state = self.path.stat()
            return [str(self.path.resolve()), state.st_size, state.st_mtime_ns, self.id_column, list(self.text_columns)]
        return [str(self.path.resolve()), self.id_column, list(self.text_columns)]

    def _csv(self) -> Iterator[tuple[str, str, float]]:
        size = self.path.stat().st_size or 1
        with self.path.open("rb") as raw:
            binary: IO[bytes] = gzip.GzipFile(fileobj=raw) if self.path.suffix.lower() == ".gz" else raw  # type: ignore[assignment]
            lines = io.TextIOWrapper(binary, self.encoding, errors="replace", newline="")
            rows = csv.reader(_without_nul(lines), delimiter=self.delimiter)
            header = [cell.strip() for cell in next(rows)] if self.header else list(self.text_columns)
            width = len(header)
            at = [header.index(name) for name in self.text_columns]
            id_at = header.index(self.id_column) if self.id_column else None
            number = 0
            try:
                for cells in rows:
                    if not cells:
                        continue
                    number += 1
                    if len(cells) > width:
                        raise TableError(
                            f"{self.path}, row {number}: {len(cells)} cells under a header of {width}. "
                            f"Quote cells that hold {self.delimiter!r}."
                        )
                    cells += [""] * (width - len(cells))
                    name = cells[id_at].strip() if id_at is not None else str(number)
                    yield name, join_texts(cells[i] for i in at), min(1.0, raw.tell() / size)
            except csv.Error as error:
                raise TableError(f"{self.path}, after row {number}: not a readable table ({error}).") from None
            except (OSError, EOFError) as error:
                raise TableError(
                    f"{self.path}, after row {number}: damaged ({error}); copy or download it again."
                ) from None

    def _parquet(self) -> Iterator[tuple[str, str, float]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as table:
            total = table.metadata.num_rows or 1
            columns = list(dict.fromkeys([*self.text_columns, *([self.id_column] if self.id_column else [])]))
            number = 0
            for batch in table.iter_batches(batch_size=CHUNK, columns=columns):
                read = batch.to_pydict()
                names = read[self.id_column] if self.id_column else None
                for i in range(batch.num_rows):
                    number += 1
                    name = _plain(names[i]) if names is not None else str(number)
                    yield name, join_texts(read[column][i] for column in self.text_columns), number / total

    def _folder(self) -> Iterator[tuple[str, str, float]]:
        files = sorted(path for path in self.path.rglob("*") if path.suffix.lower() == ".txt" and path.is_file())
        for number, file in enumerate(files, 1):
            yield file.relative_to(self.path).with_suffix("").as_posix(), decode(file.read_bytes()), number / len(files)

    def _archive(self) -> Iterator[tuple[str, str, float]]:
        from hilum.archive import Archive
        from hilum.reports.policy import study_text
        from hilum.reports.sectioning import CUT_NAMES

        archive = Archive.open(self.path)
        policy = archive.manifest.text_policy
        studies = archive.studies(["study_id", "report", *CUT_NAMES])
        number = 0
        for batch in studies.to_batches(max_chunksize=CHUNK):
            for study in batch.to_pylist():
                number += 1
                yield study["study_id"], study_text(study, policy), number / studies.num_rows


def open_input(path: str | Path, text_columns: Sequence[str] = (), id_column: str | None = None) -> ReportInput:
    """Find out how reports lie in `path`.

    Args:
        path: a CSV, TSV or Parquet table, a folder of .txt files, or an archive.
        text_columns: of a table, joined in this order; by default findings and impression, or a column called report or text.
        id_column: of a table; by default the first usual name, else rows are numbered.

    Raises:
        UsageError: the columns to read cannot be told, or are given for what has none.
        TableError: nothing is there, it is no table, or a column is missing.
    """
    path = Path(path)
    if path.is_dir():
        if text_columns or id_column:
            raise UsageError(f"{path} is a folder; --text-column and --id-column are for tables.")
        if (path / "archive.json").is_file():
            return ReportInput(path, "archive", "study_id")
        if not any(file.suffix.lower() == ".txt" for file in path.rglob("*")):
            raise TableError(f"{path} holds no .txt files. Expected a table, a folder of text files or an archive.")
        return ReportInput(path, "folder", "file")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise TableError(
            f"{path} cannot be read: {error.strerror}. Expected a table, a folder or an archive."
        ) from None
    if not magic:
        raise TableError(f"{path} is empty; expected a table with a header line.")
    if magic == b"PAR1":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            header = pq.read_schema(path).names
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{path} is a damaged Parquet file: {error}") from None
        id_name, texts = _columns(path, header, text_columns, id_column)
        return ReportInput(path, "parquet", id_name or ROW_ID, id_name, texts)
    if magic == b"%PDF":
        raise TableError(f"{path} is a PDF document; expected a CSV, TSV or Parquet table, or a folder of .txt files.")
    if magic[:2] == b"PK" or (magic[:2] in (b"\xff\xfe", b"\xfe\xff") and b"\x00" not in magic):
        raise TableError(f"{path} is an Excel workbook or a zip file; save the sheet as CSV and give that.")
    return _open_csv(path, text_columns, id_column)


def _open_csv(path: Path, text_columns: Sequence[str], id_column: str | None) -> ReportInput:
    encoding = _encoding(path)
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding=encoding, errors="replace", newline="") as file:
            head = file.read(1 << 16)
    except (OSError, EOFError) as error:
        raise TableError(f"{path} is damaged ({error}); copy or download it again.") from None
    if "\x00" in head[:4096]:
        raise TableError(f"{path} is a binary file; expected a CSV, TSV or Parquet table.")
    if head.lstrip()[:1] == "<":
        raise TableError(f"{path} is an HTML or XML page, not a table.")
    first_line = head.splitlines()[0] if head.strip() else ""
    if not first_line:
        raise TableError(f"{path} is empty; expected a table with a header line.")
    delimiter = max(",\t;|", key=lambda mark: (sum(c in first_line for c in text_columns), first_line.count(mark)))
    header = [cell.strip() for cell in next(csv.reader(head.splitlines(keepends=True), delimiter=delimiter))]
    only = len(header) == 1 or (fold(header[0]) not in TEXT_NAMES and _is_report(head))
    if only and not text_columns and not id_column and _is_report(header[0] if len(header) == 1 else first_line):
        log.warning("%s: no header; its first line is a report, so each row is read as one", path)
        return ReportInput(path, "csv", ROW_ID, None, ("report",), ",", encoding, header=False)
    id_name, texts = _columns(path, header, text_columns, id_column)
    return ReportInput(path, "csv", id_name or ROW_ID, id_name, texts, delimiter, encoding)


def _is_report(cell: str) -> bool:
    """A header cell of several words that ends as a sentence is no header (CheXpert's own input has none)."""
    words = cell.strip().split()
    return len(words) >= 4 and cell.strip().rstrip('"').endswith(_ENDS)


def _columns(
    path: Path, header: Sequence[str], text_columns: Sequence[str], id_column: str | None
) -> tuple[str | None, tuple[str, ...]]:
    from hilum.tables import require_columns

    require_columns(path, header, [*text_columns, *([id_column] if id_column else [])])
    by_name = {fold(name): name for name in reversed(header)}
    by_exact = {name.strip().lower(): name for name in reversed(header)}
    id_name = id_column or next((by_exact[name] for name in ID_NAMES if name in by_exact), None)
    if text_columns:
        return id_name, tuple(text_columns)
    parts = tuple(by_name[name] for name in ("findings", "impression") if name in by_name)
    if parts:
        return id_name, parts
    found = next((by_name[fold(name)] for name in TEXT_NAMES if fold(name) in by_name), None)
    if found is None and len(header) == 1:
        found, id_name = header[0], None
    if found is None:
        raise UsageError(
            f"{path}: which column holds the reports? Name it with --text-column (repeat it to join several). "
            f"Columns: {', '.join(header[:40])}."
        )
    return id_name, (found,)


def _encoding(path: Path) -> str:
    """UTF-8 where every byte fits, else UTF-16 by its mark, else Windows-1252."""
    with path.open("rb") as raw:
        if raw.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "utf-16"
        raw.seek(0)
        binary: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw  # type: ignore[assignment]
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := binary.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            log.warning("%s: not UTF-8; read as Latin-1 (Windows-1252)", path)
            return "cp1252"
        except (OSError, EOFError) as error:
            raise TableError(f"{path} is damaged ({error}); copy or download it again.") from None
    return "utf-8-sig"


def decode(content: bytes) -> str:
    """The text of a file in UTF-8, UTF-16 with a mark, or Windows-1252.

    Example:
        >>> decode(b"caf\\xe9")
        'café'
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def join_texts(parts: Any) -> str:
    """The parts that hold words, in order, with a blank between; a part that ends without a full stop gets a line end.

    Example:
        >>> join_texts(["Clear lungs.", None, float("nan"), "Normal."])
        'Clear lungs. Normal.'
    """
    kept = []
    for part in parts:
        text = _plain(part)
        if text.lower() not in _MISSING:
            kept.append(text)
    joined = ""
    for text in kept:
        gap = "" if not joined else " " if joined.endswith(_ENDS) else "\n\n"
        joined += gap + text
    return joined


def _plain(cell: object) -> str:
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, bytes):
        return decode(cell)
    return str(cell).strip()


def _without_nul(lines: Any) -> Iterator[str]:
    for line in lines:
        yield line.replace("\x00", "") if "\x00" in line else line
