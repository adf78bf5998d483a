"""ConVIRT checkpoints: the authors' container, and the image tower alone (Zhang et al. 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from hilum.checkpoints import Container
from hilum.errors import CheckpointError
from hilum.models.image_encoder import ImageArchitecture
from hilum.models.image_text import ImageTextArchitecture, ImageTextEncoder
from hilum.models.model import Model
from hilum.models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from hilum.models.preprocess_kinds import PadThenResize
from hilum.models.projections import Projection
from hilum.models.released.bert import bert_of, vocabulary_for
from hilum.models.released.image_model import image_model, save_imported
from hilum.models.released.image_text_model import image_text_model
from hilum.models.released.imported import Imported
from hilum.models.released.recognize import not_this_release, open_checkpoint
from hilum.models.released.shapes import resnet_of
from hilum.models.text_towers import Pooling
from hilum.models.towers_resnet import ResNet

PARTS = ("image_encoder", "text_encoder", "image_proj", "text_proj")
TEXT_PREFIX = "bert_model."
SIDE_PX = 224
CLASSIFIER = ("fc.",)

FACTS: dict[str, Any] = {
    "text_policy": "whole",
    "paper": "Zhang et al. 2020, Contrastive learning of medical visual representations from paired images and text, "
    "arXiv 2010.00747",
    "license_of_weights": "not stated by the authors; MIMIC-CXR's data use agreement covers the data",
}


def import_convirt(
    file: Path, vocab: str | Path | None = None, heads: int | None = None, images_only: bool = False
) -> Model:
    """The model in a ConVIRT checkpoint.

    Args:
        file: `best_model.pt`, a container of both towers and projections; or a flat state dict of the ResNet alone, which
            gives a model of images.
        vocab: the text encoder's vocabulary; see `vocabulary_for`.
        heads: attention heads of the text tower; none: width / 64 (12 in the release).
        images_only: take the image tower of a container alone; no vocabulary is needed then.

    Raises:
        UsageError: a container without `vocab`.
        CheckpointError: the file is of another release, or its tensors do not make the towers they should.
    """
    opened = open_checkpoint(file)
    container = opened.container
    if not set(PARTS) <= set(container.names):
        if opened.tensors and {"conv1.weight", "layer1.0.conv1.weight"} <= opened.tensors.keys():
            return _images(file, opened.tensors)
        expected = f"a container of {', '.join(PARTS)}, or a ResNet's names such as layer1.0.conv1.weight"
        raise not_this_release(file, "convirt", expected, opened.names)
    image = container.tensors("image_encoder")
    if images_only:
        return _images(file, image, {part: len(container.tensors(part)) for part in PARTS[1:]})
    text, image_projection, text_projection = (container.tensors(part) for part in PARTS[1:])
    bert, bert_tensors = bert_of(file, text, TEXT_PREFIX, heads)
    instead = " Or import the image tower alone, with --images-only."
    tokenizer = vocabulary_for(file, "convirt", vocab, bert, bert.positions, instead=instead)
    architecture = ImageTextArchitecture(
        image_tower=_tower(file, image),
        text_tower=bert,
        embed_dim=_last(file, image_projection).shape[0],
        pooling=_pooling(file, container),
        image_projection=_projection(file, image_projection),
        text_projection=_projection(file, text_projection),
        logit_scale=None,  # the temperature is fixed
    )
    others = {name: tensor for name, tensor in text.items() if not name.startswith(TEXT_PREFIX)}
    return image_text_model(
        file,
        "convirt",
        ImageTextEncoder(architecture),
        {
            "image_tower.": image,
            "text_tower.net.": bert_tensors | others,
            "image_projection.": image_projection,
            "text_projection.": text_projection,
        },
        PadThenResize(canvas_px=SIDE_PX, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        tokenizer,
        len(image) + len(text) + len(image_projection) + len(text_projection),
        FACTS,
    )


def convirt_folder(
    file: Path,
    out: Path,
    *,
    vocab: str | Path | None = None,
    heads: int | None = None,
    images_only: bool = False,
) -> Imported:
    """Write the model folder of a ConVIRT checkpoint; see `import_convirt`."""
    return save_imported(import_convirt(file, vocab, heads, images_only), file, out)


def _images(file: Path, tensors: dict[str, Tensor], left_out: dict[str, int] | None = None) -> Model:
    tower = {name: tensor for name, tensor in tensors.items() if not name.startswith(CLASSIFIER)}
    return image_model(
        file,
        "convirt",
        ImageArchitecture(tower=_tower(file, tower)),
        tower=tower,
        head={},
        preprocess=PadThenResize(canvas_px=SIDE_PX, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        left_out={"the classifier": len(tensors) - len(tower)} | (left_out or {}),
        facts={name: fact for name, fact in FACTS.items() if name != "text_policy"},
    )


def _tower(file: Path, tensors: dict[str, Tensor]) -> ResNet:
    try:
        return resnet_of(tensors)
    except KeyError as error:
        raise CheckpointError(f"{file}: no {error.args[0]} among the {len(tensors)} tensors of its ResNet.") from None


def _pooling(file: Path, container: Container) -> Pooling:
    config = container.plain("config")
    pooling = config.get("pool") if isinstance(config, dict) else None
    if pooling not in ("max", "mean", "cls") or pooling not in get_args(Pooling):
        raise CheckpointError(f"{file}: its config says pool={pooling!r}; expected max, mean or cls.")
    return pooling


def _projection(file: Path, tensors: dict[str, Tensor]) -> Projection:
    if "2.weight" not in tensors:
        return Projection(form="linear")
    return Projection(form="mlp-relu", hidden=tensors["2.weight"].shape[1])


def _last(file: Path, tensors: dict[str, Tensor]) -> Tensor:
    weight = tensors.get("2.weight", tensors.get("0.weight"))
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2:
        raise CheckpointError(
            f"{file}: its projection has {', '.join(sorted(tensors)[:6])}; expected 0.weight and 2.weight."
        )
    return weight
