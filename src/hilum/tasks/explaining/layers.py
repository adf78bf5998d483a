"""Which layer of a tower is asked for places, and where the cells of its output look."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from hilum.errors import ModelError
from hilum.models.encoder import Encoder
from hilum.models.gloria import GloriaEncoder
from hilum.models.towers import DualEncoder
from hilum.models.towers_densenet import DenseNetTower
from hilum.models.towers_resnet import ResNetTower
from hilum.models.towers_swin import SwinTower
from hilum.models.towers_timm import TimmTower
from hilum.models.towers_vit import ViTTower
from hilum.tasks.explaining.heatmap import Lattice

LEAST_CELLS = 6  # a side: a coarser map says little, so that of small images the stage before is asked
_TEXT_MODULES = ("text_tower", "text_projection", "clip.transformer")  # never hooked: not worth the copy


class Layer(NamedTuple):
    """A layer whose output still knows places.

    Attributes:
        module: whose output is looked at.
        lattice: where its cells look.
        grid: its output as (N, C, h, w).
    """

    module: nn.Module
    lattice: Lattice
    grid: Callable[[Tensor], Tensor]


def own_modules(encoder: Encoder) -> Encoder:
    """The encoder with image modules of its own around the same weights: what is hooked onto it, other threads do not see."""
    texts = (module for name, module in encoder.named_modules() if name in _TEXT_MODULES)
    shared: dict[int, Any] = {id(one): one for one in (*encoder.parameters(), *encoder.buffers(), *texts)}
    return copy.deepcopy(encoder, shared)


def net_of(encoder: Encoder) -> nn.Module:
    """The image tower's own module: one of our convolutional towers, or a transformer or other net of open_clip or timm."""
    if isinstance(encoder, DualEncoder):
        visual = encoder.clip.visual
        return visual.trunk if hasattr(visual, "trunk") else visual
    tower = getattr(encoder, "image_tower", None)
    return tower.net if isinstance(tower, ViTTower | TimmTower) else tower  # type: ignore[return-value]


def evidence_layer(encoder: Encoder, side_px: int) -> Layer:
    """The last layer that knows places: where gradients are taken.

    Args:
        encoder: of any kind.
        side_px: side of the input that it is given.

    Raises:
        ModelError: a tower of timm without stages that we know of.
    """
    import open_clip.modified_resnet
    import open_clip.transformer
    from timm.models.vision_transformer import VisionTransformer

    net = net_of(encoder)
    if isinstance(net, ResNetTower):
        enlarged = encoder.architecture.upsample_px if isinstance(encoder, GloriaEncoder) else None
        return _resnet(net, side_px, enlarged or side_px)
    if isinstance(net, DenseNetTower):
        return _densenet(net, side_px)
    if isinstance(net, open_clip.modified_resnet.ModifiedResNet):
        return _modified_resnet(net, side_px)
    if isinstance(net, SwinTower):
        return _swin(net, side_px)
    # Where the class token is pooled, patches speak to it through the last attention, and behind that no more: its input is
    # asked, and behind the norm, for in front of a norm gradient times activation sums to zero.
    if isinstance(net, open_clip.transformer.VisionTransformer):
        return _tokens(net.transformer.resblocks[-1].ln_1, side_px, net.patch_size[0], prefix=1)
    if isinstance(net, VisionTransformer):
        module = net.blocks[-1].norm1 if net.global_pool == "token" else net.norm
        return _tokens(module, side_px, net.patch_embed.patch_size[0], net.num_prefix_tokens)
    return _timm(net, side_px)


def tokens_as_grid(tokens: Tensor, prefix: int = 0) -> Tensor:
    """Patch tokens (N, prefix + P, C) as a square grid (N, C, h, w); the first `prefix` tokens are no patches."""
    patches = tokens[:, prefix:].transpose(1, 2)
    return patches.unflatten(2, (math.isqrt(patches.shape[2]), -1))


def patch_lattice(side_px: int, patch_px: int) -> Lattice:
    """Where patches lie; the last may reach past the input."""
    return Lattice.tiles(side_px / patch_px)


