"""Image towers by description or by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from hilum.errors import ModelError
from hilum.models.tower import Description, ImageTower
from hilum.models.towers_densenet import DenseNet, DenseNetTower
from hilum.models.towers_resnet import ResNet, ResNetTower
from hilum.models.towers_swin import Swin, SwinTower
from hilum.models.towers_timm import TimmNet, TimmTower, check_timm_name
from hilum.models.towers_vit import ViT, ViTTower

# What a field of a saved architecture is declared as: pydantic picks the class by `family`.
TowerDescription = Annotated[ResNet | DenseNet | ViT | Swin | TimmNet, Field(discriminator="family")]

FAMILIES: dict[str, Callable[[Any], ImageTower]] = {
    "resnet": ResNetTower,
    "densenet": DenseNetTower,
    "vit": ViTTower,
    "swin": SwinTower,
    "timm": TimmTower,
}

# The tiny ones are for tests and two CPU cores.
NAMED: dict[str, TowerDescription] = {
    "resnet18": ResNet(block="basic", layers=(2, 2, 2, 2)),
    "resnet34": ResNet(block="basic", layers=(3, 4, 6, 3)),
    "resnet50": ResNet(),
    "resnet101": ResNet(layers=(3, 4, 23, 3)),
    "resnet-tiny": ResNet(block="basic", layers=(1, 1, 1, 1), widths=(16, 32, 64, 128), stem_width=16, stem="3x3"),
    "densenet121": DenseNet(),
    "densenet121-leaky": DenseNet(leaky_slope=0.1),
    "densenet-tiny": DenseNet(growth=12, blocks=(2, 2, 2, 2), initial_features=24, bn_size=2),
    "densenet-tiny-leaky": DenseNet(growth=12, blocks=(2, 2, 2, 2), initial_features=24, bn_size=2, leaky_slope=0.1),
    "vit-b-16": ViT(),
    "vit-b-32": ViT(patch=32),
    "vit-s-16": ViT(width=384, heads=6, mlp=1536),
    "vit-tiny": ViT(image_size=64, patch=8, width=64, layers=2, heads=2, mlp=128),
    "vit-mini": ViT(image_size=64, patch=8, width=128, layers=4, heads=4, mlp=256),
    "swin-t": Swin(),
    "swin-micro": Swin(image_size=64, patch=4, window=4, width=24, layers=(1, 1, 1), heads=(2, 4, 8), drop_path=0.0),
}

# Other spellings, without the signs between; 'swin-tiny' is how the paper's Swin-T is often called.
_ALIASES = {
    "swintiny": "swin-t",
    "swintinypatch4window7224": "swin-t",
    "vitbase16": "vit-b-16",
    "vitbasepatch16224": "vit-b-16",
    "vitbasepatch32224": "vit-b-32",
    "densenet121leakyrelu": "densenet121-leaky",
}

# CLIP's image towers, under open_clip's names; timm has them with their own pooling.
_CLIP = {
    "clip-rn50": "resnet50_clip",
    "clip-vit-b-32": "vit_base_patch32_clip_quickgelu_224",
    "clip-vit-b-16": "vit_base_patch16_clip_quickgelu_224",
}


def build_tower(description: Description) -> ImageTower:
    """An image tower with fresh random weights (torch's global generator).

    Args:
        description: one of the families' descriptions, for example from `tower_named`.

    Raises:
        ModelError: the description's parts do not fit together, or timm has no such tower.

    Example:
        >>> build_tower(tower_named("resnet50")).feature_dim
        2048
    """
    return FAMILIES[description.family](description)


def tower_named(name: str, image_size_px: int | None = None, **changes: Any) -> TowerDescription:
    """The description of a tower by its common name.

    Args:
        name: one of `NAMED` in any common spelling ('ResNet-50', 'vit_b_16', 'ViT-B/16', 'swin-t'), 'clip-rn50',
            'clip-vit-b-32', or a name of timm.
        image_size_px: side of the images, for towers that need to know it (transformers); others take any.
        **changes: fields of the family's description, such as `dropout=0.1` or `pool="first"`.

    Raises:
        ModelError: no such tower (the closest is suggested), or no such field.

    Example:
        >>> tower_named("ViT-B/16", dropout=0.1).heads
        12
    """
    known = {_squash(key): key for key in (*NAMED, *_CLIP)} | _ALIASES
    key = known.get(_squash(name), name)
    if key in NAMED:
        start: Description = NAMED[key]
    else:
        timm_name = _CLIP.get(key, key)
        _check_known(timm_name, known)
        start = TimmNet(name=timm_name)
    if image_size_px is not None and "image_size" in type(start).model_fields:
        changes = {"image_size": image_size_px, **changes}
    return described({**start.model_dump(), **changes}, f"tower {name}")


def described(settings: dict[str, Any], what: str = "tower") -> TowerDescription:
    """A description from plain settings with a `family`.

    Raises:
        ModelError: a setting is unknown or out of range.
    """
    try:
        return TypeAdapter(TowerDescription).validate_python(settings)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
        raise ModelError(f"{what}: {'; '.join(lines)}.") from None


def _check_known(name: str, known: dict[str, str]) -> None:
    close = difflib.get_close_matches(_squash(name), known, n=1, cutoff=0.75)
    try:
        check_timm_name(name)
    except ModelError as error:
        hint = f" Did you mean '{known[close[0]]}'?" if close else ""
        raise ModelError(f"no image tower '{name}'.{hint} There are: {', '.join(NAMED)}; or timm's ({error})") from None


def _squash(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())
