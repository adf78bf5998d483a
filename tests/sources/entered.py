"""What an ingest of a small tree left, in the shape that tests ask about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hilum.archive import Archive
from hilum.sources import IngestSummary, ingest


@dataclass(frozen=True)
class Entered:
    """Summary, images by id, the dataset's statements by (image or study id, finding), and others' by speaker too."""

    summary: IngestSummary
    archive: Archive
    images: dict[str, dict[str, Any]]
    said: dict[tuple[str, str], str]
    others: dict[tuple[str, str, str], str]

    def has(self, of: str, value: str = "positive") -> set[str]:
        """The findings that the dataset says an image or study has."""
        return {finding for (name, finding), said in self.said.items() if name == of and said == value}

    def column(self, name: str) -> dict[str, Any]:
        """Image id -> one column."""
        return {image: row[name] for image, row in self.images.items()}

    def reports(self) -> dict[str, str | None]:
        """Study id -> report."""
        return {row["study_id"]: row["report"] for row in self.archive.studies(["study_id", "report"]).to_pylist()}


def enter(path: Path, source: str, root: Path, **options: Any) -> Entered:
    """Ingest into the archive at `path`, decoding in this process, and read it."""
    summary = ingest(source, root, path, workers=0, **options)
    archive = Archive.open(path)
    said, others = {}, {}
    for row in archive.labels().to_pylist():
        of = row["image_id"] or row["study_id"]
        if row["said_by"] == f"dataset:{source}":
            said[of, row["finding"]] = row["value"]
        else:
            others[row["said_by"], of, row["finding"]] = row["value"]
    return Entered(summary, archive, {row["image_id"]: row for row in archive.images().to_pylist()}, said, others)


def write_picture(path: Path, seed: int = 0, depth: int = 8, side_px: int = 32) -> Path:
    """A square of noise as PNG or JPEG, 8 or 16 bits deep."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = rng.integers(0, 1 << depth, (side_px, side_px))
    Image.fromarray(values.astype(np.uint8 if depth == 8 else np.uint16)).save(path)
    return path
