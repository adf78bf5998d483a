"""VinDr-CXR (Nguyen et al. 2022, Sci Data 9): three radiologists read each image of train, five agree on test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from hilum.errors import SourceError, TableError, UsageError
from hilum.findings import canonical
from hilum.labelsets import VINDR_14, VINDR_DIAGNOSES, VINDR_MORE
from hilum.sources.cells import label_of, present
from hilum.sources.files import by_stem, contents, find_part, relative, require_folder
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, Statement, no_progress
from hilum.sources.listed import Listed, expect_some
from hilum.sources.readers import AGREEMENT, join_votes
from hilum.tables import read_table

FINDINGS = (*VINDR_14, *VINDR_MORE, *VINDR_DIAGNOSES, "Other Disease", "No Finding")
TABLES = {"train": "image_labels_train.csv", "test": "image_labels_test.csv"}
BOXES = "train.csv"  # of the VinBigData competition
Reading = tuple[str, dict[str, bool]]


class VinDrCxr(Listed):
    """VinDr-CXR from PhysioNet, or the VinBigData competition's copy with 14 findings as boxes.

    Readers of one image are joined: by majority (two of three), or "any" or "all". The test holds the readers' consensus.
    No patient is named: each image stands for one.

    Args:
        readers: "majority", "any" or "all".
        keep_readers: "yes" also keeps what each reader said, as `reader:vindr/R9`.
    """

    name: ClassVar[str] = "vindr"
    title: ClassVar[str] = "VinDr-CXR"
    task: ClassVar[str] = "multi-label, by radiologists looking at the image"
    outputs: ClassVar[tuple[str, ...]] = FINDINGS
    size: ClassVar[str] = "18,000 images (15,000 train, 3,000 test)"
    split: ClassVar[str] = (
        "official test kept; of the other images one in five validates, hashed (66/16/16 of all); the competition's copy "
        "60/20/20 by image, hashed"
    )
    licence: ClassVar[str] = (
        "PhysioNet credentialed access with training and data use agreement; rules of the competition"
    )
    where: ClassVar[str] = "https://physionet.org/content/vindr-cxr/"
    layout: ClassVar[str] = (
        "annotations/image_labels_train.csv (image_id, rad_id, findings) and image_labels_test.csv, "
        "train/<image_id>.dicom and test/<image_id>.dicom; or, of the competition, train.csv (image_id, class_name, "
        "rad_id, ...) and train/."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "which 18 findings were published",
        "whether image ids of the competition are those of PhysioNet",
    )
    train_val: ClassVar[Mapping[str, float]] = {"train": 0.8, "val": 0.2}

    def __init__(self, readers: str = "majority", keep_readers: str = "no") -> None:
        super().__init__()
        if readers not in AGREEMENT:
            raise UsageError(f"source 'vindr': readers is {readers!r}; expected one of {', '.join(AGREEMENT)}.")
        if keep_readers not in ("yes", "no"):
            raise UsageError(f"source 'vindr': keep_readers is {keep_readers!r}; expected yes or no.")
        self._agreement, self._keeps_readers = readers, keep_readers == "yes"

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the tables of labels and look which images are there."""
        require_folder(root, self.name, self.layout)
        self._root = root
        places = [place for place in (root / "annotations", root) if place.is_dir()]
        tables = {
            split: table
            for split, name in TABLES.items()
            if (table := next((found for place in places if (found := find_part(place, name))), None))
        }
        boxes = root / BOXES
        # (image, split) -> its readings
        self._readings: dict[tuple[str, str | None], list[Reading]] = {}
        if tables:
            for split, table in tables.items():
                self._read_labels(table, "train_val" if split == "train" else "test")
            absent = [name for split, name in TABLES.items() if split not in tables]
            if absent:
                self.counts.notes.append(f"{absent[0]} is not there")
        elif boxes.is_file():
            self._read_boxes(boxes)
        else:
            raise SourceError(
                f"{root} lacks annotations/{TABLES['train']}, annotations/{TABLES['test']} and {BOXES}; it holds: "
                f"{contents(root)}. Source 'vindr' expects: {self.layout}"
            )
        folders = [root / name for name in ("train", "test") if (root / name).is_dir()]
        self._files = {stem: file for folder in folders for stem, file in by_stem(folder).items()}
        unlabeled = len(self._files.keys() - {image for image, _ in self._readings})
        if unlabeled:
            self.counts.skip("image without a label", unlabeled)
        listed = (self._files.get(image) for image, _ in self._readings)
        return expect_some(root, ", ".join(table.name for table in tables.values()) or BOXES, listed, self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every labeled image that is there, with what its readers say together."""
        for (image, split), readings in self._readings.items():
            file = self._files.get(image)
            if file is None:
                continue
            names = [name for name in FINDINGS if any(name in found for _, found in readings)]
            votes = {name: [found[name] for _, found in readings if name in found] for name in names}
            opinions = (
                Statement(name, present(seen), f"reader:vindr/{reader}")
                for reader, found in readings
                if self._keeps_readers and reader
                for name, seen in found.items()
            )
            facts = Facts(
                image_id=image,
                study_id=f"vindr-{image}",
                patient_id=f"vindr-{image}",
                split=split,
                labels=tuple((name, join_votes(votes[name], self._agreement)) for name in names),
                statements=tuple(opinions),
            )
            yield Entry(relative(file, self._root), file, facts)

    def _read_labels(self, table: Path, split: str) -> None:
        """One row a reader (train) or an image (test), one column a finding; `Other diseases` has two spellings."""
        read = read_table(table, columns_needed=("image_id",), numbers=False)
        columns = {name: canonical(name) for name in read.column_names if canonical(name) in FINDINGS}
        if not columns:
            raise TableError(f"{table} has none of the findings. Its columns: {', '.join(read.column_names)}.")
        for number, row in enumerate(read.to_pylist(), start=1):
            found = {}
            for column, finding in columns.items():
                try:
                    value = label_of(row[column])
                except KeyError:
                    raise TableError(
                        f"{table}, row {number}: '{column}' is {row[column]!r}; expected 1 or 0."
                    ) from None
                if value is not None:
                    found[finding] = value is present(True)
            reading = (row.get("rad_id") or "", found)
            self._readings.setdefault((row["image_id"] or "", split), []).append(reading)

    def _read_boxes(self, table: Path) -> None:
        """One row a box, or `No finding`; a reader who drew no box of a finding did not see it."""
        rows: list[dict[str, Any]] = read_table(
            table, columns_needed=("image_id", "class_name", "rad_id"), numbers=False
        ).to_pylist()
        stated = (*VINDR_14, "No Finding")
        seen: dict[str, dict[str, set[str]]] = {}
        for number, row in enumerate(rows, start=1):
            name = canonical(row["class_name"] or "")
            if name not in stated:
                raise TableError(
                    f"{table}, row {number}: 'class_name' is {row['class_name']!r}; expected one of 14 findings or No finding."
                )
            seen.setdefault(row["image_id"] or "", {}).setdefault(row["rad_id"] or "", set()).add(name)
        for image, readers in seen.items():
            self._readings[image, None] = [
                (reader, {name: name in names for name in stated}) for reader, names in readers.items()
            ]
