"""RSNA Pneumonia Detection Challenge, stage 2 (Shih et al. 2019, Radiology: AI 1): boxes of lung opacity, or none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError
from hilum.findings import LabelValue, fold
from hilum.labelsets import RSNA_3
from hilum.sources.cells import one_of, present
from hilum.sources.files import by_name, find_part, relative, require_parts
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, expect_some, grouped
from hilum.tables import read_table

CLASSES = {"normal": RSNA_3[0], "no lung opacity / not normal": RSNA_3[1], "lung opacity": RSNA_3[2]}
TARGETS = {"1": True, "1.0": True, "0": False, "0.0": False}
MAPPINGS = ("pneumonia-challenge-dataset-mappings_2018.json", "*mappings*.json")
NIH_IMAGE = re.compile(r"(\d{8})_\d{3}")


class RsnaPneumonia(Listed):
    """RSNA Pneumonia: Pneumonia where any row of an image has Target 1; the detailed class where its table is there.

    Several rows of one image are several boxes; boxes are not kept. `patientId` names an image. Where the challenge's
    mapping to ChestX-ray14 is there, the patient is ChestX-ray14's, so that one patient gets one split.
    """

    name: ClassVar[str] = "rsna"
    title: ClassVar[str] = "RSNA Pneumonia Detection"
    task: ClassVar[str] = "binary: pneumonia-like opacity; multi-class with normal and other abnormal"
    outputs: ClassVar[tuple[str, ...]] = ("Pneumonia", *RSNA_3)
    size: ClassVar[str] = "26,684 labeled images (30,227 rows); 3,000 of the test without labels"
    split: ClassVar[str] = "60/20/20 by image, hashed; by patient of ChestX-ray14 with the mapping file"
    licence: ClassVar[str] = "rules of the Kaggle competition; images from NIH ChestX-ray14"
    where: ClassVar[str] = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge"
    layout: ClassVar[str] = (
        "stage_2_train_labels.csv (patientId, ..., Target) and stage_2_train_images/<patientId>.dcm; where they are there, "
        "stage_2_detailed_class_info.csv and pneumonia-challenge-dataset-mappings_2018.json."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = ("the name and the fields (subset_img_id, img_id) of the mapping file",)

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the labels and look which images are there."""
        self._root = root
        table, folder = require_parts(root, self.name, self.layout, "stage_2_train_labels.csv", "stage_2_train_images")
        rows = read_table(table, columns_needed=("patientId", "Target"), numbers=False).to_pylist()
        self._rows = grouped(rows, "patientId")
        self._rows.pop("", None)
        self._table = table
        self._classes = self._detailed(root)
        self._patients = self._mapped(root)
        self._files = {file.stem: file for file in by_name([folder]).values()}
        if (root / "stage_2_test_images").is_dir():
            self.counts.skip("test image without a public label", len(by_name([root / "stage_2_test_images"])))
        return expect_some(root, table.name, (self._files.get(image) for image in self._rows), self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every labeled image that is there, in the order of the table."""
        for image, rows in self._rows.items():
            file = self._files.get(image)
            if file is None:
                continue
            path = relative(file, self._root)
            targets = [TARGETS.get((row["Target"] or "").strip()) for row in rows]
            if None in targets:
                yield Rejected(path, "unknown_label", f"{self._table.name}, {image}: 'Target' is not 1 or 0.")
                continue
            labels: tuple[tuple[str, LabelValue], ...] = (("Pneumonia", present(any(targets))),)
            detailed = self._classes.get(image)
            if detailed is not None:
                if fold(detailed) not in CLASSES:
                    yield Rejected(
                        path,
                        "unknown_label",
                        f"{image}: 'class' is {detailed!r}; expected one of {', '.join(CLASSES)}.",
                    )
                    continue
                labels += one_of(RSNA_3, CLASSES[fold(detailed)])
            patient = self._patients.get(image, f"rsna-{image}")
            yield Entry(path, file, Facts(image, f"rsna-{image}", patient, labels=labels))

    def _detailed(self, root: Path) -> dict[str, str]:
        path = find_part(root, "stage_2_detailed_class_info.csv")
        if path is None:
            self.counts.notes.append("no stage_2_detailed_class_info.csv: no detailed classes")
            return {}
        rows = read_table(path, columns_needed=("patientId", "class"), numbers=False).to_pylist()
        return {row["patientId"]: row["class"] for row in rows if row["class"]}

    def _mapped(self, root: Path) -> dict[str, str]:
        """Image -> patient of ChestX-ray14, from the challenge's mapping."""
        path = find_part(root, *MAPPINGS)
        if path is None:
            self.counts.notes.append("no mapping to ChestX-ray14: each image stands for a patient")
            return {}
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            pairs = [(row["subset_img_id"], NIH_IMAGE.search(row["img_id"])) for row in rows]
        except (ValueError, TypeError, KeyError) as error:
            raise SourceError(
                f"{path}: expected a list with subset_img_id and img_id ({type(error).__name__}: {error}). Move it away to "
                "go on without it."
            ) from error
        return {image: f"nih-{int(match[1])}" for image, match in pairs if match}
