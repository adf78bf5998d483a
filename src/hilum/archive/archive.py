"""The archive: pixels, reports, labels and embeddings in one directory of Lance tables.

Rows are only ever added, and splits and compaction keep their order, so an image's `row` never changes.
Reading never waits for a writer: each handle stays at the version it first saw until `refresh` or its own write.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive.lock import NAME as LOCK_NAME
from hilum.archive.lock import write_lock
from hilum.archive.manifest import NAME as MANIFEST_NAME
from hilum.archive.manifest import Manifest, load_manifest, save_manifest
from hilum.archive.pixels import PixelReader
from hilum.archive.place import Place, place_of
from hilum.archive.remote_pixels import RemotePixels
from hilum.archive.schema import SCHEMAS, STUDIES, embedding_schema, fit
from hilum.archive.table import Table, explain_failed_write
from hilum.errors import ArchiveError

ROWS_PER_FILE = 8192  # about 1 GB of 384-pixel images
SMALL_ROWS_PER_FILE = 1_000_000
MANY_FILES = 1024  # of images; joining them writes the pixels anew, which takes their size on disk twice for a while
KEEP_OLD = timedelta(days=7)  # long enough for a training run that holds an old version


@dataclass(frozen=True)
class Embeddings:
    """Image vectors of one model.

    Attributes:
        image_ids: (N,) names, object array of str.
        vectors: (N, D) float32 as the model gave them; row i belongs to image_ids[i].
    """

    image_ids: np.ndarray
    vectors: np.ndarray


class Archive:
    """An archive on disk; use `create`, `open` or `open_or_create`.

    It may be sent to worker processes: what travels is the path and the versions, and the worker opens it anew.
    Start such workers with spawn or forkserver, for Lance's threads do not survive a fork.
    """

    def __init__(self, path: Place, manifest: Manifest, versions: Mapping[str, int] | None = None) -> None:
        self.path = path
        self.manifest = manifest
        versions = versions or {}
        self._tables = {
            name: Table(path / f"{name}.lance", schema, versions.get(name)) for name, schema in SCHEMAS.items()
        }
        self._pixels: PixelReader | RemotePixels | None = None
        self._ids: dict[Place, tuple[int, set[str]]] = {}  # of each table: its version, and the ids in it

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        longer_side_px: int = 384,
        text_policy: str = "impression else findings",
        pseudonymized: bool = False,
    ) -> Archive:
        """Make an empty archive in a new or empty directory.

        Raises:
            ArchiveError: the directory holds something already, or cannot be made.
        """
        path = Path(path)
        manifest = Manifest(longer_side_px=longer_side_px, text_policy=text_policy, pseudonymized=pseudonymized)
        if path.exists() and not path.is_dir():
            raise ArchiveError(f"{path} is a file; an archive is a directory. Name a new one.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            ours = {LOCK_NAME, f"{MANIFEST_NAME}.tmp"}  # a killed `create` may leave these
            there = [found.name for found in path.iterdir() if found.name not in ours]
            if MANIFEST_NAME in there:
                raise ArchiveError(f"{path} is an archive already; open it, or name a new directory.")
            if there:
                raise ArchiveError(f"{path} is not empty ({', '.join(sorted(there)[:3])}); name a new directory.")
            with write_lock(path):
                save_manifest(path, manifest)
        except OSError as error:
            raise explain_failed_write(path, error) from error
        return cls(path, manifest)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Archive:
        """Open an archive for reading and writing; one behind a URI (`s3://bucket/archive`) for reading.

        Raises:
            ArchiveError: it is missing, no archive, damaged, or written by a newer hilum; or the store does not answer.
        """
        place = place_of(path)
        return cls(place, load_manifest(place))

    @classmethod
    def open_or_create(cls, path: str | Path, **settings: Any) -> Archive:
        """Open the archive, or make it with these settings when there is none yet.

        Raises:
            ArchiveError: as `open` and `create`; or a setting differs from the archive's own.
        """
        path = Path(path)
        if not (path / MANIFEST_NAME).exists():
            return cls.create(path, **settings)
        archive = cls.open(path)
        archive.manifest.changed(**settings)
        stored = archive.manifest.to_dict()
        for name, value in settings.items():
            if stored[name] != value:
                raise ArchiveError(
                    f"{path} has {name} = {stored[name]!r}, not {value!r}; all images of an archive share it. "
                    "Leave the setting out to keep the archive's, or ingest into a new directory."
                )
        return archive

    def update_manifest(self, **changes: Any) -> None:
        """Change settings of the manifest by atomic rename."""
        with self.writing():
            assert isinstance(self.path, Path)  # the lock refuses others
            manifest = load_manifest(self.path).changed(**changes)
            try:
                save_manifest(self.path, manifest)
            except OSError as error:
                raise explain_failed_write(self.path / MANIFEST_NAME, error) from error
            self.manifest = manifest

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the write lock over several writes. Every write takes it itself when it is not held.

        Raises:
            ArchiveError: another process or thread is writing.
        """
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(write_lock(self.path))
            except OSError as error:
                raise explain_failed_write(self.path / LOCK_NAME, error) from error
            for table in self._tables.values():
                table.refresh()  # ids must be compared with what is there now, not with what this handle saw first
            yield

    def refresh(self) -> None:
        """See what others have written since this handle was opened."""
        for table in self._tables.values():
            table.refresh()
        self.manifest = load_manifest(self.path)

    def __len__(self) -> int:
        """How many images."""
        return len(self._tables["images"])

    def __repr__(self) -> str:
        return f"Archive({str(self.path)!r})"

    @property
    def versions(self) -> dict[str, int]:
        """The version of each table that this handle reads: equal ones hold the same rows."""
        return {name: table.version for name, table in self._tables.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path.resolve(), "manifest": self.manifest, "versions": self.versions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # Adding

    def add_images(self, rows: pa.Table) -> int:
        """Add images; those whose `image_id` is there already are left as they are.

        Args:
            rows: columns as in `hilum.archive.schema.IMAGES`; `pixels` are height * width raw bytes. Needed: image_id,
                study_id, patient_id, height, width, pixels. `pixels_sha1` is computed.

        Returns:
            How many were added.
        """
        return self._add_new("images", "image_id", rows)

    def add_studies(self, rows: pa.Table) -> int:
        """Add studies; those whose `study_id` is there already are left as they are. Returns how many were added."""
        return self._add_new("studies", "study_id", rows)

    def update_studies(self, rows: pa.Table) -> int:
        """Give studies that are there other values, such as reports that came later, in one commit.

        Args:
            rows: `study_id` and the columns to change; columns that are not given keep their values. Give the sections
                together with a report: those of the older text would stay.

        Returns:
            How many studies were changed; ids that are not in the archive are left out.
        """
        given = [name for name in STUDIES.names if name in rows.column_names]
        fitted = _last_of_each(fit("studies", rows).select(given), "study_id")
        with self.writing():
            table = self._tables["studies"]
            known = pa.array(table.read(["study_id"])["study_id"].to_pylist(), pa.string())
            fitted = fitted.filter(pc.is_in(fitted["study_id"], value_set=known))
            if len(given) > 1:
                table.update_column(fitted, "study_id")
        return len(fitted)

    def add_rejects(self, rows: pa.Table) -> int:
        """Add files that could not be used (`source`, `path`, `reason`, `message`); `when` is now where absent."""
        fitted = fit("rejects", rows)
        now = pa.scalar(datetime.now(UTC), fitted.schema.field("when").type)
        fitted = fitted.set_column(4, fitted.schema.field("when"), pc.fill_null(fitted["when"], now))
        with self.writing():
            self._tables["rejects"].append(fitted)
        return len(fitted)

    def add_labels(self, table: pa.Table) -> int:
        """Add statements; one about the same study, image and finding by the same speaker replaces the older one.

        Args:
            table: `study_id`, `image_id` (null: the whole study), `finding`, `value`, `said_by`.

        Returns:
            How many statements the table held, repeated ones counted once.
        """
        fitted = _last_of_each(fit("labels", table), "key")
        with self.writing():
            self._tables["labels"].upsert(fitted, "key")
        return len(fitted)

    def add_embeddings(self, fingerprint: str, image_ids: Sequence[str], vectors: np.ndarray) -> int:
        """Add image vectors of the model with this fingerprint; images that have one already are skipped.

        Args:
            fingerprint: hash of the model's weights and preprocessing.
            image_ids: N ids.
            vectors: (N, D) float32; D must be that of the vectors already there.

        Returns:
            How many were added.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(image_ids):
            raise ArchiveError(
                f"embeddings: {len(image_ids)} ids with vectors of shape {vectors.shape}; expected (N, D)."
            )
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise ArchiveError(
                f"embeddings: the vector of image {image_ids[bad[0]]!r} is not finite ({len(bad)} such)."
            )
        with self.writing():
            table = self.embedding_table(fingerprint, vectors.shape[1])
            stored = table.schema.field("vector").type.list_size
            if stored != vectors.shape[1]:
                raise ArchiveError(f"{table.path} holds vectors of {stored} numbers, got {vectors.shape[1]}.")
            names = pa.array([str(name) for name in image_ids], pa.string())
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
            return self._append_new(table, "image_id", pa.table([names, column], schema=table.schema))

    def set_splits(self, splits: Mapping[str, str]) -> int:
        """Give the images of these patients a split, in one commit that leaves the pixels where they are.

        Args:
            splits: patient_id -> split. Patients that are not named keep theirs.

        Returns:
            How many images now carry a split from this mapping.
        """
        with self.writing():
            table = self._tables["images"]
            patients = table.read(["patient_id"])["patient_id"]
            changed = int(pc.sum(pc.is_in(patients, value_set=pa.array(list(splits), pa.string()))).as_py() or 0)
            if changed:
                names = {"patient_id": list(splits.keys()), "split": list(splits.values())}
                table.update_column(pa.table({k: pa.array(v, pa.string()) for k, v in names.items()}), "patient_id")
        return changed

    def compact(self) -> None:
        """Join the small files of many appends. Call it after a large ingest; readers are not disturbed.

        Pixels are read at full speed from any number of files, so images are joined only where there are so many
        that opening gets slow; their old files go when versions are older than `KEEP_OLD`.
        """
        with self.writing():
            for name, table in self._tables.items():
                if name != "images":
                    table.compact(SMALL_ROWS_PER_FILE, KEEP_OLD)
                elif table.files > MANY_FILES:
                    table.compact(ROWS_PER_FILE, KEEP_OLD)
            for key in self.embedding_keys():
                self.embedding_table(key).compact(SMALL_ROWS_PER_FILE, KEEP_OLD)

    # Reading

    def images(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Images as a table, with a column `row`: the position to ask `pixels` for.

        Args:
            columns: names; None for all but the pixels.
            where: an SQL condition, for example "view = 'pa' AND age_years >= 18".
        """
        table = self._tables["images"]
        if columns is None:
            columns = [name for name in table.schema.names if name != "pixels"]
        wanted = [name for name in columns if name != "row"]
        handling = "all_binary" if "pixels" in wanted else "blobs_descriptions"
        read = table.read(wanted, where, with_row_address=True, blob_handling=handling)
        rows = self._rows(read["_rowaddr"].to_numpy())
        return read.drop_columns(["_rowaddr"]).append_column("row", pa.array(rows, pa.int64()))

    def studies(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Studies with their reports and sections; `columns` and `where` as in `images`."""
        return self._tables["studies"].read(None if columns is None else list(columns), where)

    def labels(self, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Statements about studies and images; `columns` and `where` as in `images`."""
        if columns is None:
            columns = [name for name in SCHEMAS["labels"].names if name != "key"]
        return self._tables["labels"].read(list(columns), where)

    def rejects(self) -> pa.Table:
        """Files that could not be used, and why."""
        return self._tables["rejects"].read()

    def pixels(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """The images at these positions (column `row` of `images`), in the order asked, repeats allowed.

        Returns:
            Read-only (H, W) uint8 arrays: views of memory-mapped files where the archive is on a local disk.
        """
        if self._pixels is None or self._pixels.version != self._tables["images"].version:
            table = self._tables["images"]
            self._pixels = PixelReader(table) if isinstance(self.path, Path) else RemotePixels(table)
        return self._pixels.take(rows)

    def embeddings(self, fingerprint: str) -> Embeddings | None:
        """All image vectors of one model, or None when there are none."""
        table = self.embedding_table(fingerprint)
        if not table.exists:
            return None
        read = table.read().combine_chunks()
        column = read["vector"].chunk(0)
        vectors = column.flatten().to_numpy().reshape(len(read), column.type.list_size)
        return Embeddings(np.array(read["image_id"].to_pylist(), dtype=object), vectors)

    def embedding_keys(self) -> list[str]:
        """Fingerprints of the models whose image vectors are stored."""
        found = (self.path / "embeddings").glob("*.lance")
        return sorted(place.stem for place in found if Table(place, pa.schema([])).exists)

    def embedding_shapes(self) -> dict[str, tuple[int, int]]:
        """How many vectors of how many numbers each model's fingerprint has; reads no vectors."""
        tables = {key: self.embedding_table(key) for key in self.embedding_keys()}
        return {key: (len(table), table.schema.field("vector").type.list_size) for key, table in tables.items()}

    def size_bytes(self) -> int:
        """Bytes on disk, old versions included."""
        if not isinstance(self.path, Path):
            return self.path.size_bytes()
        return sum(place.stat().st_size for place in self.path.rglob("*") if place.is_file())

    def _add_new(self, name: str, key: str, rows: pa.Table) -> int:
        fitted = fit(name, rows)
        with self.writing():
            return self._append_new(self._tables[name], key, fitted)

    def _append_new(self, table: Table, key: str, rows: pa.Table) -> int:
        """Append the rows whose `key` is not in the table yet; ids are kept between calls, for ingest makes many."""
        version, ids = self._ids.get(table.path, (-1, set()))
        if version != table.version:
            ids = set(table.read([key])[key].to_pylist())
        names = rows[key].to_pylist()
        new = [i for i in _first_of_each(names) if names[i] not in ids]
        table.append(rows if len(new) == len(names) else rows.take(pa.array(new, pa.int64())))
        ids.update(names[i] for i in new)
        self._ids[table.path] = (table.version, ids)
        return len(new)

    def _rows(self, addresses: np.ndarray) -> np.ndarray:
        # A Lance row address is fragment << 32 | offset within the fragment.
        dataset = self._tables["images"].dataset()
        if dataset is None or not len(addresses):
            return np.zeros(0, np.int64)
        fragments = dataset.get_fragments()
        if any(fragment.num_deletions for fragment in fragments):  # by another program, for we never delete
            stored = self._tables["images"].read(["height"], with_row_address=True)["_rowaddr"].to_numpy()
            order = np.argsort(stored)
            return order[np.searchsorted(stored[order], addresses)]
        counts = [fragment.physical_rows for fragment in fragments]
        starts = np.zeros(max(fragment.fragment_id for fragment in fragments) + 1, np.int64)
        starts[[fragment.fragment_id for fragment in fragments]] = np.cumsum([0, *counts[:-1]])
        return starts[addresses >> np.uint64(32)] + (addresses & np.uint64(0xFFFFFFFF)).astype(np.int64)

    @property
    def studies_table(self) -> Table:
        """The Lance table of studies, which the index of words is on."""
        return self._tables["studies"]

    def embedding_table(self, fingerprint: str, dimension: int = 0) -> Table:
        """The Lance table of one model's vectors, which may not be there yet (then of this dimension).

        Raises:
            ArchiveError: the fingerprint is none.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,200}", fingerprint):
            raise ArchiveError(
                f"embeddings: {fingerprint!r} is no fingerprint; use letters, digits and . _ @ + - only."
            )
        place = self.path / "embeddings" / f"{fingerprint}.lance"
        table = Table(place, embedding_schema(dimension))
        dataset = table.dataset()
        if dataset is not None:
            table.schema = dataset.schema
        else:
            table.refresh()
        return table


def _first_of_each(names: list[str]) -> list[int]:
    return sorted({name: i for i, name in reversed(list(enumerate(names)))}.values())


def _last_of_each(rows: pa.Table, key: str) -> pa.Table:
    last = {identity: i for i, identity in enumerate(rows[key].to_pylist())}
    return rows if len(last) == len(rows) else rows.take(pa.array(sorted(last.values()), pa.int64()))
