"""ResNets of any depth and width, from torchvision's blocks and with its key names (He et al. 2016)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from hilum.errors import ModelError
from hilum.models.tower import Description, FeatureMaps, ImageTower


class ResNet(Description):
    """A ResNet; the defaults are ResNet-50 (23,508,032 parameters without a classifier)."""

    family: Literal["resnet"] = "resnet"
    block: Literal["basic", "bottleneck"] = "bottleneck"
    layers: tuple[int, ...] = Field((3, 4, 6, 3), min_length=1, description="blocks of each stage")
    widths: tuple[int, ...] = Field(
        (64, 128, 256, 512), min_length=1, description="planes of each stage; a bottleneck gives out four times as many"
    )
    stem_width: int = Field(64, gt=0, description="channels of the stem")
    stem: Literal["7x7-pool", "3x3"] = Field(
        "7x7-pool", description="7x7 stride 2 and max-pool; or 3x3 stride 2 without, for small images"
    )


class ResNetTower(ImageTower):
    """Stem, stages `layer1`, `layer2`, ..., global average pool."""

    def __init__(self, description: ResNet) -> None:
        super().__init__()
        if len(description.layers) != len(description.widths):
            raise ModelError(
                f"resnet tower: {len(description.layers)} layers and {len(description.widths)} widths; give one of each a stage."
            )
        self.description: ResNet = description
        block = BasicBlock if description.block == "basic" else Bottleneck
        channels, seven = description.stem_width, description.stem == "7x7-pool"
        kernel, padding = (7, 3) if seven else (3, 1)
        self.conv1 = nn.Conv2d(3, channels, kernel, stride=2, padding=padding, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if seven else nn.Identity()
        self._stages: list[str] = []
        stage_channels = [channels]
        for index, (count, width) in enumerate(zip(description.layers, description.widths, strict=True)):
            stage = _stage(block, channels, width, count, stride=1 if index == 0 else 2)
            channels = width * block.expansion
            stage_channels.append(channels)
            self._stages.append(f"layer{index + 1}")
            self.add_module(self._stages[-1], stage)
        self.feature_dim = channels
        self.local_dim = stage_channels[-2]
        for module in self.modules():  # torchvision's start
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    def feature_maps(self, images: Tensor) -> FeatureMaps:
        """The output of the last stage but one as the local map (GLoRIA reads words there), and the pooled last stage."""
        x = images.contiguous(memory_format=torch.channels_last)  # convolutions run faster so
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        local = x
        for name in self._stages:
            local, x = x, getattr(self, name)(x)
        return FeatureMaps(local, x.mean(dim=(2, 3)))


def _stage(block: type[BasicBlock | Bottleneck], channels: int, width: int, count: int, stride: int) -> nn.Sequential:
    out = width * block.expansion
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
    blocks = [block(channels, width, stride, shortcut)]
    blocks += [block(out, width) for _ in range(count - 1)]
    return nn.Sequential(*blocks)
