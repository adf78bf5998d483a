"""One model's image vectors as they lie in the archive: read as unit rows, indexed, and searched through the index.

The index is a Lance IVF index of 8-bit scalars: vectors lie in partitions around centers (Sivic & Zisserman 2003), each number in
one byte. A query looks into the partitions nearest to it, takes the most promising by their bytes, and compares those with the
stored vectors; so the cosines that come back are exact, and only a neighbor may be missed. Rows that were added after the index
was built are compared one by one until `index` is called again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from hilum.archive.archive import Archive
from hilum.archive.row_sets import row_set
from hilum.archive.table import Table

NAME = "vector_idx"
LEAST_ROWS = 1024  # fewer cannot be partitioned sensibly, and take no time to compare
SAMPLE_A_PARTITION = 64  # vectors that a partition's center is learned from
REBUILT_FROM = 0.25  # share of rows added since; of fewer the centers are kept
PROBED = 32  # partitions that a query looks into; there are about sqrt(rows) of them
COMPARED = 3  # for each result wanted, so many of the most promising are compared exactly
LEAST_COMPARED = 30
FEW_ALLOWED = 1000  # rows; so few are read and compared without the index
CACHE_BYTES = 2 << 30  # of the index, kept in memory once it was read; 1,000,000 vectors of 512 take a quarter of it


class VectorTable:
    """The vectors of one model, at the version that they had when this was made. May be read from several threads.

    Args:
        archive: whose images.
        fingerprint: of the model.
    """

    def __init__(self, archive: Archive, fingerprint: str) -> None:
        self._archive, self._fingerprint = archive, fingerprint
        self._table: Table = archive.embedding_table(fingerprint)
        self._open()

    def _open(self) -> None:
        import lance

        dataset = self._table.dataset()
        if dataset is not None:
            uri = str(self._table.path)
            dataset = lance.dataset(uri, version=dataset.version, index_cache_size_bytes=CACHE_BYTES)
        self._dataset: Any = dataset
        counts = [fragment.count_rows() for fragment in dataset.get_fragments()] if dataset is not None else []
        self._fragments = [fragment.fragment_id for fragment in dataset.get_fragments()] if dataset is not None else []
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._start_of = np.zeros(max(self._fragments, default=-1) + 1, np.int64)
        self._start_of[self._fragments] = self._ends - counts

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def version(self) -> int:
        """Lance's version of the table; 0 while there is none."""
        return int(self._dataset.version) if self._dataset is not None else 0

    @property
    def dimension(self) -> int:
        """D, numbers in a vector."""
        return int(self._dataset.schema.field("vector").type.list_size) if self._dataset is not None else 0

    def image_ids(self) -> pa.Array:
        """(N,) the images, in stored order."""
        if self._dataset is None:
            return pa.array([], pa.string())
        return self._table.read(["image_id"])["image_id"].combine_chunks()

    def units(self, start: int = 0) -> np.ndarray:
        """(N - start, D) float32 unit rows, those from a place on; a zero vector stays zero."""
        units, done = np.empty((max(len(self) - start, 0), self.dimension), np.float32), 0
        if len(units):
            scanner = self._dataset.scanner(columns=["vector"], offset=start or None, scan_in_order=True)
            for batch in scanner.to_batches():
                units[done : done + len(batch)] = _unit(_numbers(batch["vector"]))
                done += len(batch)
        return units

    def unit_at(self, places: np.ndarray) -> np.ndarray:
        """(K, D) float32 unit rows at these places, in this order."""
        read = self._dataset.take(np.asarray(places, np.int64).tolist(), columns=["vector"])
        return _unit(_numbers(read["vector"].combine_chunks()))

    @property
    def n_indexed(self) -> int:
        """How many of the vectors the index has; 0 without one."""
        if self._dataset is None:
            return 0
        return sum(int(one.num_rows_indexed) for one in self._dataset.describe_indices() if one.name == NAME)

    def index(self) -> None:
        """Build the index, or bring it up to date with the rows added since.

        Raises:
            ArchiveError: it cannot be written.
        """
        if len(self) < LEAST_ROWS:
            return
        with self._archive.writing(), self._table.told():
            self._table.refresh()
            self._open()
            added = len(self) - self.n_indexed
            if not added:
                return
            if added < REBUILT_FROM * len(self):
                # Merging into one is said, for what Lance 14 does by default (it also splits partitions) cost recall.
                self._dataset.optimize.optimize_indices(index_names=[NAME], num_indices_to_merge=1)
            else:
                self._dataset.create_index(
                    "vector",
                    "IVF_SQ",
                    name=NAME,
                    replace=True,
                    metric="cosine",
                    num_partitions=round(math.sqrt(len(self))),
                    sample_rate=SAMPLE_A_PARTITION,
                )
        self._table.refresh()
        self._open()

    def vector(self, place: int) -> np.ndarray:
        """(D,) the unit vector at a place."""
        return self.unit_at(np.array([place]))[0]

    def nearest(self, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """About the k nearest to a query by cosine, nearest first.

        Args:
            query: (D,) float32.
            k: how many.
            allowed: (N,) bool, which may be found; default all.

        Returns:
            places (k,) int64 and exact cosines (k,) float32.
        """
        share = 1.0 if allowed is None else float(allowed.mean())
        if share * len(self) <= FEW_ALLOWED:
            return self._nearest_of(np.arange(len(self)) if allowed is None else np.flatnonzero(allowed), query, k)
        only = {} if allowed is None else {"row_addr_allowlist": self._row_set(allowed)}
        nearest = {
            "column": "vector",
            "q": np.asarray(query, np.float32),
            "k": k,
            "nprobes": math.ceil(PROBED / share),  # the fewer may be found, the farther off they lie
            "refine_factor": max(COMPARED, math.ceil(LEAST_COMPARED / k)),
        }
        scanner = self._dataset.scanner(
            columns=["_distance"], nearest=nearest, with_row_address=True, disable_scoring_autoprojection=True, **only
        )
        found = scanner.to_table()
        addresses = found["_rowaddr"].to_numpy()
        places = self._start_of[addresses >> np.uint64(32)] + (addresses & np.uint64(0xFFFFFFFF)).astype(np.int64)
        return places, 1 - found["_distance"].to_numpy()

    def _nearest_of(self, places: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`, exactly, of few places."""
        if not len(places):
            return places, np.zeros(0, np.float32)
        cosines = self.unit_at(places) @ _unit(np.asarray(query, np.float32)[None])[0]
        order = np.lexsort((places, -cosines))[:k]
        return places[order], cosines[order]

    def _row_set(self, allowed: np.ndarray) -> bytes:
        parts = np.split(allowed, self._ends[:-1])
        return row_set({f: np.flatnonzero(part) for f, part in zip(self._fragments, parts, strict=True)})


def _numbers(column: pa.FixedSizeListArray) -> np.ndarray:
    return np.asarray(column.flatten().to_numpy()).reshape(len(column), column.type.list_size)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)
