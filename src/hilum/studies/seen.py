"""Test images that a model's pretraining has seen: found by id and by pixels, and by what is known of datasets that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hilum.archive import Archive
from hilum.errors import HilumError, UsageError
from hilum.findings import suggest
from hilum.sources.catalog import SOURCES
from hilum.sources.overlaps import overlap_of, seen_images
from hilum.studies.inputs import Dataset, Opened

TRAINED_ON = "split IS NULL OR split != 'test'"  # pretraining chooses by 'val', so it has seen that too


@dataclass(frozen=True)
class Seen:
    """What a model may have seen of a dataset's images.

    Attributes:
        image_ids: labeled test images that were, or may have been, in pretraining. Validation images, which choose a
            strength or a pass, may be seen: no number is taken from them.
        warnings: what could be told, and what could not.
    """

    image_ids: tuple[str, ...]
    warnings: tuple[str, ...]


def seen_in_pretraining(opened: Opened, dataset: Dataset) -> Seen:
    """Compare a model's pretraining with a dataset.

    Raises:
        UsageError: `pretrained_on` names neither a source nor an archive.
        ArchiveError: an archive cannot be read.
    """
    archives, names = _told_apart(opened.entry.pretrained_on)
    written, more = _written_down(opened)
    archives, names = list(dict.fromkeys([*archives, *written])), list(dict.fromkeys([*names, *more]))
    held = _held(dataset)
    found: set[str] = set()
    warnings: list[str] = []
    sources = {source for _, _, source, _ in held}
    for place in archives:
        some, said = _in_archive(place, held)
        found |= some
        warnings += said
    for name in names:
        for source in sorted(sources):
            if name == source and not archives:
                warnings.append(
                    f"pretrained on {name}, the source of these test images: which of them it saw cannot be told without its "
                    "archive in pretrained_on"
                )
            overlap = overlap_of(name, source)
            if overlap is not None:
                warnings.append(f"{overlap.about}: these test images may have been seen in pretraining")
    if found:
        warnings.append(f"{len(found)} of {len(held)} test images were seen in pretraining")
    return Seen(tuple(one for one, *_ in held if one in found), tuple(dict.fromkeys(warnings)))


Row = tuple[str, str, str, str]  # image, patient, source, SHA-1 of the pixels


def _held(dataset: Dataset) -> list[Row]:
    """The labeled test images."""
    examples = dataset.examples
    labeled = {one for one, split in zip(examples.image_ids, examples.splits, strict=True) if split == "test"}
    return [row for row in _rows(dataset.archive, None) if row[0] in labeled]


def _rows(archive: Archive, where: str | None) -> list[Row]:
    columns = ["image_id", "patient_id", "source", "pixels_sha1"]
    table = archive.images(columns, where=where)
    image, patient, source, sha1 = (table[name].to_pylist() for name in columns)
    return [(i, p, s or "", h) for i, p, s, h in zip(image, patient, source, sha1, strict=True)]


def _in_archive(place: str, held: Sequence[Row]) -> tuple[set[str], list[str]]:
    try:
        pretraining = _rows(Archive.open(place), TRAINED_ON)
    except HilumError as error:
        return set(), [f"whether test images were seen in pretraining cannot be told: {error}"]
    ids, pixels = {(image, source) for image, _, source, _ in pretraining}, {sha1 for *_, sha1 in pretraining}
    found = {image for image, _, source, sha1 in held if (image, source) in ids or sha1 in pixels}
    warnings = []
    patients = {(patient, source) for _, patient, source, _ in pretraining}
    shared = {patient for _, patient, source, _ in held if (patient, source) in patients}
    if shared:
        warnings.append(f"{len(shared)} test patients were in pretraining with other or the same images")
    for other in sorted({source for *_, source, _ in pretraining}):
        for source in sorted({source for _, _, source, _ in held}):
            overlap = overlap_of(other, source)
            if overlap is None:
                continue
            more = seen_images(
                overlap,
                [(image, patient, of) for image, patient, of, _ in held],
                [(patient, of) for _, patient, of, _ in pretraining],
            )
            found |= set(more)
            warnings.append(f"{overlap.about}: {len(more)} of these images may have been seen in pretraining")
    return found, warnings


def _written_down(opened: Opened) -> tuple[list[str], list[str]]:
    """Archives and names of sources that hilum itself wrote into a model when it pretrained it."""

    def told(key: str) -> list[str]:
        return [str(one) for model in opened.members for one in model.provenance.get(key, [])]

    return told("archives"), [name for name in told("sources") if name in SOURCES]


def _told_apart(stated: Sequence[str]) -> tuple[list[str], list[str]]:
    """Archives, and names of sources."""
    archives, names = [], []
    for one in dict.fromkeys(stated):
        if one in SOURCES:
            names.append(one)
        elif "://" in one or Path(one).is_dir():
            archives.append(one)
        else:
            close = suggest(one, list(SOURCES))
            hint = f" Did you mean '{close}'?" if close else ""
            raise UsageError(
                f"pretrained_on: '{one}' is neither a source nor an archive.{hint} Sources: {', '.join(SOURCES)}."
            )
    return archives, names
