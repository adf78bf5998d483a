"""Stored images as views of memory-mapped files.

Lance keeps a blob column's bytes plain in the data file and gives their offsets. Reading through a memory map is
several times as fast as assembling them in a query, and the pages are shared by all processes that read the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hilum.archive.schema import pixels_sha1
from hilum.archive.table import Table
from hilum.errors import ArchiveError


class PixelReader:
    """Gives the images of one version of the images table by row.

    Args:
        table: the images table.

    Raises:
        ArchiveError: a data file is missing, or does not hold the pixels it should.
    """

    def __init__(self, table: Table) -> None:
        assert isinstance(table.path, Path)
        self.version = table.version
        read = table.read(["height", "width", "pixels", "pixels_sha1"], blob_handling="blobs_descriptions")
        self._heights, self._widths = (read[name].to_numpy() for name in ("height", "width"))
        self._maps: list[np.ndarray] = []
        self._starts = np.zeros(0, np.int64)
        self._file_of_row = np.zeros(0, np.int32)
        dataset = table.dataset()
        if dataset is None or not len(read):
            return
        descriptions = read["pixels"].combine_chunks()
        self._starts = descriptions.field("position").to_numpy().astype(np.int64)
        fragments = dataset.get_fragments()
        self._file_of_row = np.repeat(
            np.arange(len(fragments), dtype=np.int32), [fragment.count_rows() for fragment in fragments]
        )
        column = next(field.id() for field in dataset.lance_schema.fields() if field.name() == "pixels")
        self._maps = [_map(table.path / "data" / _file_with(fragment, column)) for fragment in fragments]
        self._check_one(table, read["pixels_sha1"])

    def _check_one(self, table: Table, sha1: pa.ChunkedArray) -> None:
        # That offsets are plain places in the file is Lance's present layout: one image shows that it still is.
        row = len(self) - 1
        start, area = int(self._starts[row]), int(self._heights[row]) * int(self._widths[row])
        if pixels_sha1(self._maps[self._file_of_row[row]][start : start + area].data) != sha1[row].as_py():
            raise ArchiveError(
                f"{table.path}, row {row}: the pixels are not those that were stored (their SHA-1 differs). The data "
                "file was damaged, or written by a version of Lance this one cannot read: restore it, or ingest again."
            )

    def __len__(self) -> int:
        return len(self._starts)

    def take(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """The images at these positions, in this order: read-only (H, W) uint8 views.

        Raises:
            ArchiveError: a row lies outside the archive.
        """
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            wrong = wanted[(wanted < 0) | (wanted >= len(self))][0]
            raise ArchiveError(f"images: there is no row {wrong}; rows go from 0 to {len(self) - 1}.")
        starts, files = self._starts[wanted].tolist(), self._file_of_row[wanted].tolist()
        heights, widths = self._heights[wanted].tolist(), self._widths[wanted].tolist()
        maps = self._maps
        return [
            maps[file][start : start + h * w].reshape(h, w)
            for file, start, h, w in zip(files, starts, heights, widths, strict=True)
        ]


def _file_with(fragment: Any, column: int) -> str:
    return next(str(file.path) for file in fragment.metadata.files if column in file.fields)


def _map(path: Path) -> np.ndarray:
    # Closing the Arrow file frees its descriptor while the buffer keeps the mapping: thousands of files stay possible.
    try:
        with pa.memory_map(str(path)) as mapped:
            return np.frombuffer(mapped.read_buffer(), np.uint8)
    except OSError as error:
        raise ArchiveError(
            f"{path} is missing or unreadable: {error}. Restore it from a backup, or ingest again."
        ) from error
