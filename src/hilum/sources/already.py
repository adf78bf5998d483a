"""What an archive holds before an ingest starts, so that nothing enters twice."""

from __future__ import annotations

from hilum.archive import Archive
from hilum.sources.layout import Known
from hilum.sources.pseudonyms import Pseudonyms


class AlreadyThere:
    """What the archive holds already of this source, and the ids of images of any source."""

    def __init__(self, archive: Archive | None, source: str, names: Pseudonyms | None) -> None:
        self.names = names
        self.images: dict[str, tuple[str, int | None]] = {}  # path -> image id, study order
        self.ids: set[str] = set()
        self.foreign: dict[str, str] = {}  # image ids of other sources -> the source
        self.patients: set[str] = set()
        self.studies: set[str] = set()
        self.rejects: set[tuple[str, str]] = set()
        if archive is None:
            return
        rows = archive.images(["image_id", "source", "path", "patient_id", "study_order"])
        for batch in rows.select(["source", "path", "image_id", "patient_id", "study_order"]).to_batches():
            for of, path, name, patient, order in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if of != source:
                    self.foreign[name] = of
                    continue
                self.images[path] = (name, order)
                self.ids.add(name)
                self.patients.add(patient)
        self.studies = set(archive.studies(["study_id"])["study_id"].to_pylist())
        refused = archive.rejects()
        self.rejects = {
            (path, reason)
            for of, path, reason in zip(*(refused[n].to_pylist() for n in ("source", "path", "reason")), strict=True)
            if of == source
        }

    def known(self) -> Known:
        return Known(
            order_of=lambda path: self.images.get(self.hidden("path", path), ("", None))[1],
            has_patient=lambda patient: self.hidden("patient", patient) in self.patients,
        )

    def hidden(self, kind: str, identifier: str) -> str:
        return self.names.of(kind, identifier) if self.names else identifier
