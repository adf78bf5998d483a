"""Finetuning: from a pretrained model and an archive's labels to a model folder with a head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

import hilum
from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.imaging.augment import light
from hilum.labelsets import LabelSet
from hilum.methods.squares import SquareReader
from hilum.models import Model
from hilum.models.head import Head
from hilum.models.model import CONFIG
from hilum.tables import write_table
from hilum.tasks.feature_cache import features, features_of_squares
from hilum.tasks.finetune_card import finetuned_card
from hilum.tasks.finetune_recipe import RECIPES, Finetune
from hilum.tasks.fractions import Part, draw
from hilum.tasks.gradient import Outcome, Pass, train_network
from hilum.tasks.headed import HeadedEncoder, TrainableHead, selection_auroc
from hilum.tasks.labels import ClassLabels, FindingLabels, Labels
from hilum.tasks.layers import make_optimizer, used_parameters
from hilum.tasks.probing import SCORED_SPLITS, scores_table, step_scores
from hilum.tasks.targets import Examples, examples_of, require_split
from hilum.training.checkpoints import claim_folder

EVALUATED_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Finetuned:
    """A finetuned model and what it says.

    Attributes:
        folder: the model folder, with its head.
        head: the head.
        outcome: validation AUROC after each pass, and the pass that was kept.
        scores: split -> (N, C') scores of its images, in the order of `examples[split]`; val and test where they are there.
        examples: split -> its images and truth; 'train' is the part that was learned from.
        part: which training images.
        remarks: what a reader of the numbers should know.
    """

    folder: Path
    head: Head
    outcome: Outcome
    scores: dict[str, np.ndarray]
    examples: dict[str, Examples]
    part: Part
    remarks: tuple[str, ...]

    def table(self, split: str) -> pa.Table:
        """Scores of a split with their ids, as `Probed.table`."""
        return scores_table(self.examples[split], self.head, self.scores[split])


def finetune(
    model: Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    target: str | Sequence[str] | LabelSet | None = None,
    *,
    out: str | PathLike[str],
    recipe: str | Finetune = "paper",
    tiny: bool = False,
    settings: Sequence[str] = (),
    fraction: float = 1.0,
    shots: int | None = None,
    unit: str = "patient",
    seed: int = 0,
    said_by: str | None = None,
    labels: str | PathLike[str] | None = None,
    where: str | None = None,
    examples: Examples | None = None,
    exclude: Sequence[str] = (),
    save_every: int = 200,
    on_pass: Callable[[Pass], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Finetuned:
    """Train a head, and the encoder below it, on the split 'train'; keep the pass with the best AUROC on 'val'.

    A run that was stopped goes on when it is called again with the same arguments, and ends with the same weights.

    Args:
        model: the pretrained model, or its folder; it is left as it is.
        archive: the archive, or its path.
        target: a label set or findings; default every finding that the labels state.
        out: the model folder to write; `out/training` holds the run's state.
        recipe: "paper" (the founding study's settings), "modern", or a recipe of one's own.
        tiny: few passes.
        settings: `key=value` changes of the recipe.
        fraction, shots, unit: which part of the training images; see `hilum.tasks.fractions`.
        seed: of the part, the head, order and draws.
        said_by: whose labels.
        labels: a table of labels in place of the archive's.
        where: which images, for example "view != 'lateral'".
        examples: the labeled images, where `examples_of` has read them before; then target, said_by, labels and where are not used.
        exclude: image ids to leave out of every split.
        save_every: steps between states.
        on_pass: called after each pass.
        on_step: called with (step, steps) after each step.

    Raises:
        UsageError, RecipeError: no training images of the target, nothing to learn, or an unknown setting.
        TrainingError: `out` holds another run, or a loss is not finite.
    """
    chosen = recipe if isinstance(recipe, Finetune) else find_recipe(recipe, settings, tiny)
    model = model if isinstance(model, Model) else Model.load(model)
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    part = Part(fraction, shots, "image" if unit == "image" else "patient", seed)
    every = examples
    if every is None:
        every = examples_of(archive, target, said_by=said_by, labels=Path(labels) if labels else None, where=where)
    every = every.without(exclude)
    groups = {"train": draw(require_split(every, "train", archive), part)}
    groups |= {split: found for split in SCORED_SPLITS if len(found := every.of_split(split))}
    of_task: type[Labels] = ClassLabels if every.is_classes else FindingLabels
    known = of_task.read(groups["train"].truth, every.target.classes, every.target.task)
    out = Path(out)
    made = {
        "made_by": "finetune",
        "recipe": chosen.model_dump(mode="json"),
        "target": [every.target.name, list(known.names)],
        "said_by": every.said_by,
        "longer_side_px": archive.manifest.longer_side_px,
        "part": part.describe(),
        "seed": seed,
        "encoder": model.fingerprint,
        "images": {name: len(group) for name, group in groups.items()},
        "format": 1,
    }
    claim_folder(out / "training", made)
    torch.manual_seed(seed)
    network = _build(model, groups["train"], known, chosen)
    task = _ImageTask(model, archive, groups, known, chosen)
    outcome = _train(network, task, chosen, seed, out, save_every, on_pass, on_step)
    finished = _finished(model, network, made, out, outcome)
    head = network.head.plain({**made, "hilum": hilum.__version__})
    scores = {split: step_scores(head, task.held(finished, split)) for split in SCORED_SPLITS if split in groups}
    remarks = [*every.remarks, *(f"{name}: {why}" for name, why in known.skipped.items())]
    remarks += [f"no image of the split '{split}' has a label" for split in SCORED_SPLITS if split not in groups]
    if outcome.best_epoch is None:
        remarks.append("validation AUROC is undefined: the last pass was kept, unchosen")
    done = Finetuned(out, head, outcome, scores, groups, part, tuple(dict.fromkeys(remarks)))
    for split in scores:
        write_table(out / f"scores-{split}.csv", done.table(split))
        write_table(out / f"truth-{split}.csv", groups[split].table())
    (out / CONFIG).unlink(missing_ok=True)
    head.save(out)
    finished.save(out, card=finetuned_card(finished, head, str(part), done.remarks))
    return done


def find_recipe(name: str, settings: Sequence[str] = (), tiny: bool = False) -> Finetune:
    """A recipe by name, with changes.

    Raises:
        UsageError: there is none of this name.
        RecipeError: a setting is unknown or out of range.
    """
    if name not in RECIPES:
        raise UsageError(f"no finetuning recipe '{name}'. There are: {', '.join(RECIPES)}.")
    return Finetune.resolve(settings, tiny, None if name == "paper" else name)


def _build(model: Model, train: Examples, known: Labels, recipe: Finetune) -> HeadedEncoder:
    encoder = copy.deepcopy(model.encoder)
    with torch.inference_mode():
        side = model.preprocess.canvas_px
        width = encoder.image_features(model.preprocess(np.zeros((1, side, side), np.uint8)).to(model.device)).shape[1]
    below = None
    if every_class := (known.names if known.task == "ordinal" else ()):
        classes = train.truth[~np.isnan(train.truth)]
        numbers = [train.target.classes.index(name) for name in every_class]
        below = np.array([(classes <= number).mean() for number in numbers[:-1]])
    head = TrainableHead(width, known.task, known.names, below)
    for parameter in encoder.parameters():
        parameter.requires_grad_(not recipe.freeze)
    return HeadedEncoder(encoder, head, recipe.freeze).to(model.device)


def _train(
    network: HeadedEncoder,
    task: _ImageTask,
    recipe: Finetune,
    seed: int,
    out: Path,
    save_every: int,
    on_pass: Callable[[Pass], None] | None,
    on_step: Callable[[int, int], None] | None,
) -> Outcome:
    """Train the whole network; of a frozen encoder without augmentation the head alone, on features computed once."""
    trained: nn.Module = network.head if task.is_cached else network
    few = np.arange(min(2, task.count))
    used = used_parameters(trained, lambda: task.loss(trained, few, torch.Generator()))
    head = {name: one for name, one in used.items() if task.is_cached or name.startswith("head.")}
    encoder = {name: one for name, one in used.items() if name not in head}
    optimizer = make_optimizer(recipe, encoder, head)
    return train_network(
        trained, optimizer, task, recipe,
        seed=seed, folder=out / "training", save_every=save_every, on_pass=on_pass, on_step=on_step,
    )  # fmt: skip


def _finished(model: Model, network: HeadedEncoder, made: dict[str, Any], out: Path, outcome: Outcome) -> Model:
    provenance = {
        **made,
        "name": out.name,
        "hilum": hilum.__version__,
        "best_epoch": outcome.best_epoch,
        "best_val_auroc": outcome.best_auroc,
        "pretrained": model.provenance,
    }
    finished = Model(network.encoder, model.preprocess, model.tokenizer, provenance, model.device)
    finished.name = out.name
    return finished


class _ImageTask:
    """Images of an archive as a task of `train_network`."""

    def __init__(
        self, model: Model, archive: Archive, groups: dict[str, Examples], known: Labels, recipe: Finetune
    ) -> None:
        self._model, self._recipe, self._groups, self._known = model, recipe, groups, known
        self.count = len(groups["train"])
        self.is_cached = recipe.freeze and recipe.augment == "none"
        rows = archive.images(["row", "image_id"])
        row_of = dict(zip(rows["image_id"].to_pylist(), rows["row"].to_pylist(), strict=True))
        self._readers, self._features = {}, {}
        for name, group in groups.items():
            at = np.array([row_of[one] for one in group.image_ids], np.int64)
            self._readers[name] = SquareReader(archive, at, group.image_ids, model.preprocess)  # type: ignore[arg-type]
            if self.is_cached:
                self._features[name] = features(model, archive, group.image_ids)
        self._truth = {name: self._of_head(group) for name, group in groups.items()}

    def loss(self, network: nn.Module, picks: np.ndarray, draws: torch.Generator) -> Tensor:
        """The loss of a batch of training images."""
        head = network if isinstance(network, TrainableHead) else network.head
        assert isinstance(head, TrainableHead)
        truth = torch.as_tensor(self._truth["train"][picks], dtype=torch.float32, device=self._model.device)
        return head.loss(network(self._inputs("train", picks, draws)), truth)

    def measure(self, network: nn.Module) -> float:
        """Validation AUROC as the recipe selects by; NaN without validation images."""
        if "val" not in self._groups:
            return float("nan")
        count = len(self._groups["val"])
        chunks = [
            network(self._inputs("val", np.arange(start, min(start + EVALUATED_AT_ONCE, count)), None)).float().cpu()
            for start in range(0, count, EVALUATED_AT_ONCE)
        ]
        logits = torch.cat(chunks).double().numpy()
        return selection_auroc(logits, self._truth["val"], self._known.task, self._recipe.select)

    def names(self, picks: np.ndarray) -> list[str]:
        """Image ids."""
        return [self._groups["train"].image_ids[place] for place in picks]

    def held(self, model: Model, split: str) -> np.ndarray:
        """(N, F) features of a split's images under a model."""
        if self.is_cached:
            return self._features[split]
        reader, count = self._readers[split], len(self._groups[split])
        starts = range(0, count, EVALUATED_AT_ONCE)
        squares = (reader.read(np.arange(start, min(start + EVALUATED_AT_ONCE, count))) for start in starts)
        return np.concatenate([features_of_squares(model, one) for one in squares])

    def _inputs(self, split: str, picks: np.ndarray, draws: torch.Generator | None) -> Tensor:
        device = self._model.device
        if self.is_cached:
            return torch.as_tensor(self._features[split][picks], device=device)
        squares = torch.from_numpy(self._readers[split].read(picks)).to(device)
        if draws is not None and self._recipe.augment == "light":
            squares = light(squares, draws)
        return self._model.preprocess.tensor(squares)

    def _of_head(self, group: Examples) -> np.ndarray:
        """Truth of the findings or classes that the head has."""
        classes, names = group.target.classes, self._known.names
        if not group.is_classes:
            return group.truth[:, [classes.index(name) for name in names]]
        number = {classes.index(name): float(place) for place, name in enumerate(names)}
        return np.array([number.get(int(one), np.nan) if one == one else np.nan for one in group.truth])
