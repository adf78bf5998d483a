"""Contrastive losses that several methods share. Pure functions on tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# Concatenates the rows of all processes, keeping gradients; the identity in one process.
Gather = Callable[[Tensor], Tensor]


def alone(rows: Tensor) -> Tensor:
    """The `Gather` of one process."""
    return rows


def symmetric_nce(images: Tensor, texts: Tensor, log_scale: Tensor, gather: Gather = alone, rank: int = 0) -> Tensor:
    """Contrast each image with every text and each text with every image (Radford et al. 2021, figure 3).

    Args:
        images: (N, D); row i belongs to row i of `texts`. Normalized here.
        texts: (N, D).
        log_scale: scalar, log of the factor on cosines.
        gather: rows of all processes; each process then contrasts its own N rows with all of them.
        rank: which block of the gathered rows is this process's.

    Returns:
        Scalar: the mean of the two directions' cross-entropies.
    """
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    scale = log_scale.exp()
    to_text = scale * images @ gather(texts).T  # (N, N * processes)
    to_image = scale * texts @ gather(images).T
    truth = torch.arange(len(images), device=images.device) + rank * len(images)
    return (F.cross_entropy(to_text, truth) + F.cross_entropy(to_image, truth)) / 2
