"""JSRT (Shiraishi et al. 2000, AJR 174): lung nodules graded by how hard they are to see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError, TableError
from hilum.findings import LabelValue
from hilum.labelsets import SUBTLETY_GRADES
from hilum.sources.cells import one_of, possible_age, present, sex_of
from hilum.sources.files import contents, inside, relative, require_folder, walk
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, expect_some

FOLDERS = ("All247images", "Nodule154images", "NonNodule93images")
NODULES, NO_NODULES = "CLNDAT_EN.TXT", "CNNDAT_EN.TXT"
MALIGNANT = {"malignant": True, "benign": False}


class Jsrt(Listed):
    """JSRT: subtlety as six classes, 0 for no nodule, 1 extremely subtle to 5 obvious; one image a patient.

    The files are raw; `hilum.imaging` shows them as usual, dense white.
    """

    name: ClassVar[str] = "jsrt"
    title: ClassVar[str] = "JSRT"
    task: ClassVar[str] = "ordinal: subtlety of a nodule 0 to 5; binary: nodule, malignant or benign"
    outputs: ClassVar[tuple[str, ...]] = (*SUBTLETY_GRADES, "Nodule", "Malignant Nodule")
    size: ClassVar[str] = "247 images, one a patient (154 with a nodule)"
    licence: ClassVar[str] = "free for research after registration"
    where: ClassVar[str] = "http://db.jsrt.or.jp/eng.php"
    layout: ClassVar[str] = (
        "All247images/ (or Nodule154images/ and NonNodule93images/) with JPCLN001.IMG ... and JPCNN001.IMG ...; "
        "Clinical_Information/CLNDAT_EN.txt and CNNDAT_EN.TXT."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "the order of the fields in CLNDAT_EN.txt (the printed guide has another); one that does not fit stops the ingest",
        "that a larger value is darker",
    )

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read both clinical texts and look which images are there."""
        require_folder(root, self.name, self.layout)
        self._root = root
        folders = [root / name for name in FOLDERS if (root / name).is_dir()]
        clinical = inside(root, "Clinical_Information", "Clinical")
        texts = {file.name.upper(): file for file in clinical.iterdir() if file.suffix.upper() == ".TXT"}
        lacks = [name for name in (NODULES, NO_NODULES) if name not in texts]
        if lacks or not folders:
            lacks += [] if folders else [f"{FOLDERS[0]}/"]
            raise SourceError(
                f"{root} lacks {' and '.join(lacks)}; it holds: {contents(root)}. Source 'jsrt' expects: {self.layout}"
            )
        self._facts = {**read_nodules(texts[NODULES]), **read_no_nodules(texts[NO_NODULES])}
        self._files = {
            file.stem.upper(): file for folder in folders for file in walk(folder) if file.suffix.upper() == ".IMG"
        }
        unlisted = len(self._files.keys() - self._facts.keys())
        if unlisted:
            self.counts.skip("image not in the clinical texts", unlisted)
        listed = (self._files.get(name) for name in self._facts)
        return expect_some(root, f"{NODULES} and {NO_NODULES}", listed, self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every listed image that is there: nodules, then none."""
        for name, facts in self._facts.items():
            file = self._files.get(name)
            if file is not None:
                yield Entry(relative(file, self._root), file, facts)


def read_nodules(path: Path) -> dict[str, Facts]:
    """CLNDAT_EN: name, subtlety, size in mm, age, sex, x, y, malignant or benign, place, diagnosis; tabs, some lines short.

    Raises:
        TableError: a subtlety is not 1 to 5, or the malignancy no word for it.
    """
    found = {}
    for number, line in enumerate(_lines(path), start=1):
        cells = [cell.strip() for cell in line.split("\t")] + [""] * 10
        name, subtlety, age, sex, malignancy = cells[0], cells[1], cells[3], cells[4], cells[7].lower()
        if not re.fullmatch(r"[1-5]", subtlety) or malignancy not in (*MALIGNANT, ""):
            raise TableError(
                f"{path}, line {number}: subtlety {subtlety!r} and malignancy {cells[7]!r}; expected 1 to 5, and malignant or "
                "benign in the eighth of the fields, which tabs separate."
            )
        labels = [*one_of(SUBTLETY_GRADES, SUBTLETY_GRADES[int(subtlety)]), ("Nodule", LabelValue.POSITIVE)]
        if malignancy:
            labels.append(("Malignant Nodule", present(MALIGNANT[malignancy])))
        found[_stem(name)] = _facts(_stem(name), age, sex, tuple(labels))
    return found


def read_no_nodules(path: Path) -> dict[str, Facts]:
    """CNNDAT_EN: name, age, sex and "non-nodule", separated by blanks."""
    labels = (
        *one_of(SUBTLETY_GRADES, SUBTLETY_GRADES[0]),
        ("Nodule", LabelValue.NEGATIVE),
        ("Malignant Nodule", LabelValue.NEGATIVE),
    )
    found = {}
    for line in _lines(path):
        cells = [*line.split(), "", "", ""]
        found[_stem(cells[0])] = _facts(_stem(cells[0]), cells[1], cells[2], labels)
    return found


def _facts(name: str, age: str, sex: str, labels: tuple[tuple[str, LabelValue], ...]) -> Facts:
    patient = f"jsrt-{name}"
    return Facts(name, patient, patient, view="pa", age_years=possible_age(age), sex=sex_of(sex), labels=labels)


def _stem(name: str) -> str:
    return name.upper().removesuffix(".IMG")


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return [line for line in text.splitlines() if _stem(line.split()[0] if line.split() else "").startswith("JPC")]
