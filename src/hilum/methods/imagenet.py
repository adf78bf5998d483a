"""The baseline that every pretraining is measured against: ImageNet's weights, never shown a radiograph."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from hilum.methods.recipe import Recipe
from hilum.models import Model
from hilum.models.imagenet import imagenet_model


class ImageNet(Recipe):
    """Deng et al. 2009's images, as the founding studies use their weights: no training here, so its settings do nothing."""

    name: ClassVar[str] = "imagenet"
    paper: ClassVar[str] = "Deng et al. 2009, doi 10.1109/CVPR.2009.5206848"

    tower: str = Field("resnet50", description="image tower by name (the founding studies: ResNet-50)")
    init: str = Field("imagenet", description="'imagenet' asks the hub, a local weights file, or 'random'")
    side_px: int = Field(224, gt=0, description="the image tower's input")

    # Nobody trained so small a tower on ImageNet: this is the random baseline of the other methods' tiny towers.
    tiny: ClassVar[dict[str, Any]] = {"tower": "resnet-tiny", "init": "random", "side_px": 96}


def imagenet_baseline(recipe: ImageNet) -> Model:
    """The model of the recipe's tower and weights.

    Raises:
        ModelError: no such tower, or its weights are not to be had; says what to do.
    """
    return imagenet_model(recipe.tower, recipe.init, recipe.side_px)
