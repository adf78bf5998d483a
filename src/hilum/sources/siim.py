"""SIIM-ACR Pneumothorax Segmentation (2019): one mask or several, or none, for each radiograph of ChestX-ray14's making."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError
from hilum.sources.cells import present
from hilum.sources.files import by_stem, contents, find_part, inside, relative, require_folder
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, expect_some, grouped
from hilum.tables import read_table

TABLES = ("stage_2_train.csv", "train-rle.csv", "*train-rle*.csv")
FOLDERS = ("dicom-images-train", "dicom-images-test", "stage_2_images", "png_images")
NO_MASK = "-1"
# The PNG copy names files 0_train_1_.png: the label follows the word.
LABEL_IN_NAME = re.compile(r"(?:^|_)(?:train|test)_(?P<label>[01])(?:_|$)")


class SiimAcr(Listed):
    """SIIM-ACR Pneumothorax.

    An image has pneumothorax when any of its rows holds a mask; `-1`, with or without a blank before it, is no mask.
    Masks themselves are not kept. Each image stands for a patient: the files name no other.
    """

    name: ClassVar[str] = "siim"
    title: ClassVar[str] = "SIIM-ACR Pneumothorax"
    task: ClassVar[str] = "binary: pneumothorax"
    outputs: ClassVar[tuple[str, ...]] = ("Pneumothorax",)
    size: ClassVar[str] = "12,047 labeled images (12,954 rows); 3,205 of stage 2 without public labels"
    split: ClassVar[str] = "60/20/20 by image, hashed (no patient is named)"
    licence: ClassVar[str] = "rules of the Kaggle competition; images from NIH ChestX-ray14"
    where: ClassVar[str] = "https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation"
    layout: ClassVar[str] = (
        "stage_2_train.csv or train-rle.csv (ImageId, EncodedPixels), and dicom-images-train/, dicom-images-test/ or "
        "stage_2_images/ with <ImageId>.dcm at any depth; or the PNG copy: png_images/*_train_{0,1}_*.png."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "that the 3,205 images of stage 2 have no public labels",
        "that PatientID in the DICOM headers differs for each image; it is not used",
        "the names of the PNG copy, and that the digit in them is the label in its test files too",
    )

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the table of masks and look which images are there; without a table, the PNG copy."""
        require_folder(root, self.name, self.layout)
        self._root = root
        home = inside(root, "siim")
        folders = [home / folder for folder in FOLDERS if (home / folder).is_dir()]
        files = {stem: file for folder in reversed(folders) for stem, file in by_stem(folder).items()}
        table = find_part(home, *TABLES)
        self._labels: dict[str, bool]
        if table is not None:
            rows = read_table(table, columns_needed=("ImageId", "EncodedPixels"), numbers=False).to_pylist()
            self._labels = {
                image.strip(): any((row["EncodedPixels"] or "").strip() not in ("", NO_MASK) for row in of_image)
                for image, of_image in grouped(rows, "ImageId").items()
            }
            self._labels.pop("", None)
        else:
            read = {stem: LABEL_IN_NAME.search(stem) for stem in files}
            self._labels = {stem: match["label"] == "1" for stem, match in read.items() if match}
            table = home / "png_images"
        if not folders or not self._labels:
            lacks = f"has none of {', '.join(FOLDERS)}" if not folders else f"lacks {TABLES[0]} (or {TABLES[1]})"
            raise SourceError(f"{home} {lacks}; it holds: {contents(home)}. Source 'siim' expects: {self.layout}")
        self._files = files
        unlabeled = len(files.keys() - self._labels.keys())
        if unlabeled:
            self.counts.skip("image without a public label", unlabeled)
        return expect_some(root, table.name, (files.get(image) for image in self._labels), self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every labeled image that is there, in the order of the table."""
        for image, has_pneumothorax in self._labels.items():
            file = self._files.get(image)
            if file is not None:
                labels = (("Pneumothorax", present(has_pneumothorax)),)
                name = f"siim-{image}"
                yield Entry(relative(file, self._root), file, Facts(image, image, name, labels=labels))
