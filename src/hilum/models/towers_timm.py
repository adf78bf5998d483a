"""Any other image tower that timm has, by its name."""

from __future__ import annotations

import difflib
import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hilum.errors import ModelError
from hilum.models.tower import Description, FeatureMaps, ImageTower


class TimmNet(Description):
    """An image tower of timm, without its classifier."""

    family: Literal["timm"] = "timm"
    name: str = Field(description="timm's name, such as 'convnext_tiny' or 'vit_small_patch16_224'")
    image_size: int | None = Field(
        None, gt=0, description="side of the images where the net needs to know; none: its own"
    )


class TimmTower(ImageTower):
    """timm's own pooling makes the pooled feature; the local map is its last grid."""

    def __init__(self, description: TimmNet) -> None:
        super().__init__()
        check_timm_name(description.name)
        self.description: TimmNet = description
        self.net: Any = create_net(description)
        self.image_size = description.image_size or _own_size(self.net)
        with torch.no_grad():  # some nets widen before the classifier and do not say so: look
            side = self.image_size or 64
            maps = self.eval().feature_maps(torch.zeros(1, 3, side, side))
        self.train()
        self.feature_dim, self.local_dim = maps.pooled.shape[1], maps.local.shape[1]

    def feature_maps(self, images: Tensor) -> FeatureMaps:
        """The last grid, and timm's pooled feature."""
        features = self.net.forward_features(images)
        return FeatureMaps(self._grid(features), self.net.forward_head(features, pre_logits=True))

    def _grid(self, features: Tensor) -> Tensor:
        if features.ndim == 3:  # (N, tokens, C)
            patches = features[:, getattr(self.net, "num_prefix_tokens", 0) :].transpose(1, 2)
            return patches.unflatten(2, (math.isqrt(patches.shape[2]), -1))
        channels_last = getattr(self.net, "output_fmt", "NCHW") == "NHWC"
        return features.permute(0, 3, 1, 2) if channels_last else features

    def _reference(self) -> nn.Module:
        return self.net


def check_timm_name(name: str) -> None:
    """Raises ModelError where timm has no such tower; the closest name is suggested."""
    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ModelError(f"timm has no image tower named '{name}'.{hint} List them with timm.list_models().")


def create_net(description: TimmNet, pretrained: bool = False) -> nn.Module:
    """timm's module, without a classifier and for any side where it can; `pretrained` asks the hub."""
    import timm

    size = {} if description.image_size is None else {"img_size": description.image_size}
    # Transformers need to be told that sides may differ, each family in its own word; convolutions take neither.
    for any_side in ({"dynamic_img_size": True, "dynamic_img_pad": True}, {"strict_img_size": False}, {}):
        for settings in ({**size, **any_side}, any_side):
            try:
                return timm.create_model(description.name, pretrained=pretrained, num_classes=0, **settings)
            except TypeError as error:
                if "unexpected keyword" not in str(error):
                    raise
    raise AssertionError(f"timm does not create {description.name} without settings")


def _own_size(net: nn.Module) -> int | None:
    embed = getattr(net, "patch_embed", None)
    size = getattr(embed, "img_size", None)
    return int(size[0]) if size else None
