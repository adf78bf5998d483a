"""What a study would do, and about how long it would take: nothing is written."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from hilum.errors import HilumError
from hilum.studies.adapting import inputs_of, require_possible
from hilum.studies.cells import Cell, cells_of
from hilum.studies.inputs import Dataset, NotImportedError, Opened
from hilum.studies.running import Desk
from hilum.studies.spec import Study
from hilum.studies.store import DONE, Store
from hilum.tasks.feature_cache import features_of_squares, key_of
from hilum.tasks.finetuning import find_recipe

TRIED_IMAGES = 16
BACKWARD = 3.0  # a training step costs about this many forward passes
SOLVED_PER_S = 2e8  # image x feature x finding products a probe's solver does in a second on two cores, grid included


@dataclass(frozen=True)
class Planned:
    """A cell of the plan: "done" (kept), "to do" with about how many seconds, or "missing" with a reason."""

    cell: Cell
    what: str
    seconds: float = 0.0
    reason: str = ""


def plan(study: Study, store: Store) -> list[Planned]:
    """Every cell, whether it is done, and about how long it would take: measured on a few images of each model."""
    desk, planned = Desk(study, store), []
    per_image: dict[tuple[str, str], float] = {}
    cached: set[tuple[str, str]] = set()
    for cell in cells_of(study):
        try:
            opened, dataset = desk.model(cell.model), desk.dataset(cell.dataset)
            seen = desk.seen(cell.model, cell.dataset)
            require_possible(cell, opened, dataset, study, seen.image_ids)
            before, inputs = store.record(cell), inputs_of(cell, opened, dataset, study, seen.image_ids)
            if before is not None and before.status == DONE and before.inputs == inputs:
                planned.append(Planned(cell, DONE))
                continue
            key = (cell.model, cell.dataset)
            if key not in per_image:
                per_image[key] = _seconds_per_image(opened, dataset)
                if any(key_of(model) in dataset.archive.embedding_keys() for model in opened.members):
                    cached.add(key)
            planned.append(
                Planned(cell, "to do", _seconds(cell, study, opened, dataset, per_image[key], key in cached))
            )
            if cell.adaptation == "probe":
                cached.add(key)
        except NotImportedError as error:
            planned.append(Planned(cell, "to do", reason=str(error)))
        except HilumError as error:
            planned.append(Planned(cell, "missing", reason=str(error)))
    return planned


def _seconds(cell: Cell, study: Study, opened: Opened, dataset: Dataset, per_image: float, is_cached: bool) -> float:
    every = len(dataset.examples)
    train = int(cell.fraction * len(dataset.examples.of_split("train")))
    if cell.shots is not None:
        train = min(train, cell.shots * (1 + len(dataset.examples.target.classes)))
    if cell.adaptation == "zero-shot":
        return per_image * len(dataset.examples.of_split("test")) * len(opened.members)
    if cell.adaptation == "probe":
        solving = train * opened.model.embed_dim * len(dataset.examples.target.classes) / SOLVED_PER_S
        return 0.3 + solving + (0.0 if is_cached else per_image * every)
    recipe = find_recipe(study.finetune.recipe, study.finetune.settings)
    held = len(dataset.examples.of_split("val"))
    return recipe.epochs * per_image * (BACKWARD * train + held)


def _seconds_per_image(opened: Opened, dataset: Dataset) -> float:
    """Reading, squaring and encoding, measured after a first image has warmed it up."""
    rows = dataset.archive.images(["row"])["row"].to_numpy()[:TRIED_IMAGES]
    model = opened.members[0]
    features_of_squares(model, model.preprocess.squares(dataset.archive.pixels(rows[:1])))
    began = time.perf_counter()
    features_of_squares(model, model.preprocess.squares(dataset.archive.pixels(rows)))
    return (time.perf_counter() - began) / max(1, len(np.atleast_1d(rows)))
