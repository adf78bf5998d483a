"""Weights for an image tower to start from: ImageNet's from the hub, a file, or a model folder."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.checkpoints import read_checkpoint
from hilum.errors import ModelError
from hilum.models.encoder import compare_keys, to_float32
from hilum.models.google_vit import read_google_vit
from hilum.models.image_towers import NAMED
from hilum.models.pixel_statistics import HALF_MEAN, HALF_STD, IMAGENET_MEAN, IMAGENET_STD, Triple
from hilum.models.tower import Description, ImageTower
from hilum.models.towers_timm import TimmNet, TimmTower, create_net
from hilum.models.towers_vit import ViT

logger = logging.getLogger(__name__)

# The ImageNet weights that papers start from, under timm's names on the hub: torchvision's first ones; Google's ViT of
# ImageNet-21k; Microsoft's Swin.
IMAGENET: dict[str, str] = {
    "resnet18": "resnet18.tv_in1k",
    "resnet34": "resnet34.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "resnet101": "resnet101.tv_in1k",
    "densenet121": "densenet121.tv_in1k",
    "vit-b-16": "vit_base_patch16_224.orig_in21k",
    "vit-b-32": "vit_base_patch32_224.orig_in21k",
    "swin-t": "swin_tiny_patch4_window7_224.ms_in1k",
}

# The only names that may be left out of a file: a classifier's.
CLASSIFIER = ("fc.", "classifier.", "head.", "pre_logits.")

# Fields that change what a tower does, not which weights it takes.
_NOT_SHAPE = ("image_size", "leaky_slope", "dropout", "drop_path", "pool")


@dataclass(frozen=True)
class Loaded:
    """What `load_pretrained` did: where the weights came from, how many tensors, and the classifier's that were left out."""

    source: str
    tensors: int
    left_out: tuple[str, ...] = ()


@torch.no_grad()
def load_pretrained(tower: ImageTower, init: str) -> Loaded:
    """Put weights into a tower; every tensor must fit, a classifier's apart.

    A ViT's position grid is resized where its side differs; DenseNet files with old names (`norm.1`) are read.

    Args:
        tower: changed in place.
        init: 'random' (nothing is done), 'imagenet' (the hub), a `.pth` or `.safetensors` file of torchvision or timm,
            Google's `.npz` of a ViT, or a model folder of hilum whose image tower is alike.

    Raises:
        ModelError: not to be had, or they do not fit; missing and unexpected names are listed.
    """
    if init == "random":
        return Loaded("random", 0)
    tensors = _hub(tower) if init == "imagenet" else _from_path(Path(init), tower)
    return fit(tower, tensors, init)


@torch.no_grad()
def fit(tower: ImageTower, tensors: dict[str, Tensor], source: str) -> Loaded:
    """Put tensors with the reference's names into a tower; see `load_pretrained`."""
    own = tower.weights()
    given = {modern_name(name): tensor for name, tensor in tensors.items()}
    left_out = tuple(sorted(name for name in given if name.startswith(CLASSIFIER) and name not in own))
    given = {name: tensor for name, tensor in given.items() if name not in left_out}
    for name in own.keys() - given.keys():
        if name.endswith("num_batches_tracked"):  # files of before 2018 do not count batches
            given[name] = torch.zeros_like(own[name])
    if "pos_embed" in own and "pos_embed" in given and isinstance(tower.description, ViT):
        given["pos_embed"] = resize_positions(given["pos_embed"], own["pos_embed"].shape[1])
    report = compare_keys(own, given)
    if report:
        raise ModelError(f"init={source}: these weights do not fit the {tower.description.family} tower:\n{report}")
    tower.load_weights(to_float32(given))
    logger.info("%s: %d tensors, %d of a classifier left out", source, len(given), len(left_out))
    return Loaded(source, len(given), left_out)


