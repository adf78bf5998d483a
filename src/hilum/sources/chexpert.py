"""CheXpert (Irvin et al. 2019, arXiv:1901.07031): train mined from reports, valid and test by radiologists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from hilum.errors import SourceError, TableError
from hilum.findings import CHEXPERT_NAMES, canonical
from hilum.sources.cells import possible_age, sex_of
from hilum.sources.files import IMAGE_SUFFIXES, contents, find_part, relative, require_folder, walk
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, Statement, no_progress
from hilum.sources.listed import Listed, UnknownCode, coded_labels, expect_some
from hilum.tables import read_table

RELEASES = ("CheXpert-v1.0-small", "CheXpert-v1.0", "CheXpert-v1.0-*")
TRUTH_TABLES = ("test_labels.csv", "groundtruth.csv", "*groundtruth*.csv")
IN_PATH = re.compile(r"(?P<split>train|valid|test)/(?P<patient>patient\d+)/(?P<study>study\d+)(?:/(?P<view>[^/]+))?$")
SPLITS = {"train": "train", "valid": "val", "test": "test"}


class CheXpert(Listed):
    """CheXpert: train.csv and valid.csv list images, the test's truth lists studies.

    Blank cells (not mentioned) state nothing, -1 stays uncertain; the label sets say how both count. A study's number is
    its order. Age 0 is unknown. Beside the test's truth, other tables with a column `Study` hold the opinions of single
    radiologists and of labelers; they are kept as theirs.
    """

    name: ClassVar[str] = "chexpert"
    title: ClassVar[str] = "CheXpert"
    task: ClassVar[str] = "multi-label, mined from reports (train) and by radiologists (valid, test)"
    outputs: ClassVar[tuple[str, ...]] = CHEXPERT_NAMES
    size: ClassVar[str] = (
        "223,414 images of 64,540 patients in train, 234 images (200 studies) in valid, 500 studies in test"
    )
    split: ClassVar[str] = "official (train, valid, test)"
    licence: ClassVar[str] = "Stanford University Dataset Research Use Agreement"
    where: ClassVar[str] = "https://aimi.stanford.edu/datasets/chexpert-chest-x-rays"
    layout: ClassVar[str] = (
        "CheXpert-v1.0[-small]/ or that folder itself: train.csv, valid.csv (Path, Sex, Age, Frontal/Lateral, AP/PA, 14 "
        "findings), {train,valid,test}/patient00001/study1/view1_frontal.jpg; for the test groundtruth.csv (Study, 14 "
        "findings), other tables of readers beside it."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "that a study's number grows with time",
        "the file names of the test's tables other than groundtruth.csv",
    )

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the tables of all splits that are there."""
        require_folder(root, self.name, self.layout)
        self._root = root
        self._home = release_in(root)
        self._opinions: dict[str, list[Statement]] = {}
        self._rows: list[dict[str, Any]] = []
        for name in ("train.csv", "valid.csv"):
            if (self._home / name).is_file():
                self._rows += image_rows(self._home / name)
            else:
                self.counts.notes.append(f"{name} is not there")
        self._rows += self._test_rows(root)
        if not self._rows:
            raise SourceError(
                f"{self._home} lacks train.csv, valid.csv and a truth of the test (groundtruth.csv); it holds: "
                f"{contents(self._home)}. Source 'chexpert' expects: {self.layout}"
            )
        return expect_some(root, "the tables of CheXpert", (self._home / row["key"] for row in self._rows), self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every listed image that is there: train, valid, test."""
        for row in self._rows:
            file = self._home / row["key"]
            if file.is_file():
                yield image_entry(row, file, relative(file, self._root), self._opinions)

    def _test_rows(self, root: Path) -> Iterator[dict[str, Any]]:
        """One row for each image of the test, with the labels of its study."""
        places = [self._home, self._home / "test", root, *sorted(path for path in root.glob("*") if path.is_dir())]
        truth = next((found for place in places if (found := find_part(place, *TRUTH_TABLES))), None)
        if truth is None:
            return
        for path in sorted(truth.parent.glob("*.csv")):
            columns, rows = ({}, {}) if path.name in (truth.name, "train.csv", "valid.csv") else _study_rows(path)
            for study, row in rows.items():
                said = [
                    Statement(finding, value, f"reader:chexpert/{path.stem}", of_study=True)
                    for finding, value in coded_labels(row, columns)
                ]
                self._opinions.setdefault(study, []).extend(said)
        columns, rows = _study_rows(truth)
        if not columns:
            raise TableError(f"{truth} has no column 'Study' or 'Path', or none of the 14 findings.")
        for study, row in rows.items():
            folder = self._home / study
            images = [file for file in walk(folder) if file.suffix.lower() in IMAGE_SUFFIXES] if folder.is_dir() else []
            keys = [file.relative_to(self._home).as_posix() for file in images] or [f"{study}/view1_frontal.jpg"]
            labels = {name: row[name] for name in columns}
            yield from ({"where": f"{truth.name}, {study}", "key": key, "of_study": True, **labels} for key in keys)


def release_in(root: Path) -> Path:
    """The folder of the release: `root`, or the one in it."""
    if (root / "train").is_dir() or (root / "valid").is_dir() or (root / "test").is_dir():
        return root
    return find_part(root, *RELEASES) or root


def image_rows(table: Path) -> list[dict[str, Any]]:
    """The rows of a table with a `Path` column; `key` is the path from the split's name on.

    Raises:
        TableError: the columns are not there, or a path is not one of CheXpert.
    """
    rows = read_table(table, columns_needed=("Path", *CHEXPERT_NAMES), numbers=False).to_pylist()
    for number, row in enumerate(rows, start=1):
        match = IN_PATH.search(row["Path"] or "")
        if match is None or match["view"] is None:
            raise TableError(
                f"{table}, row {number}: 'Path' is {row['Path']!r}; expected .../train/patient00001/study1/view1_frontal.jpg."
            )
        row["key"], row["where"] = match[0], f"{table.name} row {number}"
    return rows


def image_entry(
    row: Mapping[str, Any], file: Path, path: str, opinions: Mapping[str, Iterable[Statement]]
) -> Entry | Rejected:
    """One image with its facts; a label cell that holds no known code rejects it."""
    match = IN_PATH.search(row["key"])
    assert match is not None, row["key"]
    study = f"{match['split']}/{match['patient']}/{match['study']}"
    is_lateral = "lateral" in (row.get("Frontal/Lateral") or match["view"]).lower()
    projection = {"AP": "ap", "PA": "pa"}.get((row.get("AP/PA") or "").strip().upper(), "unknown")
    age = possible_age(row.get("Age"))
    try:
        labels = tuple(coded_labels(row, {name: name for name in CHEXPERT_NAMES}))
    except UnknownCode as error:
        return Rejected(path, "unknown_label", f"{row['where']}: {error}.")
    said = tuple(Statement(finding, value, of_study=True) for finding, value in labels) if row.get("of_study") else ()
    facts = Facts(
        image_id=match[0],
        study_id=f"chexpert-{study}",
        patient_id=f"chexpert-{match['patient']}",
        view="lateral" if is_lateral else projection,
        study_order=int(match["study"].removeprefix("study")),
        age_years=age or None,  # 0 stands for unknown
        sex=sex_of(row.get("Sex")),
        split=SPLITS[match["split"]],
        labels=() if row.get("of_study") else labels,
        statements=(*said, *opinions.get(study, ())),
    )
    return Entry(path, file, facts)


def _study_rows(path: Path) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Findings by column, and rows by study; both empty for a table of something else."""
    table = read_table(path, numbers=False)
    columns = {name: canonical(name) for name in table.column_names if canonical(name) in CHEXPERT_NAMES}
    key = next((name for name in ("Study", "Path") if name in table.column_names), None)
    if key is None or not columns:
        return {}, {}
    rows = {}
    for row in table.to_pylist():
        match = IN_PATH.search((row[key] or "").rstrip("/"))
        if match is not None and match["split"] == "test":
            rows[f"test/{match['patient']}/{match['study']}"] = {canonical(name): row[name] for name in columns}
    return {name: name for name in columns.values()}, rows
