"""Swin transformers, timm's inside (Liu et al. 2021)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from hilum.models.tower import Description, FeatureMaps, ImageTower


class Swin(Description):
    """A Swin transformer; the defaults are Swin-T (27,519,354 parameters without a classifier)."""

    family: Literal["swin"] = "swin"
    image_size: int = Field(224, gt=0, description="side of the images it is laid out for; sets where windows shift")
    patch: int = Field(4, gt=0, description="side of a patch in pixels")
    window: int = Field(7, gt=0, description="side of an attention window in patches")
    width: int = Field(96, gt=0, description="of the first stage; doubles with each")
    layers: tuple[int, ...] = Field((2, 2, 6, 2), min_length=1)
    heads: tuple[int, ...] = Field((3, 6, 12, 24), min_length=1)
    mlp_ratio: float = Field(4.0, gt=0)
    drop_path: float = Field(0.1, ge=0, lt=1, description="stochastic depth of the last block in training")
    pool: Literal["mean", "first"] = Field(
        "mean", description="mean of the last normed grid, or its top-left token (CXR-CLIP, released code)"
    )


class SwinTower(ImageTower):
    """The pooled feature is the mean of the last normed grid, or its top-left token."""

    def __init__(self, description: Swin) -> None:
        from timm.models.swin_transformer import SwinTransformer

        super().__init__()
        self.description: Swin = description
        self.net = SwinTransformer(
            img_size=description.image_size,
            patch_size=description.patch,
            window_size=description.window,
            embed_dim=description.width,
            depths=description.layers,
            num_heads=description.heads,
            mlp_ratio=description.mlp_ratio,
            drop_path_rate=description.drop_path,
            num_classes=0,
            strict_img_size=False,
        )
        self.feature_dim = self.local_dim = self.net.num_features
        self.image_size = description.image_size

    def feature_maps(self, images: Tensor) -> FeatureMaps:
        """The last normed grid, and its mean or its top-left token."""
        grid = self.net.forward_features(_whole_patches(images, self.description.patch))  # (N, h, w, F)
        pooled = grid[:, 0, 0] if self.description.pool == "first" else grid.mean(dim=(1, 2))
        return FeatureMaps(grid.permute(0, 3, 1, 2), pooled)

    def _reference(self) -> nn.Module:
        return self.net


def _whole_patches(images: Tensor, patch: int) -> Tensor:
    height, width = images.shape[-2:]
    return nn.functional.pad(images, (0, -width % patch, 0, -height % patch))
