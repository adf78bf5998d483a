"""Datasets and layouts, one file each, and the engine that brings them into an archive."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "SOURCES": "hilum.sources.catalog",
    "Counts": "hilum.sources.layout",
    "Entry": "hilum.sources.layout",
    "Facts": "hilum.sources.layout",
    "IngestSummary": "hilum.sources.summary",
    "Known": "hilum.sources.layout",
    "Pseudonyms": "hilum.sources.pseudonyms",
    "OVERLAPS": "hilum.sources.overlaps",
    "Overlap": "hilum.sources.overlaps",
    "Rejected": "hilum.sources.layout",
    "Source": "hilum.sources.layout",
    "Statement": "hilum.sources.layout",
    "ingest": "hilum.sources.engine",
    "make_source": "hilum.sources.catalog",
}

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from hilum.sources.catalog import SOURCES as SOURCES
    from hilum.sources.catalog import make_source as make_source
    from hilum.sources.engine import ingest as ingest
    from hilum.sources.layout import Counts as Counts
    from hilum.sources.layout import Entry as Entry
    from hilum.sources.layout import Facts as Facts
    from hilum.sources.layout import Known as Known
    from hilum.sources.layout import Rejected as Rejected
    from hilum.sources.layout import Source as Source
    from hilum.sources.layout import Statement as Statement
    from hilum.sources.overlaps import OVERLAPS as OVERLAPS
    from hilum.sources.overlaps import Overlap as Overlap
    from hilum.sources.pseudonyms import Pseudonyms as Pseudonyms
    from hilum.sources.summary import IngestSummary as IngestSummary


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'hilum.sources' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