def resnet_lattice(net: ResNetTower, stages: int, side_px: int, seen_px: int) -> Lattice:
    """Where the cells of a ResNet's first `stages` stages look.

    Args:
        net: whose convolutions of stride 2 all center cell i on pixel 2 i.
        stages: from the stem on.
        side_px: side of the encoder's input.
        seen_px: side it is enlarged to before the tower, corners aligned (GLoRIA).
    """
    stride = (4 if net.description.stem == "7x7-pool" else 2) * 2 ** (stages - 1)
    shrink = (side_px - 1) / (seen_px - 1)  # pixel i that the tower sees is pixel i * shrink of the input
    return Lattice(0.5 / side_px, stride * shrink / side_px)


def _resnet(net: ResNetTower, side_px: int, seen_px: int) -> Layer:
    stages = len(net.description.layers)
    stem = 4 if net.description.stem == "7x7-pool" else 2
    while stages > 1 and seen_px < LEAST_CELLS * stem * 2 ** (stages - 1):
        stages -= 1
    lattice = resnet_lattice(net, stages, side_px, seen_px)
    return Layer(net.get_submodule(f"layer{stages}"), lattice, _as_is)


def _densenet(net: DenseNetTower, side_px: int) -> Layer:
    """The stem centers cell i on pixel 4 i; each average of 2 x 2 moves on by half of the stride before."""
    whole = stages = len(net.description.blocks)
    while stages > 1 and side_px < LEAST_CELLS * 2 ** (stages + 1):
        stages -= 1
    stride, center = 4.0, 0.0
    for _ in range(stages - 1):
        center, stride = center + stride / 2, stride * 2
    module = net.activation if stages == whole else net.features.get_submodule(f"denseblock{stages}")
    return Layer(module, Lattice((center + 0.5) / side_px, stride / side_px), _as_is)


def _modified_resnet(net: Any, side_px: int) -> Layer:
    """CLIP's ResNets: a convolution of stride 2, then averages of 2 x 2 only."""
    stages = 4
    while stages > 1 and side_px < LEAST_CELLS * 2 ** (stages + 1):
        stages -= 1
    stride = 2 ** (stages + 1)
    return Layer(getattr(net, f"layer{stages}"), Lattice((stride / 2 - 0.5) / side_px, stride / side_px), _as_is)


def _swin(net: SwinTower, side_px: int) -> Layer:
    """The normed grid where it is averaged; where one token is pooled, what comes into the last attention."""
    last = net.net.layers[-1]
    module = net.net.norm if net.description.pool == "mean" else last.blocks[-1].norm1
    stride = net.description.patch * 2 ** (len(net.description.layers) - 1)
    return Layer(module, patch_lattice(side_px, stride), _from_channels_last)


def _tokens(module: nn.Module, side_px: int, patch_px: int, prefix: int) -> Layer:
    return Layer(module, patch_lattice(side_px, patch_px), lambda tokens: tokens_as_grid(tokens, prefix))


def _timm(net: Any, side_px: int) -> Layer:
    try:
        last = net.feature_info[-1]
        module, stride = net.get_submodule(last["module"]), int(last["reduction"])
    except (TypeError, IndexError, KeyError, AttributeError):
        raise ModelError(
            f"gradient maps: do not know which layer of the tower {type(net).__name__} still knows places. Known are ResNets, "
            "DenseNets, ViTs, Swin transformers, and those nets of timm that list their stages (feature_info)."
        ) from None

    def grid(output: Tensor) -> Tensor:
        if output.ndim == 3:
            return tokens_as_grid(output, getattr(net, "num_prefix_tokens", 0))
        return _from_channels_last(output) if getattr(net, "output_fmt", "NCHW") == "NHWC" else output

    return Layer(module, patch_lattice(side_px, stride), grid)


def _as_is(output: Tensor) -> Tensor:
    return output


def _from_channels_last(output: Tensor) -> Tensor:
    return output.permute(0, 3, 1, 2)
