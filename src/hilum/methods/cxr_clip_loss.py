"""CXR-CLIP's loss: two views and two texts of a study, each with each, and each kind with itself (You et al. 2023, 2.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.methods.ranks import ALONE, Ranks


def pair_contrast(a: Tensor, b: Tensor, scale: Tensor, ranks: Ranks = ALONE, smoothing: float = 0.0) -> Tensor:
    """S(a, b): the mean of both directions' cross-entropies of scale * cosines.

    Args:
        a: (N, D) unit rows; row i belongs to row i of `b`.
        b: (N, D) unit rows.
        scale: scalar factor on cosines.
        ranks: the processes; each contrasts its own rows with all of them.
        smoothing: of the labels.
    """
    truth = ranks.truth(len(a), a.device)
    forth = scale * a @ ranks.gather(b).T  # (N, N * processes)
    back = scale * b @ ranks.gather(a).T
    return (
        F.cross_entropy(forth, truth, label_smoothing=smoothing)
        + F.cross_entropy(back, truth, label_smoothing=smoothing)
    ) / 2


def study_contrast(
    images: Tensor,
    views: Tensor,
    texts: Tensor,
    texts2: Tensor,
    scale: Tensor,
    *,
    image_weight: float = 1.0,
    text_weight: float = 0.5,
    smoothing: float = 0.0,
    ranks: Ranks = ALONE,
) -> dict[str, Tensor]:
    """Multi-view supervision, image contrast (ICL) and text contrast (TCL).

        MVS = (S(I, T) + S(V, T) + S(I, U) + S(V, U)) / 4
        loss = MVS + image_weight * S(I, V) + text_weight * S(T, U)

    Args:
        images, views: I and V, (N, D) unit rows: two views of a study.
        texts, texts2: T and U, (N, D) unit rows: two texts of it.
        scale: scalar factor on cosines.
        image_weight: of ICL (paper: 1).
        text_weight: of TCL (paper: 0.5).
        smoothing: of MVS's labels.
        ranks: the processes.

    Returns:
        `loss`, and its parts `mvs`, `icl`, `tcl` where their weight is not 0.
    """
    pairs = [(images, texts), (views, texts), (images, texts2), (views, texts2)]
    loss = torch.stack([pair_contrast(a, b, scale, ranks, smoothing) for a, b in pairs]).mean()
    parts = {"mvs": loss}
    if image_weight:
        parts["icl"] = pair_contrast(images, views, scale, ranks)
        loss = loss + image_weight * parts["icl"]
    if text_weight:
        parts["tcl"] = pair_contrast(texts, texts2, scale, ranks)
        loss = loss + text_weight * parts["tcl"]
    return {"loss": loss, **parts}
