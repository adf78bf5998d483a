"""An encoder with a head that can be trained, its losses, and the plain head it becomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hilum.models.encoder import Encoder
from hilum.models.head import Head
from hilum.tasks.losses import log_between
from hilum.tasks.ranking import above_each_step, aurocs, one_against_rest, weighted_mean


class TrainableHead(nn.Module):
    """Logits of findings or classes; of ordered classes one score and rising thresholds.

    Args:
        width: F, features.
        task: as of `Head`.
        names: C findings or classes.
        below: of ordered classes, the share of training images at or below each but the last: where thresholds start.
    """

    def __init__(self, width: int, task: str, names: tuple[str, ...], below: np.ndarray | None = None) -> None:
        super().__init__()
        self.task, self.names = task, names
        self.linear = nn.Linear(width, 1 if task == "ordinal" else len(names), bias=task != "ordinal")
        if task == "ordinal":
            share = np.arange(1, len(names)) / len(names) if below is None else np.clip(below, 0.01, 0.99)
            edges = torch.tensor(np.log(share / (1 - share)), dtype=torch.float32)
            gaps = torch.diff(edges).clamp(min=0.1)
            self.first = nn.Parameter(edges[:1])
            self.gaps = nn.Parameter(torch.log(torch.expm1(gaps)))  # softplus makes them positive

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) to (N, C) logits, or (N, 1)."""
        return self.linear(features)

    def thresholds(self) -> Tensor:
        """(C - 1,) rising."""
        return torch.cat([self.first, self.first + F.softplus(self.gaps).cumsum(0)])

    def loss(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Mean over what is known; see `label_loss`."""
        if self.task != "ordinal":
            return label_loss(logits, truth)
        known = ~truth.isnan()
        classes = truth[known].long()
        far = logits.new_full((1,), torch.inf)
        edges = torch.cat([-far, self.thresholds(), far])
        score = logits[known, 0]
        return -log_between(edges[classes + 1] - score, edges[classes] - score).mean()

    def plain(self, provenance: dict[str, Any]) -> Head:
        """The head as it is now."""
        weights = self.linear.weight.detach().cpu().numpy().copy()
        offsets = self.thresholds() if self.task == "ordinal" else self.linear.bias
        return Head(self.task, self.names, weights, offsets.detach().cpu().numpy().copy(), provenance)


class HeadedEncoder(nn.Module):
    """A head on an encoder's features.

    Args:
        encoder: whose `image_features` are read.
        head: on them.
        freeze: the encoder is not trained: no gradients, and evaluation mode throughout, so that its statistics stay. Where
            the original code freezes, batch normalization goes on learning.
    """

    def __init__(self, encoder: Encoder, head: TrainableHead, freeze: bool = False) -> None:
        super().__init__()
        self.encoder, self.head, self.freeze = encoder, head, freeze

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to logits."""
        if self.freeze:
            with torch.no_grad():
                seen = self.encoder.image_features(images)
        else:
            seen = self.encoder.image_features(images)
        return self.head(seen.float())

    def train(self, mode: bool = True) -> HeadedEncoder:
        """Training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.freeze:
            self.encoder.eval()
        return self


def label_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Findings: binary cross-entropy, mean over all known labels. Classes: cross-entropy, mean over known images.

    Args:
        logits: (N, C).
        truth: (N, C) 1, 0 and NaN, or (N,) class numbers and NaN.
    """
    known = ~truth.isnan()
    if truth.ndim == 2:
        terms = F.binary_cross_entropy_with_logits(logits, truth.nan_to_num(0.0), reduction="none")
        return (terms * known).sum() / known.sum().clamp(min=1)
    if not bool(known.any()):
        return logits.sum() * 0
    return F.cross_entropy(logits[known], truth[known].long())


def selection_auroc(logits: np.ndarray, truth: np.ndarray, task: str, select: str) -> float:
    """What the best pass is chosen by, on raw scores: AUROC weighted by prevalence (the founding study's code), or its mean.

    Args:
        logits: (N, C), or (N, 1) of ordered classes.
        truth: (N, C) 1, 0 and NaN, or (N,) class numbers and NaN.
        task: as of `Head`.
        select: "weighted" or "mean".
    """
    if truth.ndim == 1:
        classes = np.nan_to_num(truth, nan=-1).astype(np.int64)
        if task == "ordinal":
            truth = above_each_step(classes, int(classes.max(initial=0)) + 1)
            logits = np.repeat(logits, truth.shape[1], axis=1)
        else:
            truth = one_against_rest(classes, logits.shape[1])
    found = aurocs(truth, logits)
    weights = np.nansum(truth, axis=0) if select == "weighted" else np.ones(len(found))
    return weighted_mean(found, weights)
