"""What every image tower has in common: pixels in, one pooled vector and a local map out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from hilum.errors import ModelError
from hilum.models.encoder import compare_keys


class Description(BaseModel):
    """Base of the plain descriptions that image towers are built from; saved in a model's config.json.

    Each has a literal field `family`, by which `hilum.models.image_towers` tells them apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str


class FeatureMaps(NamedTuple):
    """What a tower sees, by place and as a whole.

    Attributes:
        local: (N, C, h, w). ResNet: the last stage but one; ViT: the normed patch tokens; others: the last grid.
        pooled: (N, F), what `tower(images)` gives.
    """

    local: Tensor
    pooled: Tensor


class ImageTower(nn.Module, ABC):
    """An image tower; called on (N, 3, S, S) normalized floats it gives (N, feature_dim).

    Any S works unless the tower says otherwise. An encoder keeps its tower as `image_tower`, so that in a model folder the
    weights lie under `image_tower.`.

    Attributes:
        description: what it was built from.
        feature_dim: F, the width of the pooled feature.
        local_dim: C, the channels of the local map.
        image_size: the side in pixels it was laid out for; None where the weights know no size (convolutions).
    """

    description: Description
    feature_dim: int
    local_dim: int
    image_size: int | None = None

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalized floats to pooled features (N, F)."""
        return self.feature_maps(images).pooled

    @abstractmethod
    def feature_maps(self, images: Tensor) -> FeatureMaps:
        """(N, 3, S, S) normalized floats to the local map (N, C, h, w) and the pooled features (N, F)."""

    def weights(self) -> dict[str, Tensor]:
        """The weights under the names of the family's reference (torchvision for ResNet and DenseNet, else timm)."""
        return dict(self._reference().state_dict())

    def load_weights(self, tensors: dict[str, Tensor]) -> None:
        """Put weights in, strictly; names are those of `weights()`.

        Raises:
            ModelError: a name is missing or too many, or a shape differs; all are listed.
        """
        own = self.weights()
        report = compare_keys(own, tensors)
        if report:
            raise ModelError(f"the weights do not fit the {self.description.family} tower:\n{report}")
        for name, tensor in own.items():
            tensor.copy_(tensors[name])

    def _reference(self) -> nn.Module:
        """The module whose state dict has the reference's names."""
        return self
