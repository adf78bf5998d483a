"""Students and their teachers, and what a step asks of them."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hilum.errors import UsageError
from hilum.models import Model
from hilum.models.encoder import Encoder
from hilum.models.registry import ENCODERS
from hilum.models.tower_weights import load_pretrained
from hilum.tasks.semi_supervised.losses import History, consistency, elr_plus, rising, soft_margin
from hilum.tasks.semi_supervised.recipe import SemiSupervised
from hilum.tasks.semi_supervised.teacher import follow_student, start_teacher


class Classifier(nn.Module):
    """An encoder's features, and a linear layer on them."""

    def __init__(self, encoder: Encoder, width: int, findings: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(width, findings)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to logits (N, C)."""
        return self.linear(self.encoder.image_features(images))


class Labeled(NamedTuple):
    """Preprocessed floats (N, 3, S, S) of labeled images, their truth (N, C), and their numbers (N,)."""

    images: Tensor
    truth: Tensor
    numbers: Tensor


class Unlabeled(NamedTuple):
    """Preprocessed floats (N, 3, S, S) of other images, one view for the student and one for the teacher."""

    student: Tensor
    teacher: Tensor


class Classroom(nn.Module):
    """One student with its teacher, or two pairs of them.

    Paper: a multi-layer head, different in each script, on a first layer applied twice. Here: one linear layer on the pooled
    features, so that the result is a model with a head as any other.

    Args:
        model: what pretraining made; students and teachers start from copies of it.
        findings: C.
        labeled: how many labeled images there are.
        recipe: the settings.

    Raises:
        UsageError: under compat, the encoder has no image tower that other weights can be put into.
    """

    def __init__(self, model: Model, findings: int, labeled: int, recipe: SemiSupervised) -> None:
        super().__init__()
        self.recipe = recipe
        width = model.features([np.zeros((8, 8), np.uint8)]).shape[1]
        count = 2 if recipe.objective == "two-students" else 1
        self.students = nn.ModuleList(
            Classifier(copy.deepcopy(model.encoder).requires_grad_(True), width, findings) for _ in range(count)
        )
        self.teachers = nn.ModuleList(copy.deepcopy(student) for student in self.students)
        if recipe.compat:
            for student, teacher in zip(self.students, self.teachers, strict=True):
                teacher.encoder = _other_encoder(model, recipe.teacher_init)
                if count == 1:
                    start_teacher(student, teacher, compat=True)
        self.teachers.requires_grad_(False)
        histories = [History(labeled, findings, recipe.history_beta) for _ in range(count)] if count > 1 else []
        self.histories = nn.ModuleList(histories)

    def train(self, mode: bool = True) -> Classroom:
        """Students as asked; teachers always answer with the statistics they have."""
        super().train(mode)
        self.teachers.eval()
        return self

    def loss(self, labeled: Labeled, unlabeled: Unlabeled | None, epoch: float, draws: torch.Generator) -> Tensor:
        """What a step minimizes, over all students.

        Args:
            labeled: with labels.
            unlabeled: without; None where there are none, or none are used.
            epoch: from 0.
            draws: of the mixture of histories; on the CPU.
        """
        recipe = self.recipe
        count = len(labeled.images)
        total = labeled.images.new_zeros(())
        for number, student in enumerate(self.students):
            peer = self.teachers[number - 1]  # of one student its own teacher, of two the other's
            together = labeled.images if unlabeled is None else torch.cat([labeled.images, unlabeled.student])
            logits = student(together).float()
            if recipe.objective == "two-students":
                targets = self._targets(number, peer, labeled, draws)
                total = total + elr_plus(logits[:count], labeled.truth, targets, recipe.history_weight).loss
            else:
                total = total + soft_margin(logits[:count], labeled.truth)
            if unlabeled is not None:
                with torch.no_grad():
                    said = peer(unlabeled.teacher).float()
                weight = recipe.consistency * rising(epoch, recipe.epochs)
                total = total + weight * consistency(logits[count:], said)
        return total

    def after_step(self) -> None:
        """The teachers follow."""
        for student, teacher in zip(self.students, self.teachers, strict=True):
            follow_student(student, teacher, self.recipe.ema, self.recipe.compat)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """What the teachers say on average: (N, C)."""
        return torch.stack([teacher(images).float() for teacher in self.teachers]).mean(dim=0)

    def _targets(self, number: int, peer: nn.Module, labeled: Labeled, draws: torch.Generator) -> Tensor:
        history = self.histories[number]
        assert isinstance(history, History)
        with torch.no_grad():
            history.put(labeled.numbers, peer(labeled.images))
        share = torch.rand((), generator=draws).item()  # Beta(1, 1)
        order = torch.randperm(len(labeled.numbers), generator=draws).to(labeled.numbers.device)
        return history.mixed(labeled.numbers, order, max(share, 1 - share))


def _other_encoder(model: Model, init: str) -> Encoder:
    """An encoder of the same architecture that has not been pretrained."""
    architecture = model.encoder.architecture
    other = ENCODERS[architecture.kind][1](architecture).to(model.device)  # type: ignore[attr-defined]
    tower = getattr(other, "image_tower", None)
    if init != "random":
        if tower is None:
            raise UsageError(
                f"teacher_init={init}: an encoder of the kind {architecture.kind!r} has no tower for it; give random."  # type: ignore[attr-defined]
            )
        load_pretrained(tower, init)
    return other
