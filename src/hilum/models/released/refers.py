"""REFERS checkpoints: a vision transformer supervised by reports (Zhou et al. 2022)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hilum.errors import CheckpointError, UsageError
from hilum.models.image_encoder import ImageArchitecture
from hilum.models.model import Model
from hilum.models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from hilum.models.preprocess_kinds import Squash
from hilum.models.released.image_model import image_model, save_imported
from hilum.models.released.imported import Imported
from hilum.models.released.recognize import not_this_release, open_checkpoint, recognize
from hilum.models.released.shapes import vit_of

FULL_PREFIX = "visual.vit."  # in a file of pretraining; the downstream file has none
DROPOUT = 0.1

FACTS: dict[str, Any] = {
    "paper": "Zhou et al. 2022, Generalized radiograph representation learning via cross-supervision, "
    "doi 10.1038/s42256-021-00425-9",
    "license_of_weights": "MIT (code); MIMIC-CXR's data use agreement covers the data",
}

# REFERS' name -> timm's; query, key and value become one tensor
_EMBEDDING = {
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.cls_token": "cls_token",
    "embeddings.patch_embeddings.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.bias": "patch_embed.proj.bias",
    "encoder.encoder_norm.weight": "norm.weight",
    "encoder.encoder_norm.bias": "norm.bias",
}
_BLOCK = {
    "attention_norm": "norm1",
    "ffn_norm": "norm2",
    "ffn.fc1": "mlp.fc1",
    "ffn.fc2": "mlp.fc2",
    "attn.out": "attn.proj",
}
_JOINED = ("query", "key", "value")


def import_refers(file: Path, heads: int | None = None) -> Model:
    """The radiograph transformer in a REFERS checkpoint.

    Args:
        file: `refers_checkpoint.pth` (a flat state dict), or a file of pretraining (`model` with `visual.vit.*`).
        heads: attention heads, which no shape tells; none: width / 64 (12 in the release).

    Raises:
        CheckpointError: the file is of another release, or its tensors do not make the transformer they should.
        UsageError: `heads` does not divide the width.
    """
    if heads is not None and heads < 1:
        raise UsageError(f"hilum import refers: heads is {heads}; expected 1 or more.")
    opened = open_checkpoint(file)
    if recognize(opened.names) != "refers":
        expected = f"names such as transformer.encoder.layer.0.attn.query.weight, bare or after {FULL_PREFIX}"
        raise not_this_release(file, "refers", expected, opened.names)
    prefix = FULL_PREFIX if any(name.startswith(FULL_PREFIX) for name in opened.tensors) else ""
    tower: dict[str, Tensor] = {}
    left_out = {"the classifier": 0, "other parts": 0}
    for name, tensor in opened.tensors.items():
        inside = name.removeprefix(prefix)
        if not name.startswith(prefix) and not name.startswith("visual."):
            left_out["other parts"] += 1  # fusion, report encoder, generator
        elif inside.startswith("head."):
            left_out["the classifier"] += 1
        else:
            tower[inside] = tensor
    count = len(tower)
    renamed = to_timm(tower)
    try:
        description = vit_of(renamed, heads, DROPOUT)
    except KeyError as error:
        raise CheckpointError(f"{file}: no {error.args[0]} among the {count} tensors of its transformer.") from None
    if description.width % description.heads:
        raise UsageError(f"hilum import refers: {description.heads} heads do not divide the width {description.width}.")
    model = image_model(
        file,
        "refers",
        ImageArchitecture(tower=description),
        tower=renamed,
        head={},
        preprocess=Squash(canvas_px=description.image_size, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        left_out=left_out,
        facts=FACTS,
    )
    model.provenance["tensors"] = count  # as in the file: query, key and value counted apart
    return model


def refers_folder(file: Path, out: Path, *, heads: int | None = None) -> Imported:
    """Write the model folder of a REFERS checkpoint; see `import_refers`."""
    return save_imported(import_refers(file, heads), file, out)


def to_timm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """REFERS' names (`transformer.*`) as timm's; a name that is not known is kept, so that a strict load lists it."""
    renamed: dict[str, Tensor] = {}
    joined: dict[tuple[str, str], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        short = name.removeprefix("transformer.")
        block = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)", short)
        if short in _EMBEDDING:
            renamed[_EMBEDDING[short]] = tensor
        elif block and block[2] in _BLOCK:
            renamed[f"blocks.{block[1]}.{_BLOCK[block[2]]}.{block[3]}"] = tensor
        elif block and block[2].removeprefix("attn.") in _JOINED:
            joined.setdefault((block[1], block[3]), {})[block[2].removeprefix("attn.")] = tensor
        else:
            renamed[name] = tensor
    for (layer, kind), parts in joined.items():
        if parts.keys() >= set(_JOINED):
            renamed[f"blocks.{layer}.attn.qkv.{kind}"] = torch.cat([parts[part] for part in _JOINED])
        else:
            renamed |= {f"transformer.encoder.layer.{layer}.attn.{part}.{kind}": t for part, t in parts.items()}
    return renamed
