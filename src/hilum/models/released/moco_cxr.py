"""MoCo-CXR and MedAug checkpoints: the query encoder of momentum contrast (Sowrirajan et al. 2021; Vu et al. 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from hilum.errors import CheckpointError
from hilum.models.image_encoder import ImageArchitecture, ProjectionHead
from hilum.models.image_towers import NAMED, TowerDescription
from hilum.models.model import Model
from hilum.models.pixel_statistics import CHEXPERT_MEAN, CHEXPERT_STD
from hilum.models.preprocess_kinds import ShorterSideCrop
from hilum.models.released.image_model import image_model, save_imported
from hilum.models.released.imported import Imported
from hilum.models.released.query_encoder import QueryEncoder, query_encoder
from hilum.models.released.recognize import not_this_release, open_checkpoint, recognize
from hilum.models.released.shapes import densenet_of, resnet_of

PREFIX = "module."

# MedAug keeps the metadata of what is in the queue.
BUFFERS = {
    "moco-cxr": ("queue", "queue_ptr"),
    "medaug": ("queue", "queue_ptr", "queue_id", "queue_study", "queue_lat"),
}

FACTS: dict[str, dict[str, Any]] = {
    "moco-cxr": {
        "paper": "Sowrirajan et al. 2021, MoCo Pretraining Improves Representation and Transferability of Chest X-ray Models",
        "license_of_weights": "not stated in the file; see the release. CheXpert's agreement covers the images",
    },
    "medaug": {
        "paper": "Vu et al. 2021, MedAug: Contrastive learning leveraging patient metadata",
        "license_of_weights": "MIT (code); CheXpert's or MIMIC-CXR's agreement covers the images",
    },
}


def import_moco_cxr(file: Path, release: str = "moco-cxr", keep_head: bool = False) -> Model:
    """The image encoder in a MoCo-CXR or MedAug checkpoint.

    Args:
        file: `*.pth.tar` with `state_dict` and `arch` (ResNet or DenseNet, of any size).
        release: 'moco-cxr' or 'medaug'.
        keep_head: keep pretraining's projection head for `ImageEncoder.project`; the features are pooled either way.

    Raises:
        CheckpointError: the file is of another release, or its tensors do not make the encoder they should.
    """
    opened = open_checkpoint(file)
    if recognize(opened.names) != release:
        expected = f"names such as {PREFIX}encoder_q.conv1.weight and {', '.join(PREFIX + b for b in BUFFERS[release])}"
        raise not_this_release(file, release, expected, opened.names)
    parts = query_encoder(file, opened.tensors, PREFIX, BUFFERS[release], heads=("fc", "classifier"))
    description = _tower(file, release, parts, str(opened.container.plain("arch") or ""))
    epochs = opened.container.plain("epoch")
    head = {name.split(".", 1)[1]: tensor for name, tensor in parts.head.items()}  # fc.0.weight to 0.weight
    if set(head) == {"weight", "bias"}:
        head = {f"0.{name}": tensor for name, tensor in head.items()}
    widths = tuple(tensor.shape[0] for name, tensor in sorted(head.items()) if name.endswith("weight"))
    kept = keep_head and bool(widths)
    return image_model(
        file,
        release,
        ImageArchitecture(tower=description, head=ProjectionHead(widths=widths) if kept else None),
        tower=parts.backbone,
        head=head if kept else {},
        preprocess=ShorterSideCrop(canvas_px=320, mean=CHEXPERT_MEAN, std=CHEXPERT_STD),
        left_out=parts.left_out if kept else {"the head": len(parts.head), **parts.left_out},
        facts=FACTS[release] | ({"epochs": epochs} if isinstance(epochs, int) else {}),
    )


def moco_cxr_folder(file: Path, out: Path) -> Imported:
    """Write the model folder of a MoCo-CXR checkpoint; see `import_moco_cxr`."""
    return save_imported(import_moco_cxr(file), file, out)


def medaug_folder(file: Path, out: Path) -> Imported:
    """Write the model folder of a MedAug checkpoint; see `import_moco_cxr`."""
    return save_imported(import_moco_cxr(file, "medaug"), file, out)


def _tower(file: Path, release: str, parts: QueryEncoder, arch: str) -> TowerDescription:
    backbone: dict[str, Tensor] = parts.backbone
    try:
        description = densenet_of(backbone) if "features.conv0.weight" in backbone else resnet_of(backbone)
    except KeyError:
        raise CheckpointError(
            f"{file}: its encoder (arch {arch or 'not given'!r}) is neither a ResNet nor a DenseNet of torchvision, which "
            f"hilum import {release} reads; its names begin with {', '.join(sorted(backbone)[:4])}."
        ) from None
    if arch in NAMED and description != NAMED[arch]:
        raise CheckpointError(
            f"{file}: the file says arch '{arch}', but its shapes are of another {description.family}: {description!r}. "
            "It may be damaged; compare its SHA-256 with the release."
        )
    return description
