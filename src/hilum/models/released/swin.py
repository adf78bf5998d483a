"""The Swin transformer of Hugging Face's files as timm's: sizes from the shapes, names renewed (Liu et al. 2021)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hilum.errors import CheckpointError
from hilum.models.towers_swin import Swin

_LONG = {"q": "query", "k": "key", "v": "value"}

# Names of transformers 5 and later -> of 4, which releases have.
_RENEWED = (
    (re.compile(r"\.attention\.([qkv])_proj\."), lambda m: f".attention.self.{_LONG[m[1]]}."),
    (re.compile(r"\.attention\.o_proj\."), lambda _: ".attention.output.dense."),
    (re.compile(r"\.attention\.relative_position_bias\."), lambda _: ".attention.self."),
    (re.compile(r"\.mlp\.fc1\."), lambda _: ".intermediate.dense."),
    (re.compile(r"\.mlp\.fc2\."), lambda _: ".output.dense."),
)
_JOINED = ("query", "key", "value")

# Names of transformers 4 -> timm's.
_OUTSIDE = {
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "embeddings.norm": "patch_embed.norm",
    "layernorm": "norm",
}
_BLOCK = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_TABLE = "attention.self.relative_position_bias_table"
_INDEX = "attention.self.relative_position_index"  # a buffer, computed from the window


def swin_of(file: Path, tensors: Mapping[str, Tensor], image_size: int) -> Swin:
    """The Swin transformer of timm's names, its feature the top-left token as in CXR-CLIP.

    Args:
        file: for messages.
        tensors: from `swin_to_timm`.
        image_size: side of the images that it is laid out for, which no shape tells.

    Raises:
        CheckpointError: a tensor that tells a size is missing.
    """
    try:
        patches = tensors["patch_embed.proj.weight"]  # (width, 3, patch, patch)
        stages = _count(tensors, r"layers\.(\d+)\..+")
        tables = [tensors[f"layers.{s}.blocks.0.attn.relative_position_bias_table"] for s in range(stages)]
        return Swin(
            image_size=image_size,
            patch=patches.shape[-1],
            window=(math.isqrt(tables[0].shape[0]) + 1) // 2,  # ((2 * window - 1)^2, heads)
            width=patches.shape[0],
            layers=tuple(_count(tensors, rf"layers\.{s}\.blocks\.(\d+)\..+") for s in range(stages)),
            heads=tuple(table.shape[1] for table in tables),
            mlp_ratio=tensors["layers.0.blocks.0.mlp.fc1.weight"].shape[0] / patches.shape[0],
            pool="first",
        )
    except KeyError as error:
        raise CheckpointError(f"{file}: no {error.args[0]} in its Swin transformer.") from None


def swin_to_timm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Hugging Face's names as timm's; a name that is not known is kept, so that a strict load lists it.

    timm joins query, key and value, and has the downsampling at the beginning of the next stage instead of the end.
    """
    renamed: dict[str, Tensor] = {}
    joined: dict[str, dict[str, Tensor]] = {}
    for given, tensor in tensors.items():
        name = given
        for pattern, old in _RENEWED:
            name = pattern.sub(old, name)
        stem, _, kind = name.rpartition(".")
        block = re.fullmatch(r"encoder\.layers\.(\d+)\.blocks\.(\d+)\.(.+)", name)
        down = re.fullmatch(r"encoder\.layers\.(\d+)\.(downsample\..+)", name)
        if stem in _OUTSIDE:
            renamed[f"{_OUTSIDE[stem]}.{kind}"] = tensor
        elif down:
            renamed[f"layers.{int(down[1]) + 1}.{down[2]}"] = tensor
        elif block:
            place, inside = f"layers.{block[1]}.blocks.{block[2]}", block[3]
            part, _, kind = inside.rpartition(".")
            if inside == _TABLE:
                renamed[f"{place}.attn.relative_position_bias_table"] = tensor
            elif part in _BLOCK:
                renamed[f"{place}.{_BLOCK[part]}.{kind}"] = tensor
            elif part.removeprefix("attention.self.") in _JOINED:
                joined.setdefault(f"{place}.attn.qkv.{kind}", {})[part.removeprefix("attention.self.")] = tensor
            elif inside != _INDEX:
                renamed[given] = tensor
        else:
            renamed[given] = tensor
    for name, parts in joined.items():
        if parts.keys() >= set(_JOINED):
            renamed[name] = torch.cat([parts[part] for part in _JOINED])
        else:  # left apart, so that a strict load lists what is missing
            renamed |= {f"{name} ({part} alone)": tensor for part, tensor in parts.items()}
    return renamed


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    found = [int(match[1]) for name in tensors if (match := re.fullmatch(pattern, name))]
    if not found:
        raise KeyError(pattern.replace("\\", ""))
    return max(found) + 1
