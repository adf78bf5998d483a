"""Finetuning with few labels and many images without: from a pretrained model and an archive to a model with a head."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import hilum
from hilum.archive import Archive
from hilum.errors import TrainingError, UsageError
from hilum.imaging.augment import augment
from hilum.labelsets import LabelSet
from hilum.methods.pictures import PictureReader
from hilum.methods.schedule import Place
from hilum.models import Model
from hilum.models.head import Head
from hilum.models.model import save_ensemble
from hilum.tables import write_table
from hilum.tasks.fractions import Part, draw
from hilum.tasks.semi_supervised.recipe import SemiSupervised
from hilum.tasks.semi_supervised.students import Classifier, Classroom, Labeled, Unlabeled
from hilum.tasks.targets import Examples, examples_of, require_split
from hilum.training.checkpoints import LAST, claim_folder, load_state, save_state
from hilum.training.plan import Plan, step_rng

logger = logging.getLogger(__name__)

HELD_SPLITS = ("val", "test")
CANVAS_ZOOM = 1.25  # pictures are held this much larger than the squares that are cropped from them

OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True, eq=False)
class Taught:
    """What was learned.

    Attributes:
        folder: a model with a head; of two students an ensemble of two such.
        scores: split -> (N, C) of its images in the order of `examples[split]`: the teachers' mean logits as chances.
        examples: split -> its images and truth; 'train' is the labeled part.
        steps: how many were done.
        counts: images with labels and without.
        part: which training images were labeled.
    """

    folder: Path
    scores: dict[str, np.ndarray]
    examples: dict[str, Examples]
    steps: int
    counts: dict[str, int]
    part: Part

    def table(self, split: str) -> pa.Table:
        """Scores of a split: `image_id`, `study_id`, `patient_id` and a column for each finding."""
        examples = self.examples[split]
        columns: dict[str, Any] = {
            "image_id": pa.array(examples.image_ids, pa.string()),
            "study_id": pa.array(examples.study_ids, pa.string()),
            "patient_id": pa.array(examples.patient_ids, pa.string()),
        }
        return pa.table(columns | dict(zip(examples.target.classes, self.scores[split].T, strict=True)))


def semi_supervise(
    model: Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    target: str | Sequence[str] | LabelSet | None = None,
    *,
    out: str | PathLike[str],
    fraction: float = 1.0,
    shots: int | None = None,
    unit: str = "patient",
    variant: str | None = None,
    tiny: bool = False,
    settings: Sequence[str] = (),
    said_by: str | None = None,
    labels: str | PathLike[str] | None = None,
    where: str | None = None,
    seed: int = 0,
    save_every: int = 200,
    on_step: OnStep | None = None,
) -> Taught:
    """Finetune a pretrained encoder with few labels and many images without (S2MTS2's second stage).

    A part of the training patients lends its labels; all other images of the split 'train' teach without. A run that was
    stopped goes on when it is called again with the same arguments, and ends with the same weights.

    Args:
        model: the pretrained model, or its folder.
        archive: the archive, or its path.
        target: a label set of findings, its name, or findings; default every finding that the labels state.
        out: the folder to write.
        fraction: share of the training patients (or images, with `unit`) whose labels are used.
        shots: labels of this many images of each finding instead.
        unit: "patient" or "image": what a fraction is of.
        variant: None for the mean teacher, or "two-students".
        tiny: small settings.
        settings: `key=value` changes of the recipe.
        said_by: whose labels.
        labels: a table of labels in place of the archive's.
        where: which images, for example "view != 'lateral'".
        seed: of the part, the heads, order and draws.
        save_every: steps between states that a stopped run can go on from.
        on_step: called with (step, steps, loss) after every step.

    Raises:
        UsageError, RecipeError, TrainingError: before the first step; see each.

    Example:
        >>> hilum.tasks.semi_supervise("runs/s2mts2", "archive", "chexpert-14", fraction=0.02, out="runs/taught")  # doctest: +SKIP
    """
    recipe = SemiSupervised.resolve(settings, tiny, variant)
    model = model if isinstance(model, Model) else Model.load(model)
    archive = archive if isinstance(archive, Archive) else Archive.open(Path(archive))
    part = Part(fraction, shots, "image" if unit == "image" else "patient", seed)
    every = examples_of(archive, target, said_by=said_by, labels=Path(labels) if labels else None, where=where)
    if every.is_classes:
        raise UsageError(
            f"target '{every.target.name}' is of classes; the mean teacher learns findings, each on its own. Name findings."
        )
    examples = {"train": draw(require_split(every, "train", archive), part)}
    examples |= {split: found for split in HELD_SPLITS if len(found := every.of_split(split))}
    torch.manual_seed(seed)
    run = _Run(model, archive, recipe, examples["train"], where, seed)
    folder = Path(out) / "training"
    claim_folder(
        folder,
        {
            "made_by": recipe.name,
            "recipe": recipe.model_dump(mode="json"),
            "encoder": model.fingerprint,
            "target": [every.target.name, list(every.target.classes)],
            "said_by": every.said_by,
            "part": part.describe(),
            "images": run.counts,
            "seed": seed,
            "format": 1,
        },
    )
    run.train(folder, save_every, on_step)
    scores = {split: run.scores(found) for split, found in examples.items() if split != "train"}
    taught = Taught(Path(out), scores, examples, run.steps, run.counts, part)
    _save(taught, run, model, every)
    return taught


class _Run:
    """The training, which a saved state puts at any step."""

    def __init__(
        self, model: Model, archive: Archive, recipe: SemiSupervised, train: Examples, where: str | None, seed: int
    ) -> None:
        self.model, self.archive, self.recipe, self.seed = model, archive, recipe, seed
        self.truth = torch.from_numpy(train.truth).float()
        images = archive.images(["image_id"], where=_both("split = 'train'", where))
        ids, rows = images["image_id"].to_pylist(), images["row"].to_numpy()
        place = {one: number for number, one in enumerate(ids)}
        self.labeled = np.array([place[one] for one in train.image_ids], np.int64)
        uses_others = not (recipe.compat and recipe.objective == "two-students")
        with_labels = set(self.labeled.tolist())
        others = [number for number in range(len(ids)) if number not in with_labels] if uses_others else []
        self.unlabeled = np.array(others, np.int64)
        self.counts = {"labeled": len(self.labeled), "unlabeled": len(self.unlabeled)}
        if uses_others and not len(others):
            logger.warning("every training image has its labels: nothing is left to learn from without")
        self.side_px = model.preprocess.canvas_px
        self.reader = PictureReader(archive, rows, ids, round(self.side_px * CANVAS_ZOOM))
        self.classroom = Classroom(model, train.truth.shape[1], len(train), recipe).to(model.device)
        self.plans = [Plan.of(len(p), min(len(p), recipe.batch_size), 1, seed + n) for n, p in enumerate(self._pools())]
        per_epoch = max(plan.steps_per_epoch for plan in self.plans)
        self.per_epoch, self.steps = per_epoch, max(1, round(recipe.epochs * per_epoch))
        self.optimizer = self._optimizer()

    def train(self, folder: Path, save_every: int, on_step: OnStep | None) -> None:
        """From wherever the folder says it was stopped to the end."""
        state, done = load_state(folder / LAST), 0
        if state is not None:
            self.classroom.load_state_dict(state["classroom"], strict=True)
            self.optimizer.load_state_dict(state["optimizer"])
            done = state["step"]
        self.classroom.train()
        for step in range(done, self.steps):
            loss = self._step(step)
            if not np.isfinite(loss):
                raise TrainingError(
                    f"step {step}: the loss is {loss}. Lower learning_rate (now {self.recipe.learning_rate:g}); the last "
                    "saved state is untouched."
                )
            if (step + 1) % save_every == 0 or step + 1 == self.steps:
                kept = {"classroom": self.classroom.state_dict(), "optimizer": self.optimizer.state_dict()}
                save_state(folder / LAST, {**kept, "step": step + 1})
            if on_step is not None:
                on_step(step + 1, self.steps, loss)
        self.classroom.eval()

    @torch.no_grad()
    def scores(self, examples: Examples, batch_size: int = 64) -> np.ndarray:
        """(N, C) chances of images, by the teachers."""
        images = self.archive.images(["image_id"])
        row_of = dict(zip(images["image_id"].to_pylist(), images["row"].to_pylist(), strict=True))
        rows = np.array([row_of[one] for one in examples.image_ids], np.int64)
        logits = []
        for start in range(0, len(rows), batch_size):
            pixels = self.archive.pixels(rows[start : start + batch_size])
            logits.append(self.classroom.logits(self.model.preprocess(pixels).to(self.model.device)).cpu())
        # In double precision: single would make sure images equal, and cost AUROC.
        return torch.cat(logits).double().sigmoid().numpy()

    def _step(self, step: int) -> float:
        recipe = self.recipe
        draws = torch.Generator().manual_seed(int(step_rng(self.seed, step).integers(2**62)))
        torch.manual_seed(draws.initial_seed())  # dropout and the like
        picks = [plan.picks(step) for plan in self.plans]
        rate = recipe.learning_rate * recipe.rate(Place(step, self.steps, self.per_epoch))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        numbers = torch.from_numpy(picks[0]).to(self.model.device)
        truth = self.truth[picks[0]].to(self.model.device)
        strong = recipe.views == "strong"
        labeled = Labeled(self._views(self.labeled[picks[0]], strong, draws), truth, numbers)
        unlabeled = None
        if len(picks) > 1:
            other = self.unlabeled[picks[1]]
            unlabeled = Unlabeled(self._views(other, strong, draws), self._views(other, False, draws))
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.classroom.loss(labeled, unlabeled, step // self.per_epoch, draws)
        loss.backward()
        self.optimizer.step()
        self.classroom.after_step()
        return float(loss.detach())

    def _views(self, places: np.ndarray, strong: bool, draws: torch.Generator) -> torch.Tensor:
        pictures = self.reader.read(places).to(self.model.device)
        squares = augment(pictures, self.recipe.plan(self.side_px, strong), self.side_px, draws)
        return self.model.preprocess.tensor(squares)

    def _pools(self) -> list[np.ndarray]:
        return [self.labeled, self.unlabeled] if len(self.unlabeled) else [self.labeled]

    def _optimizer(self) -> torch.optim.Optimizer:
        recipe, parameters = self.recipe, list(self.classroom.students.parameters())
        decay = recipe.weight_decay
        if recipe.optimizer == "sgd":
            return torch.optim.SGD(parameters, recipe.learning_rate, recipe.momentum, weight_decay=decay)
        kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        return kind(parameters, recipe.learning_rate, recipe.betas, recipe.eps, decay)


def _both(first: str, second: str | None) -> str:
    return f"({first}) AND ({second})" if second else first


def _save(taught: Taught, run: _Run, model: Model, every: Examples) -> None:
    made = {
        "made_by": SemiSupervised.name,
        "hilum": hilum.__version__,
        "paper": SemiSupervised.paper,
        "recipe": run.recipe.model_dump(mode="json"),
        "target": every.target.name,
        "said_by": every.said_by,
        "part": taught.part.describe(),
        "images": taught.counts,
        "steps": taught.steps,
        "seed": run.seed,
        "encoder": {"name": model.name, "fingerprint": model.fingerprint},
    }
    for split in taught.scores:
        write_table(taught.folder / f"scores-{split}.csv", taught.table(split))
        write_table(taught.folder / f"truth-{split}.csv", taught.examples[split].table())
    teachers = list(run.classroom.teachers)
    places = [taught.folder] if len(teachers) == 1 else [taught.folder / name for name in ("first", "second")]
    for place, teacher in zip(places, teachers, strict=True):
        assert isinstance(teacher, Classifier)
        saved = Model(teacher.encoder, model.preprocess, model.tokenizer, {**made, "name": place.name}, model.device)
        saved.save(place)
        weights, offsets = (p.detach().cpu().numpy() for p in (teacher.linear.weight, teacher.linear.bias))
        Head(every.target.task, every.target.classes, weights, offsets, made).save(place)
    if len(places) > 1:
        save_ensemble(taught.folder, [place.name for place in places])
