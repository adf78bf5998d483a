"""S2MTS2 checkpoints: a DenseNet with LeakyReLU, pretrained by joint contrastive learning (Liu et al. 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from hilum.errors import CheckpointError, UsageError
from hilum.models.image_encoder import ImageArchitecture, ProjectionHead
from hilum.models.model import Model
from hilum.models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from hilum.models.preprocess_kinds import Squash
from hilum.models.released.image_model import image_model, save_imported
from hilum.models.released.imported import Imported
from hilum.models.released.query_encoder import query_encoder
from hilum.models.released.recognize import not_this_release, open_checkpoint, recognize
from hilum.models.released.shapes import densenet_of

LEAKY_SLOPE = 0.1

FACTS: dict[str, Any] = {
    "paper": "Liu et al. 2021, Self-supervised Mean Teacher for Semi-supervised Chest X-ray Classification",
    "license_of_weights": "not stated in the file; see the release. CheXpert's agreement covers the images",
}


def import_s2mts2(file: Path, features: Literal["pooled", "head"] = "pooled") -> Model:
    """The image encoder in an S2MTS2 checkpoint.

    Args:
        file: `*.pth.tar` with `state_dict`; names with or without the prefix `module.`, and DenseNet's old names, are read.
        features: 'pooled' (default), or 'head': the pooled feature through `classifier`, twice, and a ReLU, as the
            original's forward pass does before its last part.

    Raises:
        CheckpointError: the file is of another release, or its tensors do not make the encoder they should.
        UsageError: `features` is something else.
    """
    if features not in ("pooled", "head"):
        raise UsageError(f"hilum import s2mts2: features is {features!r}; expected pooled or head.")
    opened = open_checkpoint(file)
    if recognize(opened.names) != "s2mts2":
        expected = "names such as encoder_q.features.conv0.weight and encoder_q.classifier_group.0.weight"
        raise not_this_release(file, "s2mts2", expected, opened.names)
    prefix = "module." if all(name.startswith("module.") for name in opened.tensors) else ""
    parts = query_encoder(file, opened.tensors, prefix, ("queue", "queue_ptr"), heads=("classifier",))
    projection = {n: t for n, t in parts.head.items() if n.startswith("classifier_group.")}
    head = {f"0.{n.removeprefix('classifier.')}": t for n, t in parts.head.items() if n not in projection}
    try:
        description = densenet_of(parts.backbone, LEAKY_SLOPE)
        width = head["0.weight"].shape[0]
    except KeyError as error:
        raise CheckpointError(
            f"{file}: no {error.args[0]} in its query encoder; expected a DenseNet with a square 'classifier'."
        ) from None
    return image_model(
        file,
        "s2mts2",
        ImageArchitecture(
            tower=description,
            head=ProjectionHead(widths=(width,), twice=True, last_relu=True),
            features=features,
        ),
        tower=parts.backbone,
        head=head,
        # Here: the whole image at the side of pretraining's crops; the release has no evaluation transform for this stage.
        preprocess=Squash(canvas_px=256, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        left_out={"the projection": len(projection), **parts.left_out},
        facts=FACTS,
    )


def s2mts2_folder(file: Path, out: Path, *, features: Literal["pooled", "head"] = "pooled") -> Imported:
    """Write the model folder of an S2MTS2 checkpoint; see `import_s2mts2`."""
    return save_imported(import_s2mts2(file, features), file, out)
