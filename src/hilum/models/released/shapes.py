"""The towers that a state dict's shapes imply, so that a checkpoint of any size can be read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from torch import Tensor

from hilum.models.towers_densenet import DenseNet
from hilum.models.towers_resnet import ResNet
from hilum.models.towers_vit import ViT


def resnet_of(tensors: Mapping[str, Tensor]) -> ResNet:
    """The ResNet of torchvision's names, without a classifier.

    Raises:
        KeyError: it has no such tensors.
    """
    stages = _count(tensors, r"layer(\d+)\.0\.conv1\.weight", first=1)
    conv = tensors["conv1.weight"]  # (stem_width, 3, kernel, kernel)
    return ResNet(
        block="bottleneck" if "layer1.0.conv3.weight" in tensors else "basic",
        layers=tuple(_count(tensors, rf"layer{stage}\.(\d+)\.conv1\.weight") for stage in range(1, stages + 1)),
        widths=tuple(tensors[f"layer{stage}.0.conv1.weight"].shape[0] for stage in range(1, stages + 1)),
        stem_width=conv.shape[0],
        stem="7x7-pool" if conv.shape[-1] == 7 else "3x3",
    )


def densenet_of(tensors: Mapping[str, Tensor], leaky_slope: float | None = None) -> DenseNet:
    """The DenseNet of torchvision's names, without a classifier; the activation leaves no trace in the weights.

    Raises:
        KeyError: it has no such tensors.
    """
    first = "features.denseblock1.denselayer1."
    growth = tensors[f"{first}conv2.weight"].shape[0]
    blocks = _count(tensors, r"features\.denseblock(\d+)\.denselayer1\.conv1\.weight", first=1)
    return DenseNet(
        growth=growth,
        blocks=tuple(
            _count(tensors, rf"features\.denseblock{block}\.denselayer(\d+)\.conv1\.weight", first=1)
            for block in range(1, blocks + 1)
        ),
        initial_features=tensors["features.conv0.weight"].shape[0],
        bn_size=tensors[f"{first}conv1.weight"].shape[0] // growth,
        leaky_slope=leaky_slope,
    )


def vit_of(tensors: Mapping[str, Tensor], heads: int | None = None, dropout: float = 0.0) -> ViT:
    """The ViT of timm's names, without a classifier.

    Args:
        tensors: a state dict.
        heads: attention heads, which no shape tells; none: width / 64, as in every published ViT.
        dropout: of the description.

    Raises:
        KeyError: it has no such tensors.
    """
    patches = tensors["patch_embed.proj.weight"]  # (width, 3, patch, patch)
    width, patch = patches.shape[0], patches.shape[-1]
    return ViT(
        image_size=math.isqrt(tensors["pos_embed"].shape[1] - 1) * patch,
        patch=patch,
        width=width,
        layers=_count(tensors, r"blocks\.(\d+)\.norm1\.weight"),
        heads=heads or max(1, width // 64),
        mlp=tensors["blocks.0.mlp.fc1.weight"].shape[0],
        dropout=dropout,
    )


def _count(tensors: Mapping[str, Tensor], pattern: str, first: int = 0) -> int:
    """How many of first, first + 1, ... fill the pattern's group, up to the largest: a gap shows as missing names later."""
    found = [int(match[1]) for name in tensors if (match := re.fullmatch(pattern, name))]
    if not found:
        raise KeyError(pattern)
    return max(found) - first + 1
