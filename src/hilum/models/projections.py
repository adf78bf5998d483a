"""What brings a tower's feature into the space that images and texts share."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class Projection(BaseModel):
    """One modality's projection.

    linear: Linear (CXR-CLIP).
    mlp-relu: Linear, ReLU, Linear, the hidden width that of the feature unless told (ConVIRT).
    mlp-residual: Linear, then GELU, Linear, dropout, the first Linear's output added, LayerNorm (CXR-CLIP's variant).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal["linear", "mlp-relu", "mlp-residual"] = "linear"
    hidden: int | None = Field(None, gt=0, description="mlp-relu: hidden width; none: the width of the feature")
    dropout: float = Field(0.1, ge=0, lt=1, description="mlp-residual: before the addition, in training")


class ResidualProjection(nn.Module):
    """CXR-CLIP's projection of several layers."""

    def __init__(self, width: int, out: int, dropout: float) -> None:
        super().__init__()
        self.projection = nn.Linear(width, out)
        self.fc = nn.Linear(out, out)
        self.dropout = nn.Dropout(dropout)
        self.layer_norm = nn.LayerNorm(out)

    def forward(self, features: Tensor) -> Tensor:
        """(N, width) to (N, out)."""
        projected = self.projection(features)
        return self.layer_norm(projected + self.dropout(self.fc(F.gelu(projected))))


def build_projection(description: Projection, width: int, out: int) -> nn.Module:
    """The projection of features (N, width) to (N, out), with fresh random weights."""
    if description.form == "linear":
        return nn.Linear(width, out)
    if description.form == "mlp-relu":
        hidden = description.hidden or width
        return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out))
    return ResidualProjection(width, out, description.dropout)
