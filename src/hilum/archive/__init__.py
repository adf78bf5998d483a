"""The Lance tables of an archive: open, append, select, read pixels, split by patient, check."""

from __future__ import annotations

from hilum.archive.archive import Archive, Embeddings
from hilum.archive.manifest import Manifest
from hilum.archive.schema import SECTIONS, SPLITS, VIEWS

__all__ = ["SECTIONS", "SPLITS", "VIEWS", "Archive", "Embeddings", "Manifest"]
