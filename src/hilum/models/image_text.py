"""Two towers of any kind that meet in one space through projections: ConVIRT and CXR-CLIP."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hilum.models.encoder import Encoder
from hilum.models.image_towers import TowerDescription, build_tower
from hilum.models.projections import Projection, build_projection
from hilum.models.text_towers import Pooling, TextDescription, build_text_tower


class ImageTextArchitecture(BaseModel):
    """An image tower, a text tower, and how their features are pooled and projected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["image-text"] = "image-text"
    image_tower: TowerDescription
    text_tower: TextDescription
    embed_dim: int = Field(512, gt=0)
    pooling: Pooling = Field("eos", description="how a text's hidden states become one feature")
    image_projection: Projection = Projection()
    text_projection: Projection = Projection()
    logit_scale: float | None = Field(
        1 / 0.07, gt=0, description="factor on cosines that training starts from; none: it is not learned"
    )


class ImageTextEncoder(Encoder):
    """Image tower, text tower, and a projection of each.

    Attributes:
        image_tower, text_tower: saved under their own names.
        image_projection, text_projection: features to the shared space.
        logit_scale: log of the factor on cosines, a parameter; None where it is fixed.
    """

    def __init__(self, architecture: ImageTextArchitecture) -> None:
        super().__init__()
        self.architecture: ImageTextArchitecture = architecture
        out = architecture.embed_dim
        self.image_tower = build_tower(architecture.image_tower)
        self.text_tower = build_text_tower(architecture.text_tower)
        self.image_projection = build_projection(architecture.image_projection, self.image_tower.feature_dim, out)
        self.text_projection = build_projection(architecture.text_projection, self.text_tower.width, out)
        start = architecture.logit_scale
        self.logit_scale = None if start is None else nn.Parameter(torch.tensor(math.log(start)))

    @property
    def embed_dim(self) -> int:
        """D, the width of the shared space."""
        return self.architecture.embed_dim

    @property
    def feature_dim(self) -> int:
        """F, the width of what a probe sees."""
        return self.image_tower.feature_dim

    def encode_images(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to (N, D), not normalized."""
        return self.image_projection(self.image_features(images))

    def encode_texts(self, ids: Tensor) -> Tensor:
        """(N, L) int64 rows of the tokenizer to (N, D), not normalized."""
        return self.text_projection(self.text_features(ids))

    def image_features(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to the tower's pooled features (N, F), before the projection."""
        return self.image_tower(images)

    def text_features(self, ids: Tensor) -> Tensor:
        """(N, L) int64 rows of the tokenizer to pooled features (N, W), before the projection."""
        return self.text_tower(ids, self.architecture.pooling)
