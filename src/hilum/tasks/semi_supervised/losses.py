"""What few labels and many images without any teach: S2MTS2's two objectives (Liu et al. 2021, section 2.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLAMP = 1e-4


def soft_margin(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of each finding on its own, the mean over what is known.

    Args:
        logits: (N, C).
        truth: (N, C) 1, 0, and NaN where it is not known.
    """
    known = ~truth.isnan()
    each = F.binary_cross_entropy_with_logits(logits, truth.nan_to_num(0.0), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def consistency(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of probabilities: (N, C) logits of the same images, the teacher's without gradients."""
    return F.mse_loss(student.sigmoid(), teacher.detach().sigmoid())


def rising(epoch: float, epochs: float) -> float:
    """The weight of consistency: from 0, where the teacher knows nothing, to 1 at the end."""
    return min(1.0, epoch / epochs)


class History(nn.Module):
    """What a peer's teacher has said of each training image, averaged over time.

    Args:
        images: how many.
        findings: C.
        beta: share that is kept each time an image is seen.

    Attributes:
        table: (images, C) in [0, 1], zero at first.
    """

    table: Tensor

    def __init__(self, images: int, findings: int, beta: float = 0.9) -> None:
        super().__init__()
        self.beta = beta
        self.register_buffer("table", torch.zeros(images, findings))

    @torch.no_grad()
    def put(self, index: Tensor, logits: Tensor) -> None:
        """Take in what was said now: logits (N, C) of the images at `index` (N,), each there once."""
        self.table[index] = self.beta * self.table[index] + (1 - self.beta) * logits.float().sigmoid()

    def mixed(self, index: Tensor, order: Tensor, share: float) -> Tensor:
        """Targets (N, C): each image's history, mixed with that of the image at its place in `order` (N,).

        Args:
            index: (N,) the images.
            order: (N,) a permutation of 0..N-1.
            share: of an image's own history.
        """
        own = self.table[index]
        return share * own + (1 - share) * own[order]


class ELRPlus(NamedTuple):
    """Loss and parts: `loss` = `supervised` + weight * `regularizer`."""

    loss: Tensor
    supervised: Tensor
    regularizer: Tensor


def elr_plus(logits: Tensor, truth: Tensor, targets: Tensor, weight: float = 3.0) -> ELRPlus:
    """Labels, and a pull towards what was said early in training (ELR+, Liu et al. 2020, arXiv 2007.00151).

    Args:
        logits: (N, C) of the student.
        truth: (N, C) 1, 0, NaN.
        targets: (N, C) from a `History`.
        weight: of the pull.
    """
    said = logits.sigmoid().clamp(CLAMP, 1 - CLAMP)
    supervised = soft_margin(logits, truth)
    regularizer = torch.log1p(-targets.detach() * said).mean()
    return ELRPlus(supervised + weight * regularizer, supervised, regularizer)
