"""CheXpert 5x200 (Huang et al. 2021, "GLoRIA", ICCV): 200 images for each of five findings that show nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from hilum.errors import SourceError, UsageError
from hilum.findings import CHEXPERT_NAMES, COMPETITION_NAMES
from hilum.sources.cells import one_of
from hilum.sources.chexpert import image_entry, image_rows, release_in
from hilum.sources.files import contents, find_part, relative, require_folder
from hilum.sources.layout import Entry, Known, Progress, Rejected, no_progress
from hilum.sources.listed import Listed, expect_some

TABLES = ("chexpert_5x200.csv", "chexpert_8x200.csv", "*5x200*.csv")
IMAGES_PER_FINDING = 200
UNCONSTRAINED = "No Finding"


class CheXpert5x200(Listed):
    """CheXpert 5x200, for zero-shot classification and retrieval.

    Args:
        draw: a seed: where the authors' table is not there, draw 200 images of each finding from train.csv by their rule
            (frontal, blank as absent, one of the five present and every other finding absent; No Finding is free). Another
            drawing than theirs, which had no seed.
    """

    name: ClassVar[str] = "chexpert-5x200"
    title: ClassVar[str] = "CheXpert 5x200"
    task: ClassVar[str] = "multi-class: which of five findings"
    outputs: ClassVar[tuple[str, ...]] = COMPETITION_NAMES
    size: ClassVar[str] = "1,000 images of 966 patients"
    split: ClassVar[str] = "all test; leave the patients out of training on CheXpert"
    licence: ClassVar[str] = "Stanford University Dataset Research Use Agreement"
    where: ClassVar[str] = "CheXpert; the list is the GLoRIA authors'"
    layout: ClassVar[str] = (
        "chexpert_5x200.csv (or chexpert_8x200.csv; columns as train.csv of CheXpert) and CheXpert-v1.0[-small]/train/...; "
        "or train.csv and --set draw=SEED."
    )
    unconfirmed: ClassVar[tuple[str, ...]] = ("the file name: the authors' code has both",)

    def __init__(self, draw: int | str | None = None) -> None:
        super().__init__()
        if draw is not None and not str(draw).isdigit():
            raise UsageError(f"source 'chexpert-5x200': draw is {draw!r}; expected a seed, a whole number.")
        self._seed = int(draw) if draw is not None else None

    def open(self, root: Path, known: Known, progress: Progress = no_progress) -> int | None:
        """Read the list, or draw one."""
        require_folder(root, self.name, self.layout)
        self._root, self._home = root, release_in(root)
        table = find_part(root, *TABLES) or find_part(self._home, *TABLES)
        train = find_part(self._home, "train.csv")
        if table is not None:
            self._rows = image_rows(table)
        elif train is not None and self._seed is not None:
            self._rows = draw_images(image_rows(train), self._seed)
            self.counts.notes.append(f"drawn from train.csv with seed {self._seed}: not the authors' images")
        else:
            hint = " There is a train.csv: --set draw=0 draws images from it." if train is not None else ""
            raise SourceError(
                f"{root} lacks {TABLES[0]}; it holds: {contents(root)}.{hint} Source '{self.name}' expects: {self.layout}"
            )
        listed = (self._home / row["key"] for row in self._rows)
        return expect_some(root, (table or self._home / "train.csv").name, listed, self.counts)

    def entries(self) -> Iterator[Entry | Rejected]:
        """Every listed image that is there."""
        for row in self._rows:
            file = self._home / row["key"]
            if not file.is_file():
                continue
            path = relative(file, self._root)
            entry = image_entry(row, file, path, {})
            if isinstance(entry, Rejected):
                yield entry
                continue
            named = [name for name in COMPETITION_NAMES if _is_one(row[name])]
            if len(named) != 1:
                yield Rejected(
                    path,
                    "unknown_label",
                    f"{row['where']}: {len(named)} of {', '.join(COMPETITION_NAMES)} are 1; expected one.",
                )
                continue
            assert entry.facts is not None
            facts = replace(
                entry.facts,
                image_id=f"5x200/{entry.facts.image_id}",
                study_id=f"5x200-{entry.facts.study_id}",
                split="test",
                labels=one_of(COMPETITION_NAMES, named[0]),
            )
            yield replace(entry, facts=facts)


def draw_images(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """200 images of each of the five findings, or all where there are fewer, in the order of the findings."""
    chosen: list[dict[str, Any]] = []
    generator = random.Random(seed)
    for name in COMPETITION_NAMES:
        fit = [row for row in rows if _shows_only(row, name)]
        chosen += generator.sample(fit, min(IMAGES_PER_FINDING, len(fit)))
    return chosen


def _shows_only(row: dict[str, Any], name: str) -> bool:
    others = (other for other in CHEXPERT_NAMES if other not in (name, UNCONSTRAINED))
    is_frontal = (row.get("Frontal/Lateral") or row["key"]).lower().endswith(("frontal", "_frontal.jpg"))
    return is_frontal and _is_one(row[name]) and all(row[other] is None or float(row[other]) == 0 for other in others)


def _is_one(cell: str | None) -> bool:
    return cell is not None and float(cell) == 1
