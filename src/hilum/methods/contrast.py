"""Contrastive losses that several methods share. Pure functions on tensors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from hilum.methods.ranks import ALONE, Ranks


def symmetric_nce(images: Tensor, texts: Tensor, log_scale: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Contrast each image with every text and each text with every image (Radford et al. 2021, figure 3).

    Args:
        images: (N, D); row i belongs to row i of `texts`. Normalized here.
        texts: (N, D).
        log_scale: scalar, log of the factor on cosines.
        ranks: the processes; each contrasts its own N rows with all of them.

    Returns:
        Scalar: the mean of the two directions' cross-entropies.
    """
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    scale = log_scale.exp()
    to_text = scale * images @ ranks.gather(texts).T  # (N, N * processes)
    to_image = scale * texts @ ranks.gather(images).T
    truth = ranks.truth(len(images), images.device)
    return (F.cross_entropy(to_text, truth) + F.cross_entropy(to_image, truth)) / 2


def two_way_nce(
    images: Tensor, texts: Tensor, tau: float, image_weight: float = 0.5, ranks: Ranks = ALONE
) -> dict[str, Tensor]:
    """Contrast each image with every text and each text with every image, one direction weighted more (ConVIRT, equation 4).

    Args:
        images: (N, D); row i belongs to row i of `texts`. Normalized here.
        texts: (N, D).
        tau: softmax temperature; smaller is sharper.
        image_weight: lambda, the share of the image-to-text direction, in [0, 1].
        ranks: the processes; each contrasts its own N rows with all of them.

    Returns:
        `loss`, and the two directions it is made of, `image_to_text` and `text_to_image`.
    """
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    truth = ranks.truth(len(images), images.device)
    to_text = F.cross_entropy(images @ ranks.gather(texts).T / tau, truth)
    to_image = F.cross_entropy(texts @ ranks.gather(images).T / tau, truth)
    loss = image_weight * to_text + (1 - image_weight) * to_image
    return {"loss": loss, "image_to_text": to_text, "text_to_image": to_image}
