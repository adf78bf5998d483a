"""DenseNets of any size with torchvision's key names, with ReLU or LeakyReLU (Huang et al. 2017; S2MTS2 uses the latter)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision.models import DenseNet as TorchvisionDenseNet

from hilum.models.tower import Description, FeatureMaps, ImageTower


class DenseNet(Description):
    """A DenseNet; the defaults are DenseNet-121 (6,953,856 parameters without a classifier)."""

    family: Literal["densenet"] = "densenet"
    growth: int = Field(32, gt=0, description="channels each layer adds")
    blocks: tuple[int, ...] = Field((6, 12, 24, 16), min_length=1, description="layers of each dense block")
    initial_features: int = Field(64, gt=0, description="channels of the stem")
    bn_size: int = Field(4, gt=0, description="a layer's bottleneck is bn_size * growth wide")
    leaky_slope: float | None = Field(None, ge=0, description="LeakyReLU of this slope everywhere; none: ReLU")


class DenseNetTower(ImageTower):
    """`features`, a last activation, global average pool."""

    def __init__(self, description: DenseNet) -> None:
        super().__init__()
        self.description: DenseNet = description
        net = TorchvisionDenseNet(
            growth_rate=description.growth,
            block_config=description.blocks,
            num_init_features=description.initial_features,
            bn_size=description.bn_size,
            num_classes=1,
        )
        self.features = net.features
        self.feature_dim = self.local_dim = net.classifier.in_features
        self.activation: nn.Module = nn.ReLU(inplace=True)
        if description.leaky_slope is not None:
            self.activation = nn.LeakyReLU(description.leaky_slope, inplace=True)
            _make_leaky(self.features, description.leaky_slope)
        self.to(memory_format=torch.channels_last)

    def feature_maps(self, images: Tensor) -> FeatureMaps:
        """The last activated grid, and its mean."""
        grid = self.activation(self.features(images.contiguous(memory_format=torch.channels_last)))
        return FeatureMaps(grid, grid.mean(dim=(2, 3)))


def _make_leaky(module: nn.Module, slope: float) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU):
            setattr(module, name, nn.LeakyReLU(slope, inplace=True))
        else:
            _make_leaky(child, slope)
