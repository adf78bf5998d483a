"""One cell computed: zero-shot scores, a probe, or a finetuned model, on the test images of a dataset."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hilum.errors import ModelError, UsageError
from hilum.studies.cells import Cell
from hilum.studies.inputs import Dataset, Opened
from hilum.studies.spec import Study
from hilum.studies.store import Scores, Store
from hilum.tasks.feature_cache import features
from hilum.tasks.finetuning import finetune
from hilum.tasks.probing import probe
from hilum.tasks.scoring import zeroshot

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Adapted:
    """What a cell gave: scores of the test images, facts about how they were made, and remarks."""

    scores: Scores
    made: dict[str, Any]
    remarks: tuple[str, ...]


def inputs_of(cell: Cell, opened: Opened, dataset: Dataset, study: Study, seen: Sequence[str]) -> dict[str, Any]:
    """What a cell's result hangs on; another value means that it must be done again."""
    settings = {"zero-shot": study.zero_shot, "probe": study.probe, "finetune": study.finetune}[cell.adaptation]
    described = settings.model_dump(mode="json", exclude={"keep_models"})
    return {
        "model": opened.fingerprint,
        "data": dataset.data_fingerprint,
        "split": dataset.split_fingerprint,
        "target": [dataset.examples.target.name, *dataset.examples.target.classes],
        "said_by": dataset.examples.said_by,
        "settings": described,
        "unit": study.unit,
        "left_out": sorted(seen) if study.exclude_seen else [],
    }


def adapt(
    cell: Cell,
    opened: Opened,
    dataset: Dataset,
    study: Study,
    seen: Sequence[str],
    store: Store,
    on_step: OnStep | None = None,
) -> Adapted:
    """Compute a cell.

    Raises:
        HilumError: it cannot be had; the message is the reason the report gives.
    """
    require_possible(cell, opened, dataset, study, seen)
    examples = dataset.examples.without(seen if study.exclude_seen else [])
    if cell.adaptation == "zero-shot":
        return _zero_shot(cell, opened, dataset, study, seen, store)
    how: dict[str, Any] = {
        "examples": examples,
        "fraction": cell.fraction,
        "shots": cell.shots,
        "unit": study.unit,
        "seed": cell.seed,
    }
    if cell.adaptation == "probe":
        _features_alone(cell, opened, dataset, store)
        probed = probe(opened.model, dataset.archive, protocol=study.probe.protocol, **how)
        scores = _scores(
            probed.table("test").column_names[3:], probed.examples["test"].image_ids, probed.scores["test"]
        )
        fit = probed.fit
        fitted = fit.head.names if len(fit.strengths) == len(fit.head.names) else ("all classes",)
        made = {
            "strengths": dict(zip(fitted, map(float, fit.strengths), strict=True)),
            "images": {name: len(group) for name, group in probed.examples.items()},
            "part": probed.part.describe(),
        }
        return Adapted(scores, made, probed.remarks)
    folder = store.run_folder(cell)
    done = finetune(
        opened.model, dataset.archive, out=folder, recipe=study.finetune.recipe, settings=study.finetune.settings,
        on_step=on_step, **how,
    )  # fmt: skip
    scores = _scores(done.table("test").column_names[3:], done.examples["test"].image_ids, done.scores["test"])
    made = {
        "best_epoch": done.outcome.best_epoch,
        "best_val_auroc": done.outcome.best_auroc,
        "images": {name: len(group) for name, group in done.examples.items()},
        "part": done.part.describe(),
        "head": done.head.fingerprint,
    }
    if not study.finetune.keep_models:
        shutil.rmtree(folder, ignore_errors=True)
    return Adapted(scores, made, done.remarks)


def require_possible(cell: Cell, opened: Opened, dataset: Dataset, study: Study, seen: Sequence[str]) -> None:
    """Refuse what cannot be had, before anything is computed.

    Raises:
        HilumError: why.
    """
    target = dataset.examples.target
    test = dataset.examples.of_split("test")
    if not len(test.without(seen if study.exclude_seen else [])):
        raise UsageError(
            f"no labeled image of the split 'test' is left ({len(test)} before those that pretraining has seen were left out)."
        )
    if cell.adaptation != "zero-shot":
        opened.model  # noqa: B018 - raises for an ensemble
    elif target.task == "ordinal":
        raise UsageError(f"'{target.name}' asks for a grade; a pair of prompts tells only whether something is there.")
    elif any(model.tokenizer is None for model in opened.members):
        raise ModelError(f"{cell.model} has no text tower: it cannot be asked in words.")


def _zero_shot(
    cell: Cell, opened: Opened, dataset: Dataset, study: Study, seen: Sequence[str], store: Store
) -> Adapted:
    target = dataset.examples.target
    test = dataset.examples.without(seen if study.exclude_seen else []).of_split("test")
    where = "split = 'test'" + (f" AND ({dataset.entry.where})" if dataset.entry.where else "")
    with store.claim(f"features~{cell.model}~{cell.dataset}", wait=True):
        found = zeroshot(
            list(opened.members),
            dataset.archive,
            target.classes,
            where=where,
            prompts=study.zero_shot.prompts,
            free_text=True,
        )
    place = {one: row for row, one in enumerate(found.image_ids)}
    values = found.scores[[place[one] for one in test.image_ids]]
    prompts = {name: [list(asked), list(against)] for name, (asked, against) in found.prompts.items()}
    made = {"prompts": prompts, "images": {"test": len(test)}}
    return Adapted(_scores(target.classes, test.image_ids, values.astype(np.float64)), made, dataset.examples.remarks)


def _features_alone(cell: Cell, opened: Opened, dataset: Dataset, store: Store) -> None:
    """Features are computed by one worker while others that need the same wait."""
    with store.claim(f"features~{cell.model}~{cell.dataset}", wait=True):
        wanted = [
            one
            for one, split in zip(dataset.examples.image_ids, dataset.examples.splits, strict=True)
            if split is not None
        ]
        features(opened.model, dataset.archive, wanted)


def _scores(names: Sequence[str], image_ids: list[str], values: np.ndarray) -> Scores:
    return Scores(image_ids, tuple(names), values)
