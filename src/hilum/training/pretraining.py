"""From archives to a model folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import hilum
from hilum.archive import Archive
from hilum.errors import TrainingError, UsageError
from hilum.methods import Entry, find_method
from hilum.methods.method import Method, Share
from hilum.methods.recipe import Recipe
from hilum.models.model import CONFIG
from hilum.training.card import model_card
from hilum.training.checkpoints import BEST, claim_folder, load_state
from hilum.training.loop import OnStep, plan_of, train
from hilum.training.mixture import Mixture
from hilum.training.processes import first_does, start_processes
from hilum.training.stopwatch import Stopwatch
from hilum.training.validation import Truth, validation_truth

logger = logging.getLogger(__name__)

Archives = Archive | str | os.PathLike[str] | Sequence[Archive | str | os.PathLike[str]]


@dataclass(frozen=True)
class Pretrained:
    """What a pretraining made.

    Attributes:
        folder: the model folder.
        steps: how many steps were planned and done.
        best: the step kept and its measurements.
        counts: images, pairs, texts left out and cut, for train and val.
        selected_by: which measurement chose the step.
        shares: where the time went, as shares of all; empty where nothing was trained.
        overhead: share of the steps' time that was not the towers' forward and backward pass.
    """

    folder: Path
    steps: int
    best: dict[str, float] | None
    counts: dict[str, dict[str, int]]
    selected_by: str
    shares: dict[str, float] = field(default_factory=dict)
    overhead: float = 0.0


def pretrain(
    method: str,
    archives: Archives,
    out: str | os.PathLike[str],
    *,
    tiny: bool = False,
    variant: str | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    save_every: int = 50,
    devices: int = 1,
    nodes: int = 1,
    precision: str = "32-true",
    compiled: bool = False,
    profiled: bool = False,
    on_step: OnStep | None = None,
) -> Pretrained:
    """Pretrain an encoder on one archive or several and write a model folder.

    A run that was stopped goes on when it is called again with the same arguments. The step kept is the one with the best
    zero-shot AUROC on the split 'val' where a dataset gave labels, else the one with the lowest validation loss; a method
    whose validation loss means nothing (see `Method.validates`) keeps its last step.

    Args:
        method: a name in `hilum.methods.METHODS`.
        archives: the archive or archives, or their paths; trains on split 'train', validates on 'val'.
        out: the model folder; `out/training` holds the run's state and logs.
        tiny: the small variant that two CPU cores train in minutes.
        variant: a named variant of the recipe.
        settings: `key=value` changes of the recipe.
        seed: of weights, order and draws.
        save_every: steps between states that a stopped run can go on from.
        devices: how many devices of each machine.
        nodes: how many machines.
        precision: of Lightning Fabric: 32-true, bf16-mixed, 16-mixed.
        compiled: compile the towers with torch.compile.
        profiled: time every section exactly (on a GPU the CPU then waits for it).
        on_step: called after every step, in process 0.

    Raises:
        TrainingError, RecipeError, ModelError, UsageError: before the first step where they can be known; see each.
    """
    entry = find_method(method)
    recipe = entry.recipe.resolve(settings, tiny, variant)
    shares = shares_of(archives, recipe)
    out = Path(out)
    if entry.method is None:
        return _without_training(entry, recipe, method, shares, out, seed)
    fabric = start_processes(devices, nodes, precision)
    torch.manual_seed(seed)
    learner = entry.method(recipe)
    learner.prepare(shares)
    examples, validation = _collect(learner, shares, recipe)
    truth = _truth(learner, validation)
    run = {
        "method": method,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "precision": precision,
        "text_policy": ", ".join(share.policy for share in shares) if learner.needs_reports else "",
        "examples": examples.digest(),
        "validation_examples": validation.digest() if validation is not None else None,
        "format": 2,
    }
    plan_of(examples, recipe, seed)  # refuses before the folder is claimed
    folder = out / "training"
    first_does(fabric, lambda: claim_folder(folder, run))
    result = train(
        learner,
        examples,
        validation,
        truth,
        folder,
        seed=seed,
        save_every=save_every,
        fabric=fabric,
        compiled=compiled,
        profiled=profiled,
        on_step=on_step,
    )
    counts = {"train": examples.counts, "val": validation.counts if validation is not None else {}}
    first_does(fabric, lambda: _export(learner, out, run | pretrained_on(shares), result, counts, truth))
    chosen = "val_auroc" if truth else "val_loss" if validation is not None else "last step"
    watch: Stopwatch = result["stopwatch"]
    return Pretrained(out, result["steps"], result["best"], counts, chosen, watch.shares(), watch.overhead())


def shares_of(archives: Archives, recipe: Recipe) -> list[Share]:
    """The archives of a run, each with its text and weight from the recipe.

    Raises:
        UsageError: no archive, or a number of texts or weights that is not the number of archives.
        ArchiveError: an archive cannot be opened.
    """
    given = [archives] if isinstance(archives, Archive | str | os.PathLike) else list(archives)
    if not given:
        raise UsageError("name at least one archive to learn from.")
    opened = [archive if isinstance(archive, Archive) else Archive.open(archive) for archive in given]
    for name in ("texts", "weights"):
        values = getattr(recipe, name)
        if values and len(values) != len(opened):
            raise UsageError(
                f"recipe {recipe.name}: {name} has {len(values)} values ({', '.join(map(str, values))}) for {len(opened)} "
                f"archive{'s' * (len(opened) > 1)}; give one for each, in order: --set {name}=..."
            )
    if any(weight <= 0 for weight in recipe.weights):
        raise UsageError(f"recipe {recipe.name}: weights must be above zero; leave an archive out instead.")
    texts = list(recipe.texts) or [recipe.text_policy or ""] * len(opened)
    weights = recipe.weights or (1.0,) * len(opened)
    return [Share(a, text or None, weight) for a, text, weight in zip(opened, texts, weights, strict=True)]


def pretrained_on(shares: Sequence[Share]) -> dict[str, list[str]]:
    """What a model is pretrained on, for those who ask later whether it has seen a test image: `archives`, `sources`."""
    archives = [str(share.archive.path.resolve()) for share in shares]
    sources = sorted({name for share in shares for name in share.archive.manifest.sources})
    return {"archives": archives, "sources": sources}


def _collect(learner: Method, shares: list[Share], recipe: Recipe) -> tuple[Mixture, Mixture | None]:
    examples = Mixture.collect(learner, shares, "train")
    if not len(examples):
        where = ", ".join(str(share.archive.path) for share in shares)
        raise TrainingError(
            f"{where}: the split 'train' has nothing that {recipe.name} can learn from ({_told(examples.counts)}). "
            "See: hilum info ARCHIVE"
        )
    if not learner.validates:
        return examples, None
    validation = Mixture.collect(learner, shares, "val", most=recipe.validation_images)
    if len(validation) < 2:
        logger.warning("the split 'val' has fewer than 2 examples: the last step is kept, unchosen")
        return examples, None
    return examples, validation


def _truth(learner: Method, validation: Mixture | None) -> Truth | None:
    """Labels to choose a step by: of the first archive that has any."""
    if validation is None or not learner.asks_zero_shot:
        return None
    for share, part in zip(validation.shares, validation.parts, strict=True):
        found = validation_truth(share.archive, part.image_ids) if len(part) else None
        if found is not None:
            return found
    return None


def _export(
    learner: Method,
    out: Path,
    run: dict[str, Any],
    result: dict[str, Any],
    counts: dict[str, dict[str, int]],
    truth: Truth | None,
) -> None:
    best = load_state(out / "training" / BEST)
    if best is not None:
        learner.load_state_dict(best["method"], strict=True)
    provenance = {
        "name": out.name,
        "made_by": f"pretrain {run['method']}",
        "hilum": hilum.__version__,
        "paper": type(learner.recipe).paper,
        "recipe": run["recipe"],
        "seed": run["seed"],
        "text_policy": run["text_policy"],
        "archives": run["archives"],
        "sources": run["sources"],
        "steps": result["steps"],
        "kept": result["best"],
        "chosen_by": f"val_auroc ({truth.said_by})" if truth else "val_loss" if best is not None else "last step",
        "counts": counts,
    }
    model = learner.model(provenance)
    (out / CONFIG).unlink(missing_ok=True)
    model.save(out, card=model_card(model, type(learner.recipe).paper, result))


def _without_training(
    entry: Entry, recipe: Recipe, method: str, shares: list[Share], out: Path, seed: int
) -> Pretrained:
    """A baseline whose weights are had as they are."""
    assert entry.baseline is not None
    torch.manual_seed(seed)
    model = entry.baseline(recipe)
    model.name = out.name
    model.provenance |= {
        "name": out.name,
        "made_by": f"pretrain {method}",
        "hilum": hilum.__version__,
        "paper": type(recipe).paper,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "steps": 0,
    }
    model.save(out)
    return Pretrained(out, 0, None, {"train": {"images": sum(len(share.archive) for share in shares)}}, "no training")


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in counts.items()) or "no images"
