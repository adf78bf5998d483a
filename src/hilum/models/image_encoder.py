"""An encoder of images alone: a tower, and optionally the head that pretraining put on it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hilum.errors import ModelError
from hilum.models.encoder import Encoder
from hilum.models.image_towers import TowerDescription, build_tower


class ProjectionHead(BaseModel):
    """Linear layers on the pooled feature, with ReLU between them (MoCo v2's MLP head, and its kin)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: tuple[int, ...] = Field(min_length=1, description="output width of each linear layer")
    twice: bool = Field(False, description="apply the first layer two times in a row (S2MTS2, released code)")
    last_relu: bool = Field(False, description="ReLU after the last layer, too")


class ImageArchitecture(BaseModel):
    """An image tower, its head if there is one, and which of the two gives the features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["image"] = "image"
    tower: TowerDescription
    head: ProjectionHead | None = None
    features: Literal["pooled", "head"] = Field("pooled", description="what embeddings and probes see")


class ImageEncoder(Encoder):
    """Encodes images; has no text tower.

    Attributes:
        image_tower: the tower, saved under `image_tower.`.
        head: linear layers `0`, `2`, ... as in MoCo v2's `fc`; None without one.
    """

    has_text = False

    def __init__(self, architecture: ImageArchitecture) -> None:
        super().__init__()
        if architecture.features == "head" and architecture.head is None:
            raise ModelError("image encoder: features='head', but the architecture has no head. Use features='pooled'.")
        self.architecture: ImageArchitecture = architecture
        self.image_tower = build_tower(architecture.tower)
        self.head = None if architecture.head is None else _head(self.image_tower.feature_dim, architecture.head)

    @property
    def embed_dim(self) -> int:
        """D, the width of an embedding: of the pooled feature, or of the head where it gives the features."""
        head = self.architecture.head
        return head.widths[-1] if head and self.architecture.features == "head" else self.image_tower.feature_dim

    def encode_images(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to (N, D), not normalized."""
        return self.project(images) if self.architecture.features == "head" else self.image_tower(images)

    def project(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats through the tower and its head: what pretraining contrasts, not normalized.

        Raises:
            ModelError: there is no head.
        """
        if self.head is None or self.architecture.head is None:
            raise ModelError("this image encoder has no projection head; embed_images gives the pooled features.")
        pooled = self.image_tower(images)
        return self.head(self.head[0](pooled)) if self.architecture.head.twice else self.head(pooled)


def _head(width: int, description: ProjectionHead) -> nn.Sequential:
    layers: list[nn.Module] = []
    for out in description.widths:
        layers += [nn.Linear(width, out), nn.ReLU()]
        width = out
    return nn.Sequential(*(layers if description.last_relu else layers[:-1]))
