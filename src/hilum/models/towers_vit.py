"""Vision transformers with a class token, timm's inside (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from hilum.models.tower import Description, FeatureMaps, ImageTower


class ViT(Description):
    """A vision transformer; the defaults are ViT-B/16 (85,798,656 parameters without a classifier)."""

    family: Literal["vit"] = "vit"
    image_size: int = Field(224, gt=0, description="side of the images that the position grid is for")
    patch: int = Field(16, gt=0, description="side of a patch in pixels")
    width: int = Field(768, gt=0)
    layers: int = Field(12, gt=0)
    heads: int = Field(12, gt=0)
    mlp: int = Field(3072, gt=0, description="hidden width of a block's MLP")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="after the position embedding and in the MLPs; none in attention"
    )


class ViTTower(ImageTower):
    """The pooled feature is the class token after the final norm."""

    def __init__(self, description: ViT) -> None:
        from timm.models.vision_transformer import VisionTransformer

        super().__init__()
        self.description: ViT = description
        self.net = VisionTransformer(
            img_size=description.image_size,
            patch_size=description.patch,
            embed_dim=description.width,
            depth=description.layers,
            num_heads=description.heads,
            mlp_ratio=description.mlp / description.width,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            pos_drop_rate=description.dropout,
            proj_drop_rate=description.dropout,
            num_classes=0,
            dynamic_img_size=True,  # other sides: the position grid is interpolated
            dynamic_img_pad=True,
        )
        for block in self.net.blocks:
            block.attn.proj_drop.p = 0.0  # timm drops the attention's output with the MLP's rate; ViT's authors do not
        self.feature_dim = self.local_dim = description.width
        self.image_size = description.image_size

    def feature_maps(self, images: Tensor) -> FeatureMaps:
        """The normed patch tokens as a grid, and the normed class token."""
        tokens = self.net.forward_features(images)  # (N, 1 + P, F)
        side = -(-images.shape[-1] // self.description.patch)
        grid = tokens[:, 1:].transpose(1, 2).unflatten(2, (-1, side))  # (N, F, h, w)
        return FeatureMaps(grid, tokens[:, 0])

    def _reference(self) -> nn.Module:
        return self.net
