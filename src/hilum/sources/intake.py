"""One pass over the entries of a source: what is new is decoded and appended, the rest is counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hilum.archive import Archive
from hilum.archive.schema import SCHEMAS, VIEWS
from hilum.errors import ImageError, SourceError
from hilum.imaging import DecodePool, Limits, Radiograph
from hilum.reports import cut
from hilum.sources.already import AlreadyThere
from hilum.sources.layout import Entry, Facts, Progress, Rejected, Source
from hilum.sources.pseudonyms import Pseudonyms
from hilum.sources.splitting import Splitting
from hilum.sources.summary import IngestSummary

MOST_EXAMPLES = 5


class Intake:
    """One pass over the entries of a source."""

    def __init__(
        self,
        source: Source,
        there: AlreadyThere,
        summary: IngestSummary,
        names: Pseudonyms | None,
        splitting: Splitting,
        strict: bool,
    ) -> None:
        self.source, self.there, self.summary, self.names, self.strict = source, there, summary, names, strict
        self.splitting = splitting
        self.seen: set[str] = set()
        self.done = 0
        self.remarked = 0
        self.first_remark = ""
        self.split_of: dict[str, str] = {}  # patient -> the dataset's own split of the first image
        self.torn: dict[str, str] = {}  # patients in two of the dataset's splits -> both
        self.images: list[dict[str, Any]] = []
        self.studies: dict[str, dict[str, Any]] = {}
        self.labels: list[dict[str, Any]] = []
        self.rejects: list[dict[str, Any]] = []

    def count(self, total: int | None, progress: Progress) -> None:
        """Go through the entries without reading a file."""
        for _ in self.wanted():
            self.summary.added += 1
            progress("looking", self.done + self.summary.added, total)
        self.done += self.summary.added
        self.tell_torn()

    def write(
        self,
        archive: Archive,
        total: int | None,
        workers: int,
        limits: Limits,
        rows_per_commit: int,
        progress: Progress,
    ) -> None:
        """Decode and append."""
        waiting: deque[Entry] = deque()

        def files() -> Iterator[Path]:
            for entry in self.wanted():
                if entry.pixels is not None:
                    self.take(entry, Radiograph(entry.pixels).shrunk(archive.manifest.longer_side_px))
                    arrived()
                    continue
                waiting.append(entry)
                yield entry.file

        def arrived() -> None:
            if len(self.images) + len(self.rejects) >= rows_per_commit:
                self.commit(archive)
            progress("reading images", self.done, total)

        progress("reading images", 0, total)
        with DecodePool(workers, limits, side_px=archive.manifest.longer_side_px) as pool:
            for _, image in pool.imap(files()):
                entry = waiting.popleft()
                self.take(entry, image)
                arrived()
        self.commit(archive)
        self.tell_torn()
        if self.remarked:
            self.source.counts.notes.append(
                f"{self.remarked:,} images are not shown as their file asks (the first: {self.first_remark})"
            )

    def wanted(self) -> Iterator[Entry]:
        """Entries to read: new ones, each id once."""
        for item in self.source.entries():
            if isinstance(item, Rejected):
                self.reject(item)
                continue
            stored = self.there.images.get(self.there.hidden("path", item.path))
            if item.facts is not None:
                self.watch_split(item.facts)
                if self.is_new(item, item.facts, self.there.hidden("image", item.facts.image_id)):
                    yield item
            elif stored is not None:
                self.seen.add(stored[0])
                self.already_there()
            else:
                yield item

    def is_new(self, entry: Entry, facts: Facts, name: str) -> bool:
        """Whether this image id comes for the first time; a second file of one id is rejected, in every run alike."""
        other = self.there.foreign.get(name)
        if name in self.seen or other is not None:
            whose = f"an image of source '{other}' in this archive" if other else "an earlier file of this source"
            self.reject(
                Rejected(
                    entry.path,
                    "duplicate_id",
                    f"{entry.path}: its image id '{facts.image_id}' is that of {whose}; ids must be unique. "
                    "The earlier one is kept.",
                )
            )
            return False
        self.seen.add(name)
        if name in self.there.ids:
            self.already_there()
            return False
        return True

    def watch_split(self, facts: Facts) -> None:
        """Notice a patient whom the dataset itself puts into two splits. It is told, not mended."""
        if facts.split is None or self.splitting.how not in ("auto", "official"):
            return
        patient = self.there.hidden("patient", facts.patient_id)
        split = self.splitting.of(patient, facts.split)
        first = self.split_of.setdefault(patient, str(split))
        if split != first:
            self.torn.setdefault(patient, f"{first} and {split}")

    def tell_torn(self) -> None:
        """Add patients in two official splits to the notes."""
        if self.torn:
            patient, splits = next(iter(self.torn.items()))
            who = "patient is" if len(self.torn) == 1 else "patients are"
            self.source.counts.notes.append(
                f"{len(self.torn):,} {who} in two of the dataset's own splits ({patient}: {splits}); kept as they are. "
                "Test results will be too good: hilum check lists them, --split hashed splits by patient"
            )

    def already_there(self) -> None:
        self.summary.already_there += 1
        self.done += 1

    def take(self, entry: Entry, image: Radiograph | ImageError) -> None:
        """Put a decoded image into the next commit, or its failure."""
        if isinstance(image, ImageError):
            self.reject(Rejected(entry.path, image.reason, str(image)))
            return
        facts = self.source.facts(entry, image)
        if isinstance(facts, Rejected):
            self.reject(facts)
            return
        hidden = self.pseudonymous(facts)
        if entry.facts is None and not self.is_new(
            entry, facts, hidden.image_id
        ):  # the id was not known before reading
            return
        self.add(entry, hidden, image)
        self.done += 1
        if image.remarks:
            self.remarked += 1
            self.first_remark = self.first_remark or image.remarks[0]

    def pseudonymous(self, facts: Facts) -> Facts:
        if self.names is None:
            return facts
        hide = self.names.of
        return replace(
            facts,
            image_id=hide("image", facts.image_id),
            study_id=hide("study", facts.study_id),
            patient_id=hide("patient", facts.patient_id),
        )

    def add(self, entry: Entry, facts: Facts, image: Radiograph) -> None:
        height, width = image.pixels.shape
        split = self.splitting.of(facts.patient_id, facts.split)
        view = facts.view or (image.dicom.view if image.dicom else None) or "unknown"
        assert view in VIEWS, view
        self.images.append(
            {
                "image_id": facts.image_id,
                "study_id": facts.study_id,
                "patient_id": facts.patient_id,
                "source": self.source.name,
                "path": self.there.hidden("path", entry.path),
                "view": view,
                "height": height,
                "width": width,
                "pixels": image.pixels,
                "pixel_spacing_mm": image.pixel_spacing_mm,
                "study_order": facts.study_order,
                "age_years": facts.age_years,
                "sex": facts.sex,
                "split": split,
            }
        )
        if split is not None:
            self.summary.splits[split] += 1
        is_new_study = facts.study_id not in self.studies and facts.study_id not in self.there.studies
        if is_new_study:
            sections = cut(facts.report) if facts.report else {}
            self.studies[facts.study_id] = {
                "study_id": facts.study_id,
                "patient_id": facts.patient_id,
                "source": self.source.name,
                "report": facts.report,
                **sections,
            }
        said_by = f"dataset:{self.source.name}"
        self.labels += [
            {
                "study_id": facts.study_id,
                "image_id": facts.image_id,
                "finding": finding,
                "value": value.value,
                "said_by": said_by,
            }
            for finding, value in facts.labels
        ]
        self.labels += [
            {
                "study_id": facts.study_id,
                "image_id": None if said.of_study else facts.image_id,
                "finding": said.finding,
                "value": said.value.value,
                "said_by": said.said_by or said_by,
            }
            for said in facts.statements
            if is_new_study or not said.of_study
        ]

    def reject(self, refused: Rejected) -> None:
        self.done += 1
        self.summary.rejected[refused.reason] += 1
        if len(self.summary.examples) < MOST_EXAMPLES:
            self.summary.examples.append(f"{refused.reason}: {refused.message}")
        if self.strict:
            raise SourceError(f"{refused.message} Stopped, for bad files were not allowed; what was committed is kept.")
        path, message = self.there.hidden("path", refused.path), refused.message
        if self.names is not None:
            message = "the message is not kept, for a path may name the patient; ingest again to see it."
        if (path, refused.reason) not in self.there.rejects:
            self.there.rejects.add((path, refused.reason))
            self.rejects.append(
                {"source": self.source.name, "path": path, "reason": refused.reason, "message": message}
            )

    def commit(self, archive: Archive) -> None:
        """Labels and studies first: an image that is in the archive is one whose labels and report are there too."""
        if self.labels:
            self.summary.labels += archive.add_labels(_rows("labels", self.labels))
        if self.studies:
            archive.add_studies(_rows("studies", list(self.studies.values())))
            self.there.studies.update(self.studies)
            self.summary.studies += len(self.studies)
            self.summary.reports += sum(row["report"] is not None for row in self.studies.values())
        if self.images:
            self.summary.added += archive.add_images(_rows("images", self.images))
        if self.rejects:
            archive.add_rejects(_rows("rejects", self.rejects))
        self.images, self.studies, self.labels, self.rejects = [], {}, [], []


def _rows(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = SCHEMAS[table]
    columns: dict[str, pa.Array] = {}
    for field in schema:
        if field.name == "pixels":
            columns[field.name] = _pixels([row["pixels"] for row in rows])
        elif any(field.name in row for row in rows):
            columns[field.name] = pa.array([row.get(field.name) for row in rows], field.type)
    return pa.table(columns)


def _pixels(images: list[np.ndarray]) -> pa.Array:
    """Images as one column of raw bytes, copied once."""
    ends = np.cumsum([0, *(image.size for image in images)], dtype=np.int64)
    content = np.empty(ends[-1], np.uint8)
    for start, image in zip(ends[:-1], images, strict=True):
        content[start : start + image.size] = image.reshape(-1)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(images), [None, pa.py_buffer(ends), pa.py_buffer(content)]
    )
