"""What a pretraining method is.

A method says what an example is (`collect`, `read`), what is drawn at random (`augment`), what the towers make of it
(`encode`), and what its losses are (`losses`). The loop in `hilum.training` does the rest, the same for all: order, devices,
gradients, optimizer, validation, saving. Everything random comes from a passed generator.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from hilum.archive import Archive
from hilum.methods.batch import Batch
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.models import Model
from hilum.models.text_towers import TextDescription

R = TypeVar("R", bound=Recipe)
E = TypeVar("E", bound="Examples")
B = TypeVar("B", bound=Batch)


@dataclass(frozen=True)
class Share:
    """One archive of those that train together.

    Attributes:
        archive: where images and reports are.
        text: which text stands for a study: a text policy of `hilum.reports`, or another name that the method knows; None: the
            archive's own policy.
        weight: how often an epoch passes over its examples, relative to 1.
    """

    archive: Archive
    text: str | None = None
    weight: float = 1.0

    @property
    def policy(self) -> str:
        """`text`, or the archive's own policy."""
        return self.text or self.archive.manifest.text_policy


@dataclass
class Examples:
    """What a method trains on: N examples of one archive and split. Methods subclass it with what `read` needs.

    Attributes:
        image_ids: N names for messages: of the example's image, or of its first.
        counts: what was found and left out, by name, for the summary and the model card ("images", "pairs", ...).
        said: N texts or other facts that make this another training set when they change; for the digest.
    """

    image_ids: list[str]
    counts: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.image_ids)

    def digest(self) -> str:
        """16 hex digits that change when the examples do."""
        digest = hashlib.sha256()
        for i, image_id in enumerate(self.image_ids):
            digest.update(json.dumps([image_id, self.said[i] if self.said else ""]).encode())
        return digest.hexdigest()[:16]


class Method(nn.Module, ABC, Generic[R, E, B]):
    """Base of every pretraining method.

    Every parameter with `requires_grad` must get a gradient in every step (freeze what a loss does not reach).

    Attributes:
        recipe: the settings.
        needs_reports: whether a study without a text is no example.
        validates: whether the loss on held-out examples means something; if not, the last step is kept.
        shares_norms: whether batch normalization takes its statistics over all GPUs.
    """

    needs_reports: ClassVar[bool] = True
    validates: ClassVar[bool] = True
    shares_norms: ClassVar[bool] = False

    @property
    def asks_zero_shot(self) -> bool:
        """Whether the model answers prompts, so that a step can be chosen by zero-shot AUROC."""
        return self.needs_reports

    def __init__(self, recipe: R) -> None:
        super().__init__()
        self.recipe = recipe

    # What an example is

    def prepare(self, shares: list[Share]) -> None:
        """Build what depends on the data, such as a vocabulary of the reports, before anything is collected.

        Called once, with the archives of the training; a resumed run calls it with the same archives. What it builds must
        depend on the data and the recipe alone.
        """

    @abstractmethod
    def collect(self, share: Share, split: str, most: int | None = None) -> E:
        """The examples of one archive and split.

        Args:
            share: the archive and its text.
            split: train, val or test.
            most: no more than this many, spread evenly over the split.

        Raises:
            TrainingError: the archive lacks what this method needs; says what.
        """

    @abstractmethod
    def read(self, examples: E, picks: np.ndarray, rng: np.random.Generator | None) -> B:
        """The examples at `picks` (B,), read in another thread while the step before runs.

        Args:
            examples: from `collect`.
            picks: positions in 0..N-1.
            rng: draws partners, sentences and the like; None takes a fixed choice (validation).
        """

    # What a step does

    def augment(self, batch: B, draws: torch.Generator) -> B:
        """Random changes of the images, on the device of the batch; `draws` lives on the CPU. By default none."""
        return batch

    @abstractmethod
    def encode(self, batch: B, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """What the losses are made of, each (N, ...) with the example first.

        Must treat examples independently (but for batch statistics of normalization layers), so that a batch larger than
        memory can be encoded in parts. `ranks` is for shuffling rows over processes before such statistics are taken.
        """

    @abstractmethod
    def losses(self, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """Named losses of this process's rows against everybody's; `loss` is minimized. Computed in float32.

        Args:
            rows: what `encode` gave.
            ranks: the processes that train together.
        """

    def before_step(self, step: int, steps: int, ranks: Ranks = ALONE) -> None:
        """Before a training step's `augment`, without gradients (momentum updates).

        Args:
            step: from 0.
            steps: how many the run has.
            ranks: the processes.
        """

    def after_losses(self, batch: B, rows: dict[str, Tensor], ranks: Ranks = ALONE) -> None:
        """After a training step's losses were computed, without gradients (filling a queue); `rows` are detached."""

    def forward(
        self, batch: B, draws: torch.Generator | None = None, ranks: Ranks = ALONE
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(losses, rows) of a batch: `augment` where `draws` is given, `encode`, and `losses` in float32."""
        if draws is not None:
            batch = self.augment(batch, draws)
        rows = self.encode(batch, ranks)
        device = next(iter(rows.values())).device.type
        with torch.autocast(device, enabled=False):
            return self.losses(in_float32(rows), ranks), rows

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimizer: `params`, `weight_decay`, and `rate`, a factor on the learning rate.

        By default weight decay spares biases, norms and scalars unless the recipe says `decay_all`.
        """
        trained = [p for p in self.parameters() if p.requires_grad]
        decay = self.recipe.weight_decay
        if self.recipe.decay_all:
            return [{"params": trained, "weight_decay": decay, "rate": 1.0}]
        groups = [([p for p in trained if p.ndim >= 2], decay), ([p for p in trained if p.ndim < 2], 0.0)]
        return [{"params": params, "weight_decay": wd, "rate": 1.0} for params, wd in groups if params]

    @abstractmethod
    def architecture(self, text_tower: TextDescription | None = None) -> BaseModel:
        """What the exported encoder is built from, known before any data is.

        Args:
            text_tower: the text tower of a method that starts its own in `prepare`; others have no use for it.
        """

    @abstractmethod
    def model(self, provenance: dict[str, Any], device: torch.device | str = "cpu") -> Model:
        """The encoder as it is, as a model that can be used and saved (it shares the weights)."""


def in_float32(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating rows as float32, so that no loss is computed in half precision."""
    return {k: v.float() if v.is_floating_point() else v for k, v in rows.items()}


def spread(count: int, most: int | None) -> np.ndarray:
    """Positions of at most `most` of `count` things, evenly over all of them: (min(count, most),) int64.

    Example:
        >>> spread(9, 3).tolist(), spread(2, 3).tolist()
        ([0, 4, 8], [0, 1])
    """
    if most is None or count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).astype(np.int64)
