"""Labels of an archive as a table with one row an image: the truth of an evaluation, or a table for another program."""

from __future__ import annotations

import difflib

import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive.archive import Archive
from hilum.errors import ArchiveError, UsageError
from hilum.findings import CHEXPERT, OTHER, LabelValue

IDS = ("image_id", "study_id", "patient_id", "split")


def export_labels(archive: Archive, said_by: str | None = None, where: str | None = None) -> pa.Table:
    """One row an image and one column a finding, in CheXpert's codes.

    A statement about a study holds for each of its images; one about the image itself comes first.

    Args:
        archive: with labels.
        said_by: whose labels, such as "dataset:nih"; may be left out where only one has spoken.
        where: which images, for example "split = 'test' AND view != 'lateral'".

    Returns:
        `image_id`, `study_id`, `patient_id`, `split`, then findings as int8: 1 positive, 0 negative, -1 uncertain, null
        not mentioned or nothing said. Findings in the vocabulary's order, others after them by name.

    Raises:
        UsageError: nobody of this name has spoken, several have and none is named, or no image fits `where`.
        ArchiveError: there are no labels, or `where` cannot be used.
    """
    labels = archive.labels(["study_id", "image_id", "finding", "value", "said_by"])
    speakers = sorted(pc.unique(labels["said_by"]).to_pylist())
    labels = labels.filter(pc.equal(labels["said_by"], _speaker(archive, speakers, said_by)))
    images = archive.images([*IDS], where=where).drop_columns(["row"])
    if not len(images):
        raise UsageError(f"{archive.path}: no image fits {where!r}.")
    code = {value.value: value.chexpert for value in LabelValue}
    of_study: dict[tuple[str, str], int | None] = {}
    of_image: dict[tuple[str, str], int | None] = {}
    for row in labels.to_pylist():
        if row["image_id"] is None:
            of_study[row["study_id"], row["finding"]] = code[row["value"]]
        else:
            of_image[row["image_id"], row["finding"]] = code[row["value"]]
    ids = list(zip(images["image_id"].to_pylist(), images["study_id"].to_pylist(), strict=True))
    table = images
    for finding in _in_order(pc.unique(labels["finding"]).to_pylist()):
        said = [of_image.get((image, finding), of_study.get((study, finding))) for image, study in ids]
        table = table.append_column(finding, pa.array(said, pa.int8()))
    return table


def _speaker(archive: Archive, speakers: list[str], said_by: str | None) -> str:
    if not speakers:
        raise ArchiveError(
            f"{archive.path} holds no labels. Ingest a dataset that has some, or label its reports with hilum label."
        )
    listed = ", ".join(speakers)
    if said_by is None:
        if len(speakers) > 1:
            raise UsageError(f"{archive.path} holds labels of several: {listed}. Name one with --said-by.")
        return speakers[0]
    if said_by not in speakers:
        close = difflib.get_close_matches(said_by, speakers, n=1) or [s for s in speakers if said_by in s]
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UsageError(f"{archive.path} holds no labels of '{said_by}'.{hint} There are those of: {listed}.")
    return said_by


def _in_order(findings: list[str]) -> list[str]:
    known = [finding.name for finding in (*CHEXPERT, *OTHER)]
    return sorted(findings, key=lambda name: (known.index(name) if name in known else len(known), name))
