"""COVID-19 image data collection (Cohen et al. 2020, arXiv:2006.11988): radiographs, diagnoses and clinical notes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from hilum.errors import SourceError
from hilum.findings import LabelValue, canonical, fold
from hilum.sources.files import by_name, relative, require_parts
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed
from hilum.tables import read_table

# The dataset's own tree of diagnoses: each is a kind of the next (its newest `finding` values spell this out, older
# ones give only the leaf).
PARENTS = {
    "Viral": "Pneumonia",
    "Bacterial": "Pneumonia",
    "Fungal": "Pneumonia",
    "Lipoid": "Pneumonia",
    "Aspiration": "Pneumonia",
    "COVID-19": "Viral",
    "SARS": "Viral",
    "MERS-CoV": "Viral",
    "Varicella": "Viral",
    "Influenza": "Viral",
    "Herpes": "Viral",
    "Streptococcus": "Bacterial",
    "Klebsiella": "Bacterial",
    "Legionella": "Bacterial",
    "Mycoplasma": "Bacterial",
    "Chlamydophila": "Bacterial",
    "E.Coli": "Bacterial",
    "Nocardia": "Bacterial",
    "Staphylococcus": "Bacterial",
    "Pneumocystis": "Fungal",
    "Aspergillosis": "Fungal",
}
CLASSES = (*dict.fromkeys((*PARENTS.values(), *PARENTS)), "ARDS", "Tuberculosis", "No Finding")
UNLABELED = ("todo", "unknown")
VIEWS = {
    "pa": "pa",
    "ap": "ap",
    "ap erect": "ap",
    "ap semi erect": "ap",
    "ap supine": "ap_supine",
    "l": "lateral",
    "lateral": "lateral",
}
SLICES = ("axial", "coronal", "sagittal")
_NAMES = {fold(name): name for name in CLASSES}


class CovidCollection(Listed):
    """The COVID-19 image data collection.

    Radiographs enter (PA, AP, AP Supine, lateral, and those without a view); CT slices are left out. The clinical
    notes stand as the study's report; a study is what one patient has of one day offset and one note. A named
    diagnosis is positive with all it is a kind of; kinds of a named one that are not named are left open; the rest is
    negative. Rows that say `todo` state nothing.
    """

    name: ClassVar[str] = "covid"
    title: ClassVar[str] = "COVID-19 image data collection (Cohen et al. 2020)"
    task: ClassVar[str] = "diagnosis (COVID-19 and other pneumonias), clinical notes as text"
    outputs: ClassVar[tuple[str, ...]] = CLASSES
    size: ClassVar[str] = "751 rows of 380 patients in mid-2020, CT slices among them; later releases have more"
    licence: ClassVar[str] = "each image its own (column `license` of metadata.csv)"
    where: ClassVar[str] = "https://github.com/ieee8023/covid-chestxray-dataset"
    layout: ClassVar[str] = "metadata.csv and images/."
    unconfirmed: ClassVar[tuple[str, ...]] = ("the column RT_PCR_positive of the newest release, which is not read",)

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read metadata.csv and look which images are there."""
        self._root = root
        self._table_path, _ = require_parts(root, self.name, self.layout, "metadata.csv", "images")
        table = read_table(self._table_path, numbers=False)
        table = table.rename_columns([name.lower() for name in table.column_names])  # early releases: Patientid
        for name in ("patientid", "filename", "finding"):
            if name not in table.column_names:
                raise SourceError(
                    f"{self._table_path} has no column '{name}'. Its columns: {', '.join(table.column_names)}."
                )
        self._files = by_name([root / "images"])
        self._rows = [row for row in table.to_pylist() if self._is_radiograph(row)]
        self._day_zero = _first_offsets(self._rows)
        missing = sum(row["filename"] not in self._files for row in self._rows if row["filename"])
        if missing == len(self._rows):
            raise SourceError(
                f"none of the {missing:,} radiographs that {self._table_path} lists is in {root / 'images'}."
            )
        if missing:
            self.counts.notes.append(f"{missing:,} of {len(self._rows):,} listed radiographs are not in images/")
        return len(self._rows) - missing

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every listed radiograph that is there, in the order of the table."""
        notes_of: dict[tuple[str, str], list[str | None]] = {}
        for number, row in enumerate(self._rows, start=1):
            name, patient = row["filename"], row["patientid"]
            if not name or not patient:
                where = f"metadata.csv radiograph {number}"
                yield Rejected(where, "blank_id", f"{where}: 'filename' or 'patientid' is blank.")
                continue
            if name not in self._files:
                continue
            offset = _days(row.get("offset"))
            notes = row.get("clinical_notes")
            day = "x" if offset is None else str(offset)
            of_day = notes_of.setdefault((patient, day), [])
            if notes not in of_day:
                of_day.append(notes)
            sex = (row.get("sex") or "").strip().upper()
            facts = Facts(
                image_id=name,
                study_id=f"covid-{patient}-{day}-{of_day.index(notes) + 1}",
                patient_id=f"covid-{patient}",
                view=VIEWS.get(fold(row.get("view") or ""), "unknown"),
                study_order=offset - self._day_zero[patient] if offset is not None else None,
                age_years=_number(row.get("age")),
                sex=sex if sex in ("M", "F") else None,
                report=notes,
                labels=labels_of(row["finding"]),
            )
            yield Entry(relative(self._files[name], self._root), self._files[name], facts)

    def _is_radiograph(self, row: dict[str, Any]) -> bool:
        """By modality, folder and view, as far as the release has these columns."""
        modality = fold(row.get("modality") or "x-ray")
        if modality not in ("x-ray", "xray", "cr", "dx"):
            self.counts.skip(f"modality {row['modality']}")
            return False
        if (row.get("folder") or "images").strip("/ ").lower() != "images":
            self.counts.skip(f"in folder {row['folder']}")
            return False
        view = fold(row.get("view") or "")
        if any(view.startswith(slice_) for slice_ in SLICES):
            self.counts.skip(f"CT slice ({row['view']})")
            return False
        return True


def labels_of(finding: str | None) -> tuple[tuple[str, LabelValue], ...]:
    """The statements behind one `finding` cell, of either spelling: `Pneumonia/Viral/COVID-19` or `COVID-19, ARDS`.

    Example:
        >>> dict(labels_of("COVID-19, ARDS"))["Pneumonia"], labels_of("todo")
        (<LabelValue.POSITIVE: 'positive'>, ())
    """
    parts = [part.strip() for part in re.split(r"[/,]", finding or "") if part.strip()]
    named = {_NAMES.get(fold(canonical(part)), canonical(part)) for part in parts if fold(part) not in UNLABELED}
    if not named:
        return ()
    positive = {name for leaf in named for name in (leaf, *_above(leaf))}
    # "Pneumonia" alone does not deny COVID-19; but beside a named germ, other germs are not suspected.
    leaves = {name for name in named if not any(name in _above(other) for other in named)}
    said = [(canonical(name), LabelValue.POSITIVE) for name in sorted(positive)]
    for name in CLASSES:
        if name not in positive and not leaves & set(_above(name)):
            said.append((canonical(name), LabelValue.NEGATIVE))
    return tuple(said)


def _above(name: str) -> tuple[str, ...]:
    chain = []
    while name in PARENTS:
        name = PARENTS[name]
        chain.append(name)
    return tuple(chain)


def _first_offsets(rows: list[dict[str, Any]]) -> dict[str, int]:
    first: dict[str, int] = {}
    for row in rows:
        offset = _days(row.get("offset"))
        if offset is not None and row["patientid"]:
            first[row["patientid"]] = min(offset, first.get(row["patientid"], offset))
    return first


def _days(text: str | None) -> int | None:
    number = _number(text)
    return int(number) if number is not None else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
