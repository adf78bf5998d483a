"""From an archive to a model folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

import hilum
from hilum.archive import Archive
from hilum.errors import TrainingError
from hilum.methods import find_method
from hilum.methods.chexzero import CheXzero, CheXzeroMethod, Pairs
from hilum.models.model import CONFIG
from hilum.training.card import model_card
from hilum.training.checkpoints import BEST, claim_folder, load_state
from hilum.training.loop import OnStep, train
from hilum.training.plan import Plan
from hilum.training.validation import Truth, validation_truth

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """What a pretraining made.

    Attributes:
        folder: the model folder.
        steps: how many steps were planned and done.
        best: the step kept and its measurements.
        counts: images, pairs, texts left out and cut, for train and val.
        selected_by: which measurement chose the step.
    """

    folder: Path
    steps: int
    best: dict[str, float] | None
    counts: dict[str, dict[str, int]]
    selected_by: str


def pretrain(
    method: str,
    archive: Archive | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tiny: bool = False,
    settings: Sequence[str] = (),
    seed: int = 0,
    save_every: int = 50,
    devices: int = 1,
    precision: str = "32-true",
    on_step: OnStep | None = None,
) -> Pretrained:
    """Pretrain an encoder on an archive and write a model folder.

    A run that was stopped goes on when it is called again with the same arguments. The step kept is the one with the best
    zero-shot AUROC on the split 'val' where a dataset gave labels, else the one with the lowest validation loss.

    Args:
        method: a name in `hilum.methods.METHODS`.
        archive: the archive, or its path; trains on split 'train', validates on 'val'.
        out: the model folder; `out/training` holds the run's state and logs.
        tiny: the small variant that two CPU cores train in minutes.
        settings: `key=value` changes of the recipe.
        seed: of weights, order and draws.
        save_every: steps between states that a stopped run can go on from.
        devices: how many devices of this machine.
        precision: of Lightning Fabric: 32-true, bf16-mixed, 16-mixed.
        on_step: called after every step.

    Raises:
        TrainingError, RecipeError, ModelError, UsageError: before the first step where they can be known; see each.
    """
    entry = find_method(method)
    recipe = entry.recipe.resolve(settings, tiny)
    archive = archive if isinstance(archive, Archive) else Archive.open(Path(archive))
    out = Path(out)
    folder = out / "training"
    fabric = Fabric(accelerator="auto", devices=devices, precision=precision)
    if devices > 1:
        fabric.launch()
    torch.manual_seed(seed)
    learner = entry.method(recipe)
    pairs, validation = _collect(learner, archive, recipe)
    truth = validation_truth(archive, validation) if validation is not None else None
    run = {
        "method": method,
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "precision": precision,
        "text_policy": recipe.text_policy or archive.manifest.text_policy,
        "examples": _digest(pairs),
        "validation_examples": _digest(validation) if validation is not None else None,
        "format": 1,
    }
    Plan.of(len(pairs), recipe.batch_size, recipe.epochs, seed)  # refuses before the folder is claimed
    claim_folder(folder, run)
    result = train(
        learner, pairs, validation, truth, folder, seed=seed, save_every=save_every, fabric=fabric, on_step=on_step
    )
    counts = {"train": pairs.counts, "val": validation.counts if validation is not None else {}}
    if fabric.global_rank == 0:
        _export(learner, out, method, recipe, run, result, counts, truth)
    chosen = "val_auroc" if truth else "val_loss" if validation is not None else "last step"
    return Pretrained(out, result["steps"], result["best"], counts, chosen)


def _collect(learner: CheXzeroMethod, archive: Archive, recipe: CheXzero) -> tuple[Pairs, Pairs | None]:
    pairs = learner.collect(archive, "train")
    if not len(pairs):
        splits = archive.images(["split"])["split"].value_counts().to_pylist() if len(archive) else []
        found = ", ".join(f"{s['values']}: {s['counts']}" for s in splits) or "no images"
        raise TrainingError(
            f"{archive.path}: no image of the split 'train' has a report text under the policy "
            f"'{recipe.text_policy or archive.manifest.text_policy}' (images by split: {found}; without text: "
            f"{pairs.counts['images_without_text']}). An image-text method needs reports: ingest them, "
            "or choose another text with --set text_policy=both."
        )
    validation = learner.collect(archive, "val", most=recipe.validation_images)
    if len(validation) < 2:
        logger.warning("the split 'val' has fewer than 2 images with text: the last step is kept, unchosen")
        return pairs, None
    return pairs, validation


def _export(
    learner: CheXzeroMethod,
    out: Path,
    method: str,
    recipe: CheXzero,
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
        "made_by": f"pretrain {method}",
        "hilum": hilum.__version__,
        "paper": type(recipe).paper,
        "recipe": run["recipe"],
        "seed": run["seed"],
        "text_policy": run["text_policy"],
        "steps": result["steps"],
        "kept": result["best"],
        "chosen_by": f"val_auroc ({truth.said_by})" if truth else "val_loss" if best is not None else "last step",
        "counts": counts,
    }
    model = learner.model(provenance)
    (out / CONFIG).unlink(missing_ok=True)
    model.save(out, card=model_card(model, type(recipe).paper, result))


def _digest(pairs: Pairs) -> str:
    digest = hashlib.sha256()
    for image_id, text in zip(pairs.image_ids, pairs.texts, strict=True):
        digest.update(json.dumps([image_id, text]).encode())
    return digest.hexdigest()[:16]
