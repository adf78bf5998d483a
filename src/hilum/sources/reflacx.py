"""REFLACX (Bigolin Lanfredi et al. 2022, Sci Data 9): radiologists' certainty of findings on images of MIMIC-CXR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hilum.errors import SourceError, UsageError
from hilum.findings import LabelValue, canonical, fold
from hilum.labelsets import REFLACX_9
from hilum.sources.cells import LABEL_WORDS
from hilum.sources.files import contents, find_part, inside, relative, require_folder
from hilum.sources.layout import Entry, Facts, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, expect_some
from hilum.sources.mimic_tree import MimicTree, in_path, patient_name
from hilum.sources.readers import AGREEMENT, join_votes
from hilum.tables import read_table

PHASES = tuple(f"metadata_phase_{phase}.csv" for phase in (1, 2, 3))
NOT_FINDINGS = frozenset(
    map(
        fold,
        "id split eye_tracking_data_discarded image dicom_id subject_id image_size_x image_size_y".split(),  # noqa: SIM905
    )
)
# Phase 1 has the parts, phases 2 and 3 the whole: a reader who is sure of a part is sure of the whole.
WHOLES = {"Lung Lesion": ("Mass", "Nodule"), "Pleural Abnormality": ("Pleural Effusion", "Pleural Thickening")}
SPLITS = {"train": "train", "validate": "val", "val": "val", "valid": "val", "test": "test"}
YES_OR_NO = ("support devices", "quality issue")  # never a certainty
MOST_CERTAIN = 5


class Reflacx(Listed):
    """REFLACX: 3,032 readings of 2,616 images of MIMIC-CXR.

    A reading is positive for a finding from a certainty of `certainty` on (0 absent ... 5 certain). Readings of one image
    are joined: by majority, where a tie is uncertain, or "any" or "all". Mass and nodule of phase 1 also state Lung
    Lesion, effusion and thickening also Pleural Abnormality, as phases 2 and 3 do. The first reader's dictation stands
    as the report.

    Args:
        images: the folder of MIMIC-CXR or MIMIC-CXR-JPG; default the root.
        certainty: 1 to 5.
        readers: "majority", "any" or "all".
    """

    name: ClassVar[str] = "reflacx"
    title: ClassVar[str] = "REFLACX"
    task: ClassVar[str] = "multi-label, by radiologists looking at the image; dictated reports"
    outputs: ClassVar[tuple[str, ...]] = REFLACX_9
    size: ClassVar[str] = "3,032 readings of 2,616 images"
    split: ClassVar[str] = "its split column where it is there, else 60/20/20 by patient, hashed"
    licence: ClassVar[str] = "PhysioNet credentialed access with training and data use agreement"
    where: ClassVar[str] = "https://physionet.org/content/reflacx-xray-localization/ and the images of MIMIC-CXR"
    layout: ClassVar[str] = (
        "main_data/metadata_phase_{1,2,3}.csv and main_data/<id>/transcription.txt; and files/ of MIMIC-CXR or "
        "MIMIC-CXR-JPG beside main_data/, or --set images=FOLDER."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = (
        "folder and column names; findings are all columns that are no identifiers",
        "that the split column is MIMIC-CXR's own split",
        "the certainty from which on a finding counts (3 here; --set certainty=N), and which 9 findings were published",
    )

    def __init__(self, images: str | Path | None = None, certainty: int | str = 3, readers: str = "majority") -> None:
        super().__init__()
        if str(certainty) not in [str(n) for n in range(1, MOST_CERTAIN + 1)]:
            raise UsageError(f"source 'reflacx': certainty is {certainty!r}; expected a whole number from 1 to 5.")
        if readers not in AGREEMENT:
            raise UsageError(f"source 'reflacx': readers is {readers!r}; expected one of {', '.join(AGREEMENT)}.")
        self._images = Path(images) if images is not None else None
        self._certainty, self._agreement = int(certainty), readers

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the tables of all phases and find the images."""
        require_folder(root, self.name, self.layout)
        self._root = root
        self._home = inside(root, "main_data")
        tables = [table for name in PHASES if (table := find_part(self._home, name)) is not None]
        if not tables:
            raise SourceError(
                f"{self._home} lacks {', '.join(PHASES)}; it holds: {contents(self._home)}. Source 'reflacx' expects: "
                f"{self.layout}"
            )
        absent = [name for name in PHASES if find_part(self._home, name) is None]
        if absent:
            self.counts.notes.append(f"not there: {', '.join(absent)}")
        tree = MimicTree(self._images or root, self.name)
        self._readings: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for table in tables:
            for row in read_table(table, columns_needed=("image",), numbers=False).to_pylist():
                place = in_path(row["image"] or "")
                if place is None:
                    self.counts.skip(f"reading without an image of MIMIC-CXR in {table.name}")
                    continue
                self._readings.setdefault(place, []).append(row)
        listed = {place: tree.image(*place) for place in self._readings}
        self._files = {place: file for place, file in listed.items() if file is not None}
        self._ties = 0
        return expect_some(root, tables[0].name, listed.values(), self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every image that was read and is there, with what its readers say together."""
        for place, file in self._files.items():
            subject, study, image = place
            path = relative(file, self._root)
            rows = self._readings[place]
            try:
                readings = [self._findings(row) for row in rows]
            except SourceError as error:
                yield Rejected(path, "unknown_label", str(error))
                continue
            names = dict.fromkeys(name for reading in readings for name in reading)
            facts = Facts(
                image_id=f"reflacx-{image}",
                study_id=f"reflacx-{study}",
                patient_id=patient_name(subject),
                split=SPLITS.get(fold(rows[0].get("split") or "")),
                report=self._dictation(rows),
                labels=tuple(
                    (name, self._joined([reading[name] for reading in readings if name in reading])) for name in names
                ),
            )
            yield Entry(path, file, facts)

    def finish(self, whole: bool) -> None:
        """Say how often readers were divided."""
        if self._ties:
            self.counts.notes.append(
                f"{self._ties:,} findings of images on which readers are divided evenly are uncertain"
            )

    def _findings(self, row: dict[str, Any]) -> dict[str, bool]:
        """What one reading finds; columns that are blank are no part of its phase."""
        found: dict[str, bool] = {}
        for column, text in row.items():
            if text is None or fold(column) in NOT_FINDINGS:
                continue
            is_number = text.strip().replace(".", "").isdigit()
            if fold(column) == "other" and not is_number:  # what else was seen, in words
                continue
            if fold(text) in LABEL_WORDS and (fold(column) in YES_OR_NO or not is_number):
                found[canonical(column)] = LABEL_WORDS[fold(text)] is LabelValue.POSITIVE
            else:
                found[canonical(column)] = self._certain(text, column)
        for name, parts in WHOLES.items():
            if name not in found and any(part in found for part in parts):
                found[name] = any(found.get(part, False) for part in parts)
        return found

    def _certain(self, text: str, column: str) -> bool:
        try:
            certainty = float(text)
        except ValueError:
            certainty = -1.0
        if not 0 <= certainty <= MOST_CERTAIN:
            raise SourceError(f"'{column}' is {text!r}; expected a certainty from 0 to 5, or True or False.")
        return certainty >= self._certainty

    def _joined(self, votes: Sequence[bool]) -> LabelValue:
        together = join_votes(votes, self._agreement)
        self._ties += together is LabelValue.UNCERTAIN
        return together

    def _dictation(self, rows: Sequence[dict[str, Any]]) -> str | None:
        for row in rows:
            file = self._home / (row.get("id") or "-") / "transcription.txt"
            if file.is_file() and (text := file.read_text(encoding="utf-8", errors="replace").strip()):
                return text
        return None
