"""Shenzhen chest radiographs for tuberculosis (Jaeger et al. 2014, Quant Imaging Med Surg 4), National Library of Medicine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError
from hilum.sources.cells import UNITS_PER_YEAR, present, sex_of
from hilum.sources.files import by_name, contents, inside, relative, require_folder
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed

# "male 45yrs", "Female, 18 months"; Montgomery: "Patient's Sex: F", "Patient's Age: 027Y".
SEX = re.compile(r"\b(?:sex\s*:\s*)?(female|male|f|m)\b", re.I)
AGE = re.compile(r"(\d+)\s*(years?|yrs?|y|months?|m|weeks?|w|days?|d)?\b", re.I)
TUBERCULOSIS = {"0": False, "1": True}


class Shenzhen(Listed):
    """Shenzhen (China Set): one PA image a patient, the class in the file name, sex, age and a reading beside it."""

    name: ClassVar[str] = "shenzhen"
    title: ClassVar[str] = "Shenzhen (NLM)"
    task: ClassVar[str] = "binary: tuberculosis"
    outputs: ClassVar[tuple[str, ...]] = ("Tuberculosis",)
    size: ClassVar[str] = "662 images, one a patient (336 with tuberculosis)"
    licence: ClassVar[str] = "public; acknowledge the National Library of Medicine and the hospital"
    where: ClassVar[str] = "https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html"
    layout: ClassVar[str] = (
        "ChinaSet_AllFiles/CXR_png/CHNCXR_####_{0,1}.png and ClinicalReadings/CHNCXR_####_{0,1}.txt, or these folders "
        "themselves."
    )
    folders: ClassVar[tuple[str, ...]] = ("ChinaSet_AllFiles",)
    prefix: ClassVar[str] = "CHNCXR"

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """List the images and the readings."""
        require_folder(root, self.name, self.layout)
        self._root = root
        home = inside(root, *self.folders)
        if not (home / "CXR_png").is_dir():
            raise SourceError(
                f"{home} lacks CXR_png; it holds: {contents(home)}. Source '{self.name}' expects: {self.layout}"
            )
        self._files = by_name([home / "CXR_png"])
        if not self._files:
            raise SourceError(f"{home / 'CXR_png'} holds no image. Source '{self.name}' expects: {self.layout}")
        self._readings = home / "ClinicalReadings"
        missing = sum(not (self._readings / f"{file.stem}.txt").is_file() for file in self._files.values())
        if missing:
            self.counts.notes.append(f"{missing:,} of {len(self._files):,} images have no clinical reading beside them")
        return len(self._files)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every image whose name tells its class."""
        pattern = re.compile(rf"{self.prefix}_(\d+)_([01])", re.I)
        for file in self._files.values():
            path = relative(file, self._root)
            match = pattern.fullmatch(file.stem)
            if match is None:
                yield Rejected(
                    path, "no_class", f"{path}: expected a name like {self.prefix}_0001_0.png; its end is the class."
                )
                continue
            sex, age, words = read_clinical(self._readings / f"{file.stem}.txt")
            patient = f"{self.name}-{match[1]}"
            facts = Facts(
                image_id=f"{self.name}-{file.stem}",
                study_id=patient,
                patient_id=patient,
                view="pa",
                age_years=age,
                sex=sex,
                report=words,
                labels=(("Tuberculosis", present(TUBERCULOSIS[match[2]])),),
            )
            yield Entry(path, file, facts)


def read_clinical(file: Path) -> tuple[str | None, float | None, str | None]:
    """Sex, age in years and the reading of one text; all None where there is no file.

    Lines that hold only sex and age are not a part of the reading.
    """
    if not file.is_file():
        return None, None, None
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    sex, age, words = None, None, []
    for line in filter(None, map(str.strip, text.splitlines())):
        sex_here, age_here = SEX.search(line), AGE.search(line)
        is_about_patient = line.lower().startswith(("patient", "male", "female")) and (sex is None or age is None)
        if not is_about_patient:
            words.append(line)
            continue
        if sex is None and sex_here:
            sex = sex_of(sex_here[1])
        if age is None and age_here:
            age = float(age_here[1]) / UNITS_PER_YEAR[(age_here[2] or "Y")[0].upper()]
    return sex, age, "\n".join(words) or None
