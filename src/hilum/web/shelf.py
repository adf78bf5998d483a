"""The archive as the server sees it: one whole snapshot at a time, taken anew when something was written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive import Archive, summarize
from hilum.errors import ArchiveError
from hilum.web.problems import ArchiveGoneError, NotFoundError

IMAGE_COLUMNS = ("image_id", "study_id", "patient_id", "source", "view", "height", "width", "study_order", "age_years",
                 "sex", "split")  # fmt: skip
SNIPPET_CHARACTERS = 240
REMOTE_SECONDS = 60.0  # between looks at an archive behind a URI
LEAST_SECONDS = 2.0  # between two snapshots while somebody writes
LOOK_SECONDS = 0.25  # between looks at a local archive

T = TypeVar("T")


@dataclass(eq=False)
class Snapshot:
    """One state of the archive; nothing in it changes, so any number of requests may read it.

    Attributes:
        archive: a handle at fixed versions of its tables.
        images: one row an image in stored order, `IMAGE_COLUMNS` (no pixels): row i is the archive's row i.
        stamp: what told this state from others.
    """

    archive: Archive
    images: pa.Table
    stamp: object
    _made: dict[object, Any] = field(default_factory=dict)
    _making: dict[object, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What `make` gives, made once for this snapshot; who asks meanwhile waits for it."""
        with self._guard:
            if key in self._made:
                return self._made[key]
            lock = self._making.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.images["image_id"].to_pylist())}

    def row_of(self, image_id: str) -> int:
        """An image's row.

        Raises:
            NotFoundError: there is no such image.
        """
        row = self.once("rows", lambda: self._row_of).get(image_id)
        if row is None:
            raise NotFoundError("There is no such image in the archive.")
        return row

    def image(self, row: int) -> dict[str, Any]:
        """An image's columns and its row.

        Raises:
            NotFoundError: there is no such row.
        """
        if not 0 <= row < len(self.images):
            raise NotFoundError("There is no such image in the archive.")
        found: dict[str, Any] = self.images.slice(row, 1).to_pylist()[0]
        return {**found, "row": row}

    def rows_where(self, column: str, value: str) -> list[int]:
        """The rows whose column has this value, in stored order."""
        return [int(row) for row in np.flatnonzero(pc.equal(self.images[column], value).to_numpy())]

    def pixels(self, row: int) -> np.ndarray:
        """An image: (H, W) uint8, read-only.

        Raises:
            NotFoundError: there is no such row.
        """
        self.image(row)
        self.once("pixels", lambda: self.archive.pixels([]))  # the reader is made by one thread
        return self.archive.pixels([row])[0]

    def summary(self) -> dict[str, Any]:
        """`hilum.archive.summarize`, counted once."""
        return self.once("summary", lambda: summarize(self.archive))

    def snippets(self, study_ids: list[str]) -> list[str]:
        """The first words of each study's impression, else findings, else report; "" where there is none."""
        places, texts = self.once("snippets", self._snippets)
        return [texts[places[study_id]].as_py() or "" if study_id in places else "" for study_id in study_ids]

    def _snippets(self) -> tuple[dict[str, int], pa.ChunkedArray]:
        studies = self.archive.studies(["study_id", "impression", "findings", "report"])
        filled = [pc.if_else(pc.not_equal(studies[name], ""), studies[name], None) for name in studies.column_names[1:]]
        texts = pc.utf8_slice_codeunits(pc.coalesce(*filled), 0, SNIPPET_CHARACTERS)
        return {study_id: i for i, study_id in enumerate(studies["study_id"].to_pylist())}, texts

    def study(self, study_id: str) -> dict[str, Any]:
        """A study's report and sections; all None where the archive holds no text for it."""
        found = self.archive.studies(where=f"study_id = {quoted(study_id)}").to_pylist()
        return found[0] if found else dict.fromkeys(("report", "findings", "impression", "indication"))

    def statements(self, study_id: str) -> list[dict[str, Any]]:
        """What is said of a study and of its images: finding, value, said_by, image_id."""
        return self.archive.labels(where=f"study_id = {quoted(study_id)}").to_pylist()


class Shelf:
    """Keeps the newest snapshot of one archive, and says when the archive is gone.

    Args:
        path: the archive.

    Raises:
        ArchiveError: it cannot be opened now.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._taken = self._looked = 0.0
        self._snapshot: Snapshot | None = None
        Archive.open(path)  # with its own words where it is missing
        self._snapshot = self._take(self._stamp())

    def now(self) -> Snapshot:
        """The archive as it is now, at most `LEAST_SECONDS` old.

        Raises:
            ArchiveGoneError: it was moved or deleted; the next call after it is back works again.
            ArchiveError: it is there and cannot be read.
        """
        current = self._snapshot
        if current is not None and time.monotonic() - self._looked < LOOK_SECONDS:
            return current
        try:
            stamp = self._stamp()
        except OSError:
            with self._lock:
                self._snapshot = None
            raise ArchiveGoneError(
                "The archive is not where it was when this server was started: it was moved, deleted, or its disk is not "
                "mounted. Put it back; this page works again then, nothing needs to be restarted."
            ) from None
        current, self._looked = self._snapshot, time.monotonic()
        if current is not None and (current.stamp == stamp or time.monotonic() - self._taken < LEAST_SECONDS):
            return current
        with self._lock:
            if self._snapshot is None or self._snapshot.stamp != stamp:
                self._snapshot = self._take(stamp)
            return self._snapshot

    def _take(self, stamp: object) -> Snapshot:
        archive = Archive.open(self.path)
        images = archive.images(list(IMAGE_COLUMNS))
        if not len(images) and not isinstance(archive.path, Path):
            raise ArchiveError("The archive is empty.")
        self._taken = time.monotonic()
        return Snapshot(archive, images.drop_columns(["row"]).combine_chunks(), stamp)

    def _stamp(self) -> object:
        """Changes with every commit: a commit puts a file into a table's `_versions`."""
        path = Path(self.path)
        if not _is_local(self.path):
            return int(time.monotonic() / REMOTE_SECONDS)
        manifest = (path / "archive.json").stat()
        tables = sorted([*path.glob("*.lance"), *path.glob("embeddings/*.lance")])
        versions = []
        for table in tables:
            try:
                versions.append((table.name, (table / "_versions").stat().st_mtime_ns))
            except OSError:  # made or deleted at this moment
                versions.append((table.name, 0))
        return (manifest.st_ino, manifest.st_mtime_ns, *versions)


def quoted(value: str) -> str:
    """A text as an SQL literal.

    Example:
        >>> quoted("O'Hara")
        "'O''Hara'"
    """
    return "'" + value.replace("'", "''") + "'"


def _is_local(path: str | Path) -> bool:
    from hilum.archive.place import place_of

    return isinstance(place_of(path), Path)
