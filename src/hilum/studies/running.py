"""A study run to its end: cell by cell, by any number of workers, from wherever it was stopped."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import hilum
from hilum.errors import HilumError
from hilum.studies.adapting import adapt, inputs_of
from hilum.studies.cells import Cell, cells_of
from hilum.studies.inputs import Dataset, Opened, open_dataset, open_model
from hilum.studies.seen import Seen, seen_in_pretraining
from hilum.studies.spec import Study
from hilum.studies.store import DONE, MISSING, Record, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """A cell that was looked at: `what` is "done", "missing", "kept" (from before) or "elsewhere" (another worker has it)."""

    cell: Cell
    what: str
    index: int
    count: int
    seconds: float
    reason: str = ""


T = TypeVar("T")
OnCell = Callable[[Step], None]


def run_cells(study: Study, store: Store, *, on_cell: OnCell | None = None) -> list[Record]:
    """Do every cell that is not done, and that no other worker is doing.

    A cell whose inputs have changed since is done again; one that is missing is tried again. What goes wrong with a model, a
    dataset or a cell is written into its record, and the study goes on.

    Args:
        study: what to do.
        store: where to keep it.
        on_cell: called after each cell.

    Returns:
        The records of this worker's cells, kept ones too.
    """
    store.note_study(study)
    cells, desk = cells_of(study), Desk(study, store)
    records = []
    for index, cell in enumerate(cells, start=1):
        began = time.perf_counter()
        with store.claim(cell.name) as is_ours:
            if not is_ours:
                record, what = None, "elsewhere"
            else:
                record, what = _one(cell, desk)
        if record is not None:
            records.append(record)
        if on_cell is not None:
            reason = record.reason if record is not None else ""
            on_cell(Step(cell, what, index, len(cells), time.perf_counter() - began, reason))
    return records


class Desk:
    """What cells need, opened once: the present model, the present dataset, and why one of them is not to be had."""

    def __init__(self, study: Study, store: Store) -> None:
        self.study, self.store = study, store
        self._models: dict[str, Opened | HilumError] = {}
        self._datasets: dict[str, Dataset | HilumError] = {}
        self._seen: dict[tuple[str, str], Seen | HilumError] = {}

    def model(self, name: str) -> Opened:
        """A model; only the last one stays in memory.

        Raises:
            HilumError: it is not to be had.
        """
        if name not in self._models:
            broken = {known: one for known, one in self._models.items() if isinstance(one, HilumError)}
            entry = next(one for one in self.study.models if one.name == name)
            try:
                self._models = {**broken, name: open_model(entry, self.store)}
            except HilumError as error:
                self._models = {**broken, name: error}
            except Exception as error:  # foreign weights: whatever they do, the other models go on
                log.exception("model %s", name)
                self._models = {**broken, name: HilumError(f"{type(error).__name__}: {error}")}
        return _or_raise(self._models[name])

    def dataset(self, name: str) -> Dataset:
        """A dataset.

        Raises:
            HilumError: it is not to be had.
        """
        if name not in self._datasets:
            entry = next(one for one in self.study.datasets if one.name == name)
            try:
                opened = open_dataset(entry)
                if not self.store.read_only:
                    self.store.keep_truth(name, opened.truth())
                self._datasets[name] = opened
            except HilumError as error:
                self._datasets[name] = error
        return _or_raise(self._datasets[name])

    def seen(self, model: str, dataset: str) -> Seen:
        """What the model may have seen of the dataset.

        Raises:
            HilumError: that cannot be told.
        """
        key = (model, dataset)
        if key not in self._seen:
            try:
                self._seen[key] = seen_in_pretraining(self.model(model), self.dataset(dataset))
            except HilumError as error:
                self._seen[key] = error
        return _or_raise(self._seen[key])


def _one(cell: Cell, desk: Desk) -> tuple[Record, str]:
    """A cell's record, and whether it is done, missing, or kept from before."""
    began = time.perf_counter()
    inputs: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()
    try:
        opened, dataset, seen = desk.model(cell.model), desk.dataset(cell.dataset), desk.seen(cell.model, cell.dataset)
        warnings = seen.warnings
        inputs = inputs_of(cell, opened, dataset, desk.study, seen.image_ids)
        before = desk.store.record(cell)
        if before is not None and before.status == DONE and before.inputs == inputs:
            return before, "kept"
        found = adapt(cell, opened, dataset, desk.study, seen.image_ids, desk.store)
    except HilumError as error:
        return _missing(cell, desk, inputs, str(error), warnings, began)
    except Exception as error:  # the boundary of a cell: what breaks here must not end the study
        log.exception("cell %s", cell.name)
        return _missing(cell, desk, inputs, f"{type(error).__name__}: {error}", warnings, began)
    remarks = tuple(dict.fromkeys((*warnings, *found.remarks)))
    record = Record(cell, DONE, "", inputs, {**_made(began), **found.made}, remarks)
    desk.store.keep(record, found.scores)
    return record, DONE


def _missing(
    cell: Cell, desk: Desk, inputs: dict[str, Any], reason: str, warnings: Iterable[str], began: float
) -> tuple[Record, str]:
    record = Record(cell, MISSING, reason, inputs, _made(began), tuple(warnings))
    desk.store.keep(record)
    return record, MISSING


def _made(began: float) -> dict[str, Any]:
    return {
        "code": hilum.__version__,
        "seconds": round(time.perf_counter() - began, 3),
        "worker": f"{socket.gethostname()}:{os.getpid()}",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _or_raise(found: T | HilumError) -> T:
    if isinstance(found, HilumError):
        raise found
    return found
