"""The Lance tables of an archive: open, append, select, read pixels, split by patient, check."""

from __future__ import annotations

from hilum.archive.archive import Archive, Embeddings
from hilum.archive.checks import Problem, check, looks_inverted
from hilum.archive.export import export_labels
from hilum.archive.manifest import Manifest
from hilum.archive.report_words import ReportWords
from hilum.archive.schema import SECTIONS, SPLITS, VIEWS
from hilum.archive.splits import assign_splits, hashed_split, patients_in_two_splits
from hilum.archive.summary import summarize
from hilum.archive.vectors import VectorTable

__all__ = [
    "SECTIONS",
    "SPLITS",
    "VIEWS",
    "Archive",
    "Embeddings",
    "Manifest",
    "Problem",
    "ReportWords",
    "VectorTable",
    "assign_splits",
    "check",
    "export_labels",
    "hashed_split",
    "looks_inverted",
    "patients_in_two_splits",
    "summarize",
]
