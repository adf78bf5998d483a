"""What sources share whose tables or folders tell everything of an image before its file is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from hilum.errors import SourceError
from hilum.findings import LabelValue
from hilum.imaging import Radiograph
from hilum.sources.cells import label_of
from hilum.sources.layout import Counts, Entry, Facts, Rejected
from hilum.sources.splitting import TRAIN_VAL

BY_PATIENT = "60/20/20 by patient, hashed"


class Listed:
    """A source that knows an image before it is read."""

    unconfirmed: ClassVar[tuple[str, ...]] = ()
    split: ClassVar[str] = BY_PATIENT
    train_val: ClassVar[Mapping[str, float]] = TRAIN_VAL

    def __init__(self) -> None:
        self.counts = Counts()

    def facts(self, entry: Entry, image: Radiograph) -> Facts | Rejected:
        """What the table says; where it is silent on age and sex, a DICOM file's header speaks."""
        assert entry.facts is not None
        header = image.dicom
        if header is None:
            return entry.facts
        facts = entry.facts
        return replace(
            facts,
            age_years=facts.age_years if facts.age_years is not None else header.age_years,
            sex=facts.sex or header.sex,
        )

    def finish(self, whole: bool) -> None:
        """Nothing more to say."""


def expect_some(root: Path, listing: str, files: Iterable[Path | None], counts: Counts) -> int:
    """How many of the listed files are there; the rest is counted in a note, for many hold only a part of a release.

    Args:
        root: the ingested folder.
        listing: what names them, for messages.
        files: where each listed image lies; None where it was looked for and not found.
        counts: gets the note.

    Raises:
        SourceError: none is there.
    """
    total, there, first = 0, 0, None
    for file in files:
        total += 1
        if file is not None and file.is_file():
            there += 1
        elif first is None:
            first = file
    if total and not there:
        example = f"; the first should be {first}" if first is not None else ""
        raise SourceError(f"none of the {total:,} images in {listing} is in {root}{example}.")
    if total > there:
        counts.notes.append(f"{total - there:,} of {total:,} images in {listing} are not in the folder")
    return there


def grouped(rows: Iterable[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    """Rows by the value of one column, in the order of first appearance; rows without it under ""."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[key] or "", []).append(row)
    return groups


def coded_labels(row: Mapping[str, str | None], columns: Mapping[str, str]) -> Iterator[tuple[str, LabelValue]]:
    """(finding, value) for the cells of a row that hold 1, 0 or -1; blank cells state nothing.

    Args:
        row: cells by column.
        columns: column -> finding.

    Raises:
        UnknownCode: a cell holds something else.
    """
    for column, finding in columns.items():
        try:
            value = label_of(row.get(column))
        except KeyError:
            raise UnknownCode(f"'{column}' is {row[column]!r}; expected 1, 0, -1 or blank") from None
        if value is not None:
            yield finding, value


class UnknownCode(SourceError):
    """A label cell that holds no known code."""
