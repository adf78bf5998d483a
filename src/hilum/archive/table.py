"""One Lance table of an archive: read at a pinned version, written in whole commits."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import lance
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive.place import Place
from hilum.archive.schema import STORAGE_VERSION, explain_bad_filter
from hilum.errors import ArchiveError

# What Lance raises for the state of the disk or of its files.
_FAILURES = (OSError, RuntimeError, ValueError)
_FULL_DISK = (
    "no space left",
    "os error 28",
    "storagefull",
    "disk quota",
    "os error 122",
    "file too large",
    "os error 27",
)


class Table:
    """A Lance table that may not exist yet (then it is empty).

    Args:
        path: the table's directory, `NAME.lance`.
        schema: its columns.
        version: the Lance version to read; None for the newest at first use. It stays until `refresh` or a write.
    """

    def __init__(self, path: Place, schema: pa.Schema, version: int | None = None) -> None:
        self.path = path
        self.schema = schema
        self._pinned = version
        self._dataset: Any = None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def exists(self) -> bool:
        versions = self.path / "_versions"
        return self._pinned != 0 and versions.is_dir() and any(versions.glob("*.manifest"))

    @property
    def version(self) -> int:
        """The pinned Lance version; 0 while the table does not exist."""
        dataset = self.dataset()
        return int(dataset.version) if dataset is not None else 0

    def dataset(self) -> Any:
        """The Lance dataset at the pinned version, or None while it does not exist."""
        if self._dataset is None and self.exists:
            try:
                self._dataset = lance.dataset(str(self.path), version=self._pinned)
            except _FAILURES as error:
                raise ArchiveError(
                    f"{self.path} cannot be opened: {_first_line(error)}. Restore it from a backup, or ingest again."
                ) from error
        if self._dataset is None:
            self._pinned = 0
        return self._dataset

    @property
    def files(self) -> int:
        """How many data files the rows lie in."""
        dataset = self.dataset()
        return len(dataset.get_fragments()) if dataset is not None else 0

    def refresh(self) -> None:
        """Read the newest version from now on."""
        if self._dataset is None or int(self._dataset.version) != self._dataset.latest_version:
            self._dataset, self._pinned = None, None

    def __len__(self) -> int:
        dataset = self.dataset()
        return int(dataset.count_rows()) if dataset is not None else 0

    def read(self, columns: list[str] | None = None, where: str | None = None, **options: Any) -> pa.Table:
        """Rows that meet `where`, in stored order.

        Args:
            columns: names; None for all.
            where: an SQL condition over the table's columns.
            options: passed to the Lance scanner.

        Raises:
            ArchiveError: a column is unknown or the filter cannot be used.
        """
        columns = list(self.schema.names) if columns is None else list(columns)
        for name in columns:
            if name not in self.schema.names:
                raise ArchiveError(
                    f"{self.name}: there is no column {name!r}. Columns: {', '.join(self.schema.names)}."
                )
        dataset = self.dataset()
        if dataset is None:
            return self._empty(columns, options)
        try:
            return dataset.scanner(columns=columns, filter=where, scan_in_order=True, **options).to_table()
        except _FAILURES as error:
            if where is None:
                raise ArchiveError(f"{self.path} cannot be read: {_first_line(error)}.") from error
            raise explain_bad_filter(self.name, where, self.schema.names, _first_line(error)) from error

    def _empty(self, columns: list[str], options: dict[str, Any]) -> pa.Table:
        fields = [self.schema.field(name) for name in columns]
        if options.get("with_row_address"):
            fields.append(pa.field("_rowaddr", pa.uint64()))
        return pa.schema(fields).empty_table()

    def append(self, rows: pa.Table) -> None:
        """Add rows in one atomic commit."""
        if not len(rows):
            return
        with self.told():
            if self.exists:
                self._move_to(lance.write_dataset(rows, self.dataset(), mode="append"))
            else:
                self._move_to(
                    lance.write_dataset(rows, str(self.path), mode="create", data_storage_version=STORAGE_VERSION)
                )

    def upsert(self, rows: pa.Table, key: str) -> None:
        """Add rows, replacing those with the same `key`, in one atomic commit."""
        if not self.exists:
            self.append(rows)
        elif len(rows):
            with self.told():
                merge = self.dataset().merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
                merge.execute(rows)
                self._move_to(lance.dataset(str(self.path)))

    def update_column(self, rows: pa.Table, key: str) -> None:
        """Give rows with a matching `key` new values in the other columns of `rows`, in one atomic commit.

        Only those columns are written anew; the rest of each data file, and the order of rows, stays.
        """
        dataset = self.dataset()
        if dataset is None or not len(rows):
            return
        keys = self.read([key])[key].combine_chunks()
        updates, first = [], 0
        with self.told():
            for fragment in dataset.get_fragments():
                last = first + fragment.count_rows()
                mine = rows.filter(pc.is_in(rows[key], value_set=keys[first:last]))
                if len(mine):
                    updates.append(fragment.update_columns(mine, left_on=key, right_on=key))
                first = last
            if not updates:
                return
            change = lance.LanceOperation.Update(
                updated_fragments=[fragment for fragment, _ in updates],
                fields_modified=sorted({field for _, modified in updates for field in modified}),
            )
            self._move_to(lance.LanceDataset.commit(str(self.path), change, read_version=dataset.version))

    def compact(self, rows_per_file: int, keep: timedelta) -> None:
        """Join small files, keeping the order of rows, and drop versions older than `keep`."""
        dataset = self.dataset()
        if dataset is None:
            return
        with self.told():
            dataset.optimize.compact_files(target_rows_per_fragment=rows_per_file, batch_size=256)
            # delete_unverified clears what killed writers left: the write lock says that nobody else writes now.
            dataset.cleanup_old_versions(older_than=keep, delete_unverified=True)
            self._move_to(lance.dataset(str(self.path)))

    def _move_to(self, dataset: Any) -> None:
        self._dataset, self._pinned = dataset, int(dataset.version)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Turn what Lance raises while writing into an ArchiveError that says what to do."""
        try:
            yield
        except _FAILURES as error:
            raise explain_failed_write(self.path, error) from error


def explain_failed_write(path: object, error: Exception) -> ArchiveError:
    """The error for a failed write; what was committed before it is whole."""
    reason = _first_line(error)
    if any(sign in str(error).lower() for sign in _FULL_DISK):
        return ArchiveError(
            f"the disk that holds {path} is full. What was committed before is kept; free some space and run the same "
            f"command again to go on. ({reason})"
        )
    return ArchiveError(f"cannot write {path}: {reason}. What was committed before is kept.")


def _first_line(error: Exception) -> str:
    # Lance ends its messages with the place in its own source: ", /home/.../scanner.rs:839:33".
    lines = re.sub(r",? /\S+\.rs:\d+:\d+", "", str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
