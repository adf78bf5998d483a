"""How large each method is: its towers built from its recipe without memory, and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel

from hilum.methods import METHODS, Entry
from hilum.methods.recipe import Recipe
from hilum.models.image_encoder import ImageArchitecture
from hilum.models.image_towers import NAMED as IMAGE_TOWERS
from hilum.models.image_towers import tower_named
from hilum.models.registry import ENCODERS
from hilum.models.text_towers import TextDescription, text_tower_named
from hilum.models.towers import Architecture
from hilum.models.towers_vit import ViT


@dataclass(frozen=True)
class Size:
    """A method in numbers.

    Attributes:
        method: its name.
        kind: 'images', or 'images and reports'.
        backbone: its image tower.
        input_px: side of the images it is pretrained on.
        feature_width: F, the width of what a probe sees.
        probed: parameters that a linear probe trains for one finding: F weights and an offset.
        finetuned: parameters of the encoder that finetuning trains, the new head apart.
        shared_dim: D of the space of images and texts; None where there are no texts.
        parameters: of the whole exported encoder.
        paper: who described it.
    """

    method: str
    kind: str
    backbone: str
    input_px: int
    feature_width: int
    probed: int
    finetuned: int
    shared_dim: int | None
    parameters: int
    paper: str


def overview(tiny: bool = False) -> list[Size]:
    """Every method with the settings of its paper, or with its tiny ones.

    A tiny text tower learns its vocabulary from the reports; it is counted with the largest one that its recipe allows.

    Example:
        >>> [size.feature_width for size in overview() if size.method == "moco-cxr"]
        [2048]
    """
    return [size_of(name, entry, entry.recipe.resolve(tiny=tiny)) for name, entry in METHODS.items()]


def size_of(name: str, entry: Entry, recipe: Recipe) -> Size:
    """A method with a recipe, in numbers. Nothing is downloaded and no memory is filled.

    Raises:
        ModelError: the recipe names a tower that there is not.
    """
    settings: dict[str, Any] = recipe.model_dump()
    with torch.device("meta"):
        architecture = _architecture(entry, recipe.model_copy(update={"init": "random"}))
        encoder = ENCODERS[architecture.kind][1](architecture).eval()  # type: ignore[attr-defined]
        features = encoder.image_features(torch.zeros(1, 3, settings["side_px"], settings["side_px"]))
        features.sum().backward()
    width = features.shape[1]
    return Size(
        method=name,
        kind="images and reports" if entry.method is not None and entry.method.needs_reports else "images",
        backbone=_backbone(architecture, settings["tower"]),
        input_px=settings["side_px"],
        feature_width=width,
        probed=width + 1,
        finetuned=sum(weight.numel() for weight in encoder.parameters() if weight.grad is not None),
        shared_dim=encoder.embed_dim if encoder.has_text else None,
        parameters=sum(weight.numel() for weight in encoder.parameters()),
        paper=type(recipe).paper,
    )


def _architecture(entry: Entry, recipe: Recipe) -> BaseModel:
    settings = recipe.model_dump()
    if entry.method is None:
        return ImageArchitecture(tower=tower_named(settings["tower"], settings["side_px"]))
    return entry.method(recipe).architecture(_text_tower(settings))


def _text_tower(settings: dict[str, Any]) -> TextDescription | None:
    """The text tower by name; None for the method's own. One that starts anew is as large as the recipe lets it be."""
    name = settings.get("text_model")
    if name is None or name == "bio-clinicalbert":
        return None
    learned = {"vocab_size": settings.get("vocabulary"), "positions": settings.get("context"), "pooler": False}
    return text_tower_named(name, **{key: value for key, value in learned.items() if value is not None})


def _backbone(architecture: BaseModel, tower: str) -> str:
    """The tower's name; CLIP's, whose recipe tells its sizes, by the name of the tower that has them."""
    if not isinstance(architecture, Architecture):
        return tower
    vision = architecture.vision
    for name, standard in IMAGE_TOWERS.items():
        sizes = (standard.patch, standard.width, standard.layers) if isinstance(standard, ViT) else None
        if sizes == (vision.patch_size, vision.width, vision.layers):
            return f"CLIP's {name}"
    return f"CLIP's {tower}, {vision.width} wide"