def imagenet_statistics(description: Description) -> tuple[Triple, Triple]:
    """Mean and standard deviation of the pixels that a tower's ImageNet weights were trained with."""
    if isinstance(description, TimmNet):
        import timm

        config = timm.get_pretrained_cfg(description.name)
        return (tuple(config.mean), tuple(config.std)) if config else (IMAGENET_MEAN, IMAGENET_STD)
    return (HALF_MEAN, HALF_STD) if isinstance(description, ViT) else (IMAGENET_MEAN, IMAGENET_STD)


def resize_positions(positions: Tensor, tokens: int) -> Tensor:
    """A ViT's position embeddings (1, 1 + g * g, D) on another grid: (1, tokens, D).

    The class token keeps its own. The grid is zoomed by splines of order 1, corner to corner (Google's and REFERS' code).
    """
    if positions.shape[1] == tokens:
        return positions
    old, new = round((positions.shape[1] - 1) ** 0.5), round((tokens - 1) ** 0.5)
    if old * old + 1 != positions.shape[1] or new * new + 1 != tokens:
        return positions  # not square grids: left as they are, and refused by their shape
    grid = positions[:, 1:].transpose(1, 2).unflatten(2, (old, old)).float()
    zoomed = F.interpolate(grid, (new, new), mode="bilinear", align_corners=True).flatten(2).transpose(1, 2)
    return torch.cat([positions[:, :1].float(), zoomed], dim=1)


def modern_name(name: str) -> str:
    """DenseNet's names as torchvision writes them since 2018: `norm.1` and `conv.2` become `norm1` and `conv2`."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


def _from_path(path: Path, tower: ImageTower) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise ModelError(
            f"init={path}: no such file. Give weights (.pth, .safetensors, .npz), a model folder, 'imagenet' or 'random'."
        )
    if path.suffix == ".npz":
        return read_google_vit(path, tower.description)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ModelError(f"init={path}: not a whole safetensors file ({error}). Copy it again.") from None
    content = read_checkpoint(path)
    for container in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(container), dict):
            content = content[container]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"init={path}: expected a state dict (name to tensor), got {type(content).__name__}.")
    return {str(name): tensor for name, tensor in content.items()}


def _of_folder(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    from hilum.models.model import WEIGHTS, read_config

    kind = read_config(folder).get("architecture", {}).get("kind")
    prefix = "image_tower."
    tensors = {
        name.removeprefix(prefix).removeprefix("net."): tensor
        for name, tensor in (load_file(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else {}).items()
        if name.startswith(prefix)
    }
    if not tensors:
        raise ModelError(
            f"init={folder}: this model (of the kind {kind!r}) has no image tower that another can start from."
        )
    return tensors


def _hub(tower: ImageTower) -> dict[str, Tensor]:
    name = _hub_name(tower)
    if os.environ.get("HILUM_OFFLINE") == "1":
        raise ModelError(_how(name, "downloads are off (HILUM_OFFLINE=1)"))
    import timm

    try:
        if isinstance(tower, TimmTower):
            return dict(create_net(tower.description, pretrained=True).state_dict())
        return dict(timm.create_model(name, pretrained=True).state_dict())
    except (OSError, RuntimeError, ValueError) as error:  # what hub clients raise when nothing answers
        raise ModelError(
            _how(name, f"the hub did not give them: {(str(error).splitlines() or [''])[0][:200]}")
        ) from error


def _hub_name(tower: ImageTower) -> str:
    description = tower.description
    if isinstance(tower, TimmTower):
        return tower.description.name
    for name, hub_name in IMAGENET.items():
        standard = NAMED[name]
        if type(standard) is not type(description):
            continue
        same = {field: getattr(standard, field) for field in _NOT_SHAPE if field in type(standard).model_fields}
        if description.model_copy(update=same) == standard:
            return hub_name
    raise ModelError(
        f"init=imagenet: there are no ImageNet weights for a {description.family} tower of this shape; there are for "
        f"{', '.join(IMAGENET)}, and for timm's. Give a file, or init=random."
    )


def _how(name: str, reason: str) -> str:
    return (
        f"init=imagenet: the weights '{name}' are needed and {reason}. Put a file with them at hand and give its path as "
        "init, or start from nothing with init=random."
    )
