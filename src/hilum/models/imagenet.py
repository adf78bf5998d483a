"""The baseline every pretraining is measured against: a tower with ImageNet's weights, never shown a radiograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hilum.checkpoints import sha256_of
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder
from hilum.models.image_towers import tower_named
from hilum.models.model import Model
from hilum.models.preprocess_kinds import Squash
from hilum.models.tower_weights import imagenet_statistics, load_pretrained


def imagenet_model(tower: str = "resnet50", init: str = "imagenet", image_size_px: int = 224) -> Model:
    """A model of images alone whose features are ImageNet's (ResNet-50: 2048 wide).

    Args:
        tower: a name that `tower_named` knows.
        init: 'imagenet' asks the hub; or a local file with the weights; 'random' for comparison.
        image_size_px: side of the images; they are squashed to it, so that nothing of the chest is cut off.

    Raises:
        ModelError: no such tower, or its weights are not to be had; says what to do.
    """
    description = tower_named(tower, image_size_px)
    encoder = ImageEncoder(ImageArchitecture(tower=description))
    loaded = load_pretrained(encoder.image_tower, init)
    mean, std = imagenet_statistics(description)
    provenance: dict[str, Any] = {
        "name": f"{tower}-{'random' if init == 'random' else 'imagenet'}",
        "made_by": "imagenet",
        "init": Path(init).name,
        "tensors": loaded.tensors,
        "left_out": list(loaded.left_out),
    }
    if Path(init).is_file():
        provenance["sha256"] = sha256_of(Path(init))
    return Model(encoder, Squash(canvas_px=image_size_px, mean=mean, std=std), None, provenance)
