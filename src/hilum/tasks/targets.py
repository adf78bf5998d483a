"""What to predict: a label set or findings by name, and what an archive's labels say of it, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hilum.archive import SPLITS, Archive, export_labels, patients_in_two_splits
from hilum.errors import UsageError
from hilum.findings import LabelValue, canonical, suggest
from hilum.labelsets import LABEL_SETS, LabelSet, label_set
from hilum.tables import read_table
from hilum.tasks.label_tables import truth_from_table

IDS = ("image_id", "study_id", "patient_id", "split")
OF_CODE = {1: LabelValue.POSITIVE, 0: LabelValue.NEGATIVE, -1: LabelValue.UNCERTAIN}


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with what is known of them.

    Attributes:
        target: the label set.
        image_ids: N ids; `study_ids`, `patient_ids` and `splits` go with them (a split may be None).
        truth: binary and multi-label: (N, C) 1, 0 and NaN; multi-class and ordinal: (N,) class numbers and NaN.
        said_by: whose labels.
        remarks: what a reader of the numbers should know: patients in two splits, ids that did not match.
    """

    target: LabelSet
    image_ids: list[str]
    study_ids: list[str]
    patient_ids: list[str]
    splits: list[str | None]
    truth: np.ndarray
    said_by: str
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def is_classes(self) -> bool:
        """Whether an image is one of several classes."""
        return self.truth.ndim == 1

    @property
    def known(self) -> np.ndarray:
        """(N,) bool: anything is known of the image."""
        missing = np.isnan(self.truth)
        return ~missing if self.is_classes else ~missing.all(axis=1)

    def take(self, rows: np.ndarray) -> Examples:
        """The examples at these positions, or where this mask is true."""
        at = np.flatnonzero(rows) if rows.dtype == bool else rows

        def some(values: list[Any]) -> list[Any]:
            return [values[place] for place in at]

        parts = some(self.image_ids), some(self.study_ids), some(self.patient_ids), some(self.splits)
        return Examples(self.target, *parts, self.truth[at], self.said_by, self.remarks)

    def without(self, image_ids: Sequence[str]) -> Examples:
        """The examples less these images."""
        if not len(image_ids):
            return self
        gone = set(image_ids)
        return self.take(np.array([one not in gone for one in self.image_ids], bool))

    def of_split(self, split: str) -> Examples:
        """The examples of one split that have a label."""
        return self.take(np.array([one == split for one in self.splits], bool) & self.known)

    def columns(self) -> np.ndarray:
        """(N, C') 1, 0 and NaN, as `score_names` are named: what an evaluation compares scores with."""
        if not self.is_classes:
            return self.truth
        count = len(self.target.classes)
        if self.target.task == "ordinal":
            found = (self.truth[:, None] > np.arange(count - 1)).astype(np.float64)
        else:
            found = (self.truth[:, None] == np.arange(count)).astype(np.float64)
        found[np.isnan(self.truth)] = np.nan
        return found

    def table(self) -> pa.Table:
        """One row an image: ids, split, and a column for each of `score_names`: 1, 0 or null."""
        columns: dict[str, pa.Array] = {
            "image_id": pa.array(self.image_ids, pa.string()),
            "study_id": pa.array(self.study_ids, pa.string()),
            "patient_id": pa.array(self.patient_ids, pa.string()),
            "split": pa.array(self.splits, pa.string()),
        }
        for name, column in zip(score_names(self.target), self.columns().T, strict=True):
            columns[name] = pa.array(np.nan_to_num(column).astype(np.int8), mask=np.isnan(column))
        return pa.table(columns)


def score_names(target: LabelSet) -> tuple[str, ...]:
    """The columns of a table of scores: findings or classes; of ordered classes, each step: "X or more".

    Example:
        >>> score_names(LABEL_SETS["edema-severity"])[0]
        'Edema Severity 1 or more'
    """
    if target.task != "ordinal":
        return target.classes
    return tuple(f"{name} or more" for name in target.classes[1:])


def find_target(target: str | Sequence[str] | LabelSet | None) -> LabelSet | None:
    """A label set by name, or findings by name ("edema", "edema,pneumonia" or a list); None stays None: all there are.

    Raises:
        UsageError: a name is blank or repeated, or looks like a misspelled label set.
    """
    if target is None or isinstance(target, LabelSet):
        return target
    if isinstance(target, str):
        if target in LABEL_SETS or target.lower().replace(" ", "-") in LABEL_SETS:
            return label_set(target if target in LABEL_SETS else target.lower().replace(" ", "-"))
        target = target.split(",")
    names = [canonical(name) for name in target]
    if not names or not all(names) or len(set(names)) < len(names):
        raise UsageError(f"target {', '.join(target)!r}: expected a label set or findings, none blank and none twice.")
    return LabelSet(",".join(names), "binary" if len(names) == 1 else "multi-label", tuple(names))


