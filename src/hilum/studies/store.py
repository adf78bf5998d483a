"""What a study has finished, on disk: a record and scores for each cell, and the locks by which workers share them out."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hilum.errors import UsageError
from hilum.studies.cells import Cell
from hilum.studies.spec import Study

FORMAT_VERSION = 1
DONE, MISSING = "done", "missing"


@dataclass(frozen=True)
class Record:
    """What came of a cell.

    Attributes:
        cell: which.
        status: "done", or "missing" with a `reason`.
        reason: why it is missing.
        inputs: what the result hangs on: fingerprints of model, data and split, settings, images left out. A cell whose inputs
            have changed is done again.
        made: further facts: code version, images, strengths, the kept pass, seconds, worker, when.
        remarks: what a reader of its numbers should know.
    """

    cell: Cell
    status: str
    reason: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Scores:
    """Test scores of a cell: (N, C) of N images and C names, NaN where a name has no scores."""

    image_ids: list[str]
    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Truth:
    """What the test images of a dataset are: (N, C) 1, 0 and NaN for C names; N patients."""

    image_ids: list[str]
    patient_ids: list[str]
    names: tuple[str, ...]
    values: np.ndarray


class Store:
    """The folder of a study.

    Args:
        folder: made if absent.
        read_only: make and write nothing, as a dry run.

    Raises:
        UsageError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], read_only: bool = False) -> None:
        self.folder, self.read_only = Path(folder), read_only
        if read_only:
            return
        try:
            for name in ("cells", "claims", "truth"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{self.folder} cannot be made ({error.strerror}). Name another folder with -o."
            ) from error

    def note_study(self, study: Study) -> None:
        """Keep the study as it was resolved, beside its results."""
        described = {"format_version": FORMAT_VERSION, "study": study.model_dump(mode="json", by_alias=True)}
        _write(self.folder / "study.json", _json(described))

    def record(self, cell: Cell) -> Record | None:
        """What came of a cell, or None when it was not tried. A half-written or damaged record counts as none."""
        try:
            saved = json.loads(self._path(cell).read_text(encoding="utf-8"))
            if saved["format_version"] > FORMAT_VERSION:
                raise UsageError(f"{self._path(cell)}: written by a newer hilum. Update hilum.")
            return Record(
                Cell(**saved["cell"]),
                saved["status"],
                saved["reason"],
                saved["inputs"],
                saved["made"],
                tuple(saved["remarks"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, record: Record, scores: Scores | None = None) -> None:
        """Keep what came of a cell; the record comes last, so that one that is there is whole."""
        if scores is not None:
            place = self._path(record.cell).with_suffix(".npz")
            temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
            with temporary.open("wb") as file:
                np.savez_compressed(
                    file,
                    image_ids=np.array(scores.image_ids, np.str_),
                    names=np.array(scores.names, np.str_),
                    values=scores.values,
                )
            os.replace(temporary, place)
        _write(self._path(record.cell), _json({"format_version": FORMAT_VERSION, **asdict(record)}))

    def scores(self, cell: Cell) -> Scores:
        """The test scores of a finished cell."""
        with np.load(self._path(cell).with_suffix(".npz")) as saved:
            return Scores(saved["image_ids"].tolist(), tuple(saved["names"].tolist()), saved["values"])

    def keep_truth(self, dataset: str, truth: Truth) -> None:
        """Keep the truth of a dataset's test images."""
        place = self.folder / "truth" / f"{dataset}.npz"
        temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            np.savez_compressed(
                file,
                image_ids=np.array(truth.image_ids, np.str_),
                patient_ids=np.array(truth.patient_ids, np.str_),
                names=np.array(truth.names, np.str_),
                values=truth.values,
            )
        os.replace(temporary, place)

    def truth(self, dataset: str) -> Truth | None:
        """The truth of a dataset's test images, or None where none was read."""
        place = self.folder / "truth" / f"{dataset}.npz"
        if not place.exists():
            return None
        with np.load(place) as saved:
            ids, patients = saved["image_ids"].tolist(), saved["patient_ids"].tolist()
            return Truth(ids, patients, tuple(saved["names"].tolist()), saved["values"])

    @contextlib.contextmanager
    def claim(self, what: str, *, wait: bool = False) -> Iterator[bool]:
        """Hold something alone among all workers; the kernel frees it when a worker dies.

        Args:
            what: a cell's name, or another.
            wait: until it is free.

        Yields:
            Whether it is held; False where another worker has it.
        """
        place = self.folder / "claims" / f"{what}.lock"
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def run_folder(self, cell: Cell) -> Path:
        """Where a finetuning keeps its state while it runs."""
        return self.folder / "runs" / cell.name

    def _path(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.name}.json"


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
