"""Pediatric Pneumonia (Kermany et al. 2018, Cell 172): children of one to five years, bacterial or viral pneumonia or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError
from hilum.sources.cells import one_of, present
from hilum.sources.files import by_name, contents, inside, relative, require_folder
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed

CLASSES = {"normal": False, "pneumonia": True}
CAUSES = ("No Finding", "Bacterial", "Viral")
# person1_bacteria_2.jpeg, IM-0115-0001.jpeg, NORMAL2-IM-0383-0001-0002.jpeg; BACTERIA-1008087-0001.jpeg in later releases.
OF_PERSON = re.compile(r"person(?P<patient>\d+)_(?P<cause>bacteria|virus)_\d+", re.I)
OF_NORMAL = re.compile(r"(?:NORMAL2-)?IM-(?P<patient>\d+)-\d+", re.I)
LATER = re.compile(r"(?P<cause>NORMAL|BACTERIA|VIRUS)-(?P<patient>\d+)-\d+", re.I)


class PediatricPneumonia(Listed):
    """Pediatric Pneumonia.

    The patient is the number in the file name. Numbers of the train and test folders are not comparable, so the folder
    is a part of the patient's id; the 16 images of `val`, which Kaggle's copy took from train, are train's. `IM-0115` and
    `NORMAL2-IM-0115` count as one patient: where that is wrong, two patients share a split, which does no harm.
    """

    name: ClassVar[str] = "pediatric"
    title: ClassVar[str] = "Pediatric Pneumonia (Kermany et al. 2018)"
    task: ClassVar[str] = "binary: pneumonia; bacterial or viral by the file name"
    outputs: ClassVar[tuple[str, ...]] = ("Pneumonia", *CAUSES)
    size: ClassVar[str] = "5,856 images (test 624)"
    split: ClassVar[str] = (
        "official test folder kept; of the other patients one in nine validates, hashed (80/10/10 of all); without a test "
        "folder 60/20/20 by patient, hashed"
    )
    licence: ClassVar[str] = "CC BY 4.0"
    where: ClassVar[str] = "https://data.mendeley.com/datasets/rscbjbr9sj"
    layout: ClassVar[str] = "chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg, or these folders themselves."
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "that the number in a file name is the patient",
        "that numbers of the train and test folders are not comparable",
    )
    train_val: ClassVar[Mapping[str, float]] = {"train": 8 / 9, "val": 1 / 9}

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """List the class folders."""
        require_folder(root, self.name, self.layout)
        self._root = root
        home = inside(root, "chest_xray", "CellData/chest_xray")
        self._files: list[tuple[str, bool, Path]] = []
        for folder in ("train", "val", "test"):
            for place in sorted(home.glob(f"{folder}/*")):
                if place.name.lower() in CLASSES and place.is_dir():
                    is_pneumonia = CLASSES[place.name.lower()]
                    self._files += [(folder, is_pneumonia, file) for file in by_name([place]).values()]
        if not self._files:
            raise SourceError(
                f"{home} has no images in train/NORMAL, train/PNEUMONIA or their likes; it holds: {contents(home)}. "
                f"Source 'pediatric' expects: {self.layout}"
            )
        self._has_test = any(folder == "test" for folder, _, _ in self._files)
        if not self._has_test:
            self.counts.notes.append("there is no test folder: the patients of train and val are split 60/20/20")
        return len(self._files)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every image, folder by folder."""
        for folder, is_pneumonia, file in self._files:
            path = relative(file, self._root)
            read = OF_PERSON.match(file.stem) or OF_NORMAL.match(file.stem) or LATER.match(file.stem)
            if read is None:
                yield Rejected(
                    path, "no_patient", f"{path}: no patient in its name; expected person1_bacteria_2 or IM-0115-0001."
                )
                continue
            cause = {"bacteria": "Bacterial", "virus": "Viral"}.get(
                read.groupdict().get("cause", "").lower(), "No Finding"
            )
            if is_pneumonia != (cause != "No Finding"):
                yield Rejected(
                    path, "contradiction", f"{path}: the file's name and its folder state different classes."
                )
                continue
            home = "test" if folder == "test" else "train"
            kind = "person" if is_pneumonia else "IM"
            name = f"pediatric-{folder}-{file.stem}"
            split = ("test" if home == "test" else "train_val") if self._has_test else None
            labels = (("Pneumonia", present(is_pneumonia)), *one_of(CAUSES, cause))
            yield Entry(
                path, file, Facts(name, name, f"pediatric-{home}-{kind}{read['patient']}", split=split, labels=labels)
            )
