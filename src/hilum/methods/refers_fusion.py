"""REFERS' fusion of a study's views: each patch of each view is weighed by what all views show at its place."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ViewFusion(nn.Module):
    """A gate a view and patch (Zhou et al. 2022): sigmoids of one linear layer, not a softmax over views.

    Args:
        width: of a patch token.
        views: how many views a study has.
    """

    def __init__(self, width: int, views: int) -> None:
        super().__init__()
        self.gate = nn.Linear(views * width, views)

    def weights(self, patches: Tensor) -> Tensor:
        """(N, V, P, W) patch tokens to the weight of each (N, V, P), in (0, 1)."""
        together = patches.transpose(1, 2).flatten(2)  # (N, P, V * W)
        return torch.sigmoid(self.gate(together)).transpose(1, 2)

    def forward(self, patches: Tensor) -> Tensor:
        """(N, V, P, W) patch tokens to the weighed sequence of all of them (N, V * P, W), view after view."""
        return (patches * self.weights(patches).unsqueeze(-1)).flatten(1, 2)
