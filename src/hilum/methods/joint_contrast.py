"""The joint contrastive loss: a query against infinitely many of its own keys at once, through their mean and spread.

Cai et al. 2020, "Joint Contrastive Learning with Infinite Possibilities", as S2MTS2 uses it. If an image's keys were normally
distributed with mean mu and covariance Sigma, the expected loss over all of them would be at most

    -log( exp(a) / (exp(a) + sum_j exp(q.n_j / tau)) ) + b,    a = q.mu / tau + b,    b = ratio / (2 tau^2) q' Sigma q
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class JointContrast(NamedTuple):
    """The loss and its parts.

    Attributes:
        loss: scalar, `contrast` + `bound`.
        contrast: scalar, cross-entropy of the logits with the first column as the truth.
        bound: scalar, the mean of b.
        logits: (N, 1 + K), the positive first.
    """

    loss: Tensor
    contrast: Tensor
    bound: Tensor
    logits: Tensor


def joint_contrast(queries: Tensor, keys: Tensor, negatives: Tensor, tau: float, ratio: float) -> JointContrast:
    """Contrast each query with the distribution of its keys and with other images' keys.

    The covariance is never formed: q' Sigma q is the mean of (q . (k - mu))^2, so memory grows with C, not with C * C.

    Args:
        queries: (N, C) unit vectors, float32: at tau 0.07 half precision overflows.
        keys: (N, M, C) unit vectors of the same images; no gradient flows into them.
        negatives: (K, C) keys of other images.
        tau: softmax temperature.
        ratio: how much of the keys' spread counts; 0, or a single key, is MoCo's loss.
    """
    keys, negatives = keys.detach(), negatives.detach()
    mean = keys.mean(dim=1)  # (N, C)
    along = torch.einsum("nmc,nc->nm", keys - mean.unsqueeze(1), queries)  # (N, M)
    spread = along.square().mean(dim=1)  # (N,) q' Sigma q; Sigma is biased: divided by M
    positive = (queries * mean).sum(dim=1) + ratio / (2 * tau) * spread
    logits = torch.cat([positive.unsqueeze(1), queries @ negatives.T], dim=1) / tau  # (N, 1 + K)
    contrast = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))
    bound = ratio / (2 * tau**2) * spread.mean()
    return JointContrast(contrast + bound, contrast, bound, logits)
