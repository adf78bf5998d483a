"""NIH ChestX-ray14 (Wang et al. 2017, "ChestX-ray8", CVPR): 112,120 frontal radiographs of 30,805 patients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hilum.errors import SourceError, TableError
from hilum.findings import LabelValue, canonical, fold
from hilum.sources.cells import possible_age, sex_of, view_of, whole_of
from hilum.sources.files import by_name, contents, relative, require_folder
from hilum.sources.layout import Counts, Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed
from hilum.sources.nih_experts import expert_opinions
from hilum.tables import read_table

# As the dataset writes them.
CLASSES = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
NO_FINDING = "No Finding"
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_NAMES = {fold(name): name for name in (*CLASSES, NO_FINDING)} | {
    "pleural effusion": "Effusion",
    "infiltrate": "Infiltration",
}


class ChestXray14(Listed):
    """NIH ChestX-ray14.

    Images that the table lists and the folder lacks are counted, not rejected: the release comes in twelve parts. A
    study is one follow-up number of one patient. Each image states all 14 findings and `No Finding`, present or absent.
    """

    name: ClassVar[str] = "nih"
    title: ClassVar[str] = "NIH ChestX-ray14 (Wang et al. 2017)"
    task: ClassVar[str] = "multi-label, labels mined from reports"
    outputs: ClassVar[tuple[str, ...]] = tuple(canonical(name) for name in CLASSES)
    size: ClassVar[str] = "112,120 images of 30,805 patients"
    split: ClassVar[str] = (
        "official lists (test kept; of the rest one patient in eight validates, hashed); without them 60/20/20 by patient, "
        "hashed"
    )
    licence: ClassVar[str] = "free use with attribution to the NIH Clinical Center"
    where: ClassVar[str] = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
    layout: ClassVar[str] = (
        "Data_Entry_2017_v2020.csv (or Data_Entry_2017.csv); images flat, in images/ or in images_001/images/ ...; "
        "train_val_list.txt and test_list.txt give the official split where they are there; the expert labels of Google "
        "(four_findings_expert_labels/*.csv) are kept as a reader's opinions."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "the lengths of the two official lists (86,524 and 25,596)",
        "how many files are RGBA",
        "the name of the column that holds the image in the expert labels",
    )

    def __init__(self) -> None:
        super().__init__()
        self._odd_ages = 0

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Find the table, the images and the official split."""
        require_folder(root, self.name, self.layout)
        self._root = root
        table_path = _table_in(root)
        table = read_table(table_path, columns_needed=COLUMNS, numbers=False)
        self._rows = table.select([name for name in table.column_names if fold(name) in _USED]).to_pylist()
        self._table_path = table_path
        parts = sorted(folder for folder in root.glob("images_*") if folder.is_dir())
        folders = [root, root / "images", *parts, *(folder / "images" for folder in parts)]
        self._files = by_name([folder for folder in folders if folder.is_dir()])
        if not self._files:
            raise SourceError(
                f"{root} holds {table_path.name} but no image; looked in {root.name}/, images/ and images_*/images/. "
                "Unpack the images_*.tar.gz parts there."
            )
        self._official = _official_split(root, self.counts)
        self._experts = expert_opinions(root)
        present = sum(row["Image Index"] in self._files for row in self._rows)
        if not present:
            first = self._rows[0]["Image Index"] if self._rows else None
            raise SourceError(
                f"none of the {len(self._files):,} images in {root} is in {table_path.name} (its first: {first})."
            )
        missing = len(self._rows) - present
        if missing:
            self.counts.notes.append(
                f"{missing:,} of {len(self._rows):,} images in {table_path.name} are not in the folder"
            )
        unlisted = len(self._files.keys() - {row["Image Index"] for row in self._rows})
        if unlisted:
            self.counts.skip(f"image not in {table_path.name}", unlisted)
        return present

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every listed image that is there, in the order of the table."""
        for number, row in enumerate(self._rows, start=1):
            name = row["Image Index"]
            if name is None or row["Patient ID"] is None:
                path = f"{self._table_path.name} row {number}"
                yield Rejected(path, "blank_id", f"{path}: 'Image Index' or 'Patient ID' is blank.")
                continue
            if name not in self._files:
                continue
            try:
                labels = _labels(row["Finding Labels"], f"{self._table_path}, row {number}")
            except TableError as error:
                yield Rejected(relative(self._files[name], self._root), "unknown_label", str(error))
                continue
            age = possible_age(row.get("Patient Age"))
            self._odd_ages += age is None and row.get("Patient Age") is not None
            patient, follow_up = row["Patient ID"], whole_of(row.get("Follow-up #"))
            facts = Facts(
                image_id=name,
                study_id=f"nih-{patient}-{follow_up:03d}" if follow_up is not None else f"nih-{name}",
                patient_id=f"nih-{patient}",
                view=view_of(row.get("View Position")),
                study_order=follow_up,
                age_years=age,
                sex=sex_of(row.get("Patient Gender") or row.get("Patient Sex")),
                split=self._official.get(name),
                labels=labels,
                statements=self._experts.get(name, ()),
            )
            yield Entry(relative(self._files[name], self._root), self._files[name], facts)

    def finish(self, whole: bool) -> None:
        """Say how many ages were impossible."""
        if self._odd_ages:
            self.counts.notes.append(f"{self._odd_ages:,} impossible ages are stored as unknown")


_USED = {
    fold(name) for name in (*COLUMNS, "Follow-up #", "Patient Age", "Patient Gender", "Patient Sex", "View Position")
}


def _table_in(root: Path) -> Path:
    for name in TABLES:
        if (root / name).is_file():
            return root / name
    others = sorted(root.glob("Data_Entry*.csv*"))
    if others:
        return others[0]
    raise SourceError(
        f"{root} lacks {TABLES[0]} (or {TABLES[1]}); it holds: {contents(root)}. Source 'nih' expects: {ChestXray14.layout}"
    )


def _official_split(root: Path, counts: Counts) -> dict[str, str]:
    lists = {"train_val": root / "train_val_list.txt", "test": root / "test_list.txt"}
    absent = [file.name for file in lists.values() if not file.is_file()]
    if len(absent) == 2:
        return {}
    if absent:
        counts.notes.append(f"{absent[0]} is not there: the official split is not used")
        return {}
    return {name: split for split, file in lists.items() for name in file.read_text(encoding="utf-8").split()}


def _labels(text: str | None, where: str) -> tuple[tuple[str, LabelValue], ...]:
    """All 15 statements behind `Cardiomegaly|Effusion`; none behind a blank cell."""
    if text is None:
        return ()
    named = set()
    for part in text.split("|"):
        known = _NAMES.get(fold(part))
        if known is None:
            raise TableError(
                f"{where}: 'Finding Labels' has {part!r}; expected {NO_FINDING} or some of {', '.join(CLASSES)}."
            )
        named.add(known)
    return tuple(
        (canonical(name), LabelValue.POSITIVE if name in named else LabelValue.NEGATIVE)
        for name in (*CLASSES, NO_FINDING)
    )