def examples_of(
    archive: Archive | str | Path,
    target: str | Sequence[str] | LabelSet | None = None,
    *,
    said_by: str | None = None,
    labels: str | Path | None = None,
    where: str | None = None,
) -> Examples:
    """Every image of an archive that has a label of the target.

    Args:
        archive: the archive, or its path.
        target: a label set, its name, or findings; default every finding that the labels state.
        said_by: whose labels; may be left out where only one has spoken, or only one dataset.
        labels: a table of labels in place of the archive's: an id column and one column a finding of 1, 0, -1 or blank.
        where: which images, for example "view != 'lateral'".

    Raises:
        UsageError, TableError, ArchiveError: the target has no label there, or the labels cannot be read.
    """
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    wanted, remarks = find_target(target), []
    if labels is None:
        speaker = said_by or _only_dataset(archive)
        table = export_labels(archive, speaker, where)
        whose = speaker or _only_speaker(archive)
    else:
        images = archive.images([*IDS], where=where).drop_columns(["row"])
        table, unknown = truth_from_table(Path(labels), read_table(Path(labels), numbers=False), images)
        whose = str(labels)
        remarks += unknown
    found = [name for name in table.column_names if name not in IDS]
    if wanted is None:
        wanted = LabelSet("all findings", "binary" if len(found) == 1 else "multi-label", tuple(found))
    _require_some(wanted, found, whose, archive)
    truth, odd = _truth(wanted, table, found)
    remarks += odd + _leaks(archive)
    images, studies, patients, splits = (table[name].to_pylist() for name in IDS)
    examples = Examples(wanted, images, studies, patients, splits, truth, whose, tuple(remarks))
    return examples.take(examples.known)


def require_split(examples: Examples, split: str, archive: Archive | Path) -> Examples:
    """The examples of a split.

    Raises:
        UsageError: there is none; the message says how many each split has.
    """
    chosen = examples.of_split(split)
    if len(chosen):
        return chosen
    counts = {one: examples.splits.count(one) for one in (*SPLITS, None)}
    listed = ", ".join(f"{one or 'no split'}: {count}" for one, count in counts.items())
    place = archive.path if isinstance(archive, Archive) else archive
    raise UsageError(
        f"{place}: no image of the split '{split}' has a label of '{examples.target.name}' ({listed}). Ingest the dataset "
        "with its official split, or give every patient one when ingesting (--split)."
    )


def _only_dataset(archive: Archive) -> str | None:
    """The one dataset that has spoken, where labelers have spoken too."""
    speakers = sorted(set(archive.labels(["said_by"])["said_by"].to_pylist()))
    datasets = [one for one in speakers if one.startswith("dataset:")]
    return datasets[0] if len(datasets) == 1 else None


def _only_speaker(archive: Archive) -> str:
    return str(archive.labels(["said_by"])["said_by"][0].as_py())


def _require_some(target: LabelSet, found: Sequence[str], whose: str, archive: Archive) -> None:
    missing = [name for name in target.classes if name not in found]
    if len(missing) < len(target.classes):
        return
    close = suggest(missing[0], list(found))
    sets = suggest(target.name, list(LABEL_SETS))
    hint = f" Did you mean '{close}'?" if close else f" Did you mean the label set '{sets}'?" if sets else ""
    raise UsageError(
        f"{archive.path}: {whose} says nothing of {', '.join(missing[:6])}.{hint} It states: {', '.join(found[:20])}. "
        f"Label sets: {', '.join(LABEL_SETS)}."
    )


def _truth(target: LabelSet, table: pa.Table, found: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Truth as `Examples` holds it, and remarks on images that are of no class, or of several."""
    said = np.full((len(table), len(target.classes)), np.nan)
    labeled = np.zeros(len(table), bool)  # images of which anything at all is said
    for name in found:
        labeled |= table[name].is_valid().to_numpy()
    for column, name in enumerate(target.classes):
        codes = table[name].to_pylist() if name in found else [None] * len(table)
        values = [target.target(name, OF_CODE[code] if code is not None else None) for code in codes]
        said[:, column] = [np.nan if value is None else value for value in values]
    said[~labeled] = np.nan
    if target.task not in ("multi-class", "ordinal"):
        return said, []
    positive = said == 1
    one = positive.sum(axis=1) == 1
    classes = np.where(one, positive.argmax(axis=1), np.nan).astype(np.float64)
    none, several = int((labeled & ~positive.any(1)).sum()), int((positive.sum(1) > 1).sum())
    remarks = [f"{none} labeled images are of no class of '{target.name}' and left out"] * bool(none)
    remarks += [f"{several} images are of several classes of '{target.name}' and left out"] * bool(several)
    return classes, remarks


def _leaks(archive: Archive) -> list[str]:
    both = patients_in_two_splits(archive)
    if not both:
        return []
    patient, splits = next(iter(both.items()))
    return [
        f"{len(both)} patients have images in two splits, such as {patient} ({' and '.join(splits)}): they are tested on what "
        "was trained on. Give each patient one split (hilum check lists them)."
    ]
