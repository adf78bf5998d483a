"""RANZCR CLiP (Tang et al. 2021, "CLiP, catheter and line position dataset"): tubes and catheters, well placed or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hilum.labelsets import RANZCR_11
from hilum.sources.files import by_name, relative, require_parts
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, UnknownCode, coded_labels, expect_some
from hilum.tables import read_table


class Ranzcr(Listed):
    """RANZCR CLiP.

    The 11 columns keep their names: they tell of lines, not of the lungs. Images come from ChestX-ray14, under other
    names and other patient numbers.
    """

    name: ClassVar[str] = "ranzcr"
    title: ClassVar[str] = "RANZCR CLiP"
    task: ClassVar[str] = "multi-label: position of tubes and catheters"
    outputs: ClassVar[tuple[str, ...]] = RANZCR_11
    size: ClassVar[str] = "30,083 labeled images; the 3,582 of the test have no public labels"
    licence: ClassVar[str] = "rules of the Kaggle competition; images from NIH ChestX-ray14"
    where: ClassVar[str] = "https://www.kaggle.com/c/ranzcr-clip-catheter-line-classification"
    layout: ClassVar[str] = "train.csv (StudyInstanceUID, 11 columns, PatientID) and train/<StudyInstanceUID>.jpg."
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "the number of test images",
        "the columns of train_annotations.csv, not read",
    )

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read train.csv and look which images are there."""
        self._root = root
        self._table, folder = require_parts(root, self.name, self.layout, "train.csv", "train")
        needed = ("StudyInstanceUID", "PatientID", *RANZCR_11)
        self._rows = read_table(self._table, columns_needed=needed, numbers=False).to_pylist()
        self._files = {file.stem: file for file in by_name([folder]).values()}
        if (root / "test").is_dir():
            self.counts.skip("test image without a public label", len(by_name([root / "test"])))
        listed = [self._files.get(row["StudyInstanceUID"]) for row in self._rows]
        return expect_some(root, self._table.name, listed, self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every listed image that is there, in the order of the table."""
        columns = {name: name for name in RANZCR_11}
        for number, row in enumerate(self._rows, start=1):
            where = f"{self._table.name} row {number}"
            study, patient = row["StudyInstanceUID"], row["PatientID"]
            if study is None or patient is None:
                yield Rejected(where, "blank_id", f"{where}: 'StudyInstanceUID' or 'PatientID' is blank.")
                continue
            file = self._files.get(study)
            if file is None:
                continue
            path = relative(file, self._root)
            try:
                labels = tuple(coded_labels(row, columns))
            except UnknownCode as error:
                yield Rejected(path, "unknown_label", f"{where}: {error}.")
                continue
            yield Entry(path, file, Facts(study, study, f"ranzcr-{patient}", labels=labels))
