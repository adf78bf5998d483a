"""Google's `.npz` files of vision transformers (Dosovitskiy et al. 2021), which REFERS starts from, as timm's tensors."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hilum.errors import ModelError
from hilum.models.tower import Description
from hilum.models.towers_vit import ViT

_BLOCK = "Transformer/encoderblock_{}/"
_ATTENTION = "MultiHeadDotProductAttention_1/"
# timm's name in a block -> Google's; kernels lie (in, out) there
_PLAIN = {
    "norm1": "LayerNorm_0",
    "norm2": "LayerNorm_2",
    "mlp.fc1": "MlpBlock_3/Dense_0",
    "mlp.fc2": "MlpBlock_3/Dense_1",
}


def read_google_vit(path: Path, description: Description) -> dict[str, Tensor]:
    """The tensors of a `.npz`, a classifier's as `head.*` or `pre_logits.*`.

    Args:
        path: such as `ViT-B_16.npz`.
        description: of the tower they are for; says how many blocks and heads to expect.

    Raises:
        ModelError: the tower is no ViT, the file is not such an archive, or an array is missing, unexpected or of
            another number of heads.
    """
    if not isinstance(description, ViT):
        raise ModelError(f"init={path}: .npz weights are of vision transformers; this is a {description.family} tower.")
    try:
        with np.load(path, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"init={path}: not a whole .npz file of arrays ({error}). Copy it again.") from None
    left = dict(arrays)

    def take(name: str) -> Tensor:
        if name not in left:
            raise ModelError(
                f"init={path}: no array '{name}' in it ({len(arrays)} arrays: {', '.join(sorted(arrays)[:4])}, ...). "
                f"Expected Google's ViT of {description.layers} blocks."
            )
        return torch.from_numpy(np.ascontiguousarray(left.pop(name)))

    tensors = {
        "cls_token": take("cls"),
        "pos_embed": take("Transformer/posembed_input/pos_embedding"),
        "patch_embed.proj.weight": take("embedding/kernel").permute(3, 2, 0, 1),  # (patch, patch, 3, D) to (D, 3, ...)
        "patch_embed.proj.bias": take("embedding/bias"),
        "norm.weight": take("Transformer/encoder_norm/scale"),
        "norm.bias": take("Transformer/encoder_norm/bias"),
    }
    for index in range(description.layers):
        block, there = f"blocks.{index}.", _BLOCK.format(index)
        for ours, theirs in _PLAIN.items():
            norm = ours.startswith("norm")
            weight = take(f"{there}{theirs}/{'scale' if norm else 'kernel'}")
            tensors[f"{block}{ours}.weight"] = weight if norm else weight.T
            tensors[f"{block}{ours}.bias"] = take(f"{there}{theirs}/bias")
        parts = [
            take(f"{there}{_ATTENTION}{part}/kernel") for part in ("query", "key", "value")
        ]  # each (D, heads, D / heads)
        if parts[0].shape[1] != description.heads:
            raise ModelError(f"init={path}: {parts[0].shape[1]} heads; the tower has {description.heads}.")
        tensors[f"{block}attn.qkv.weight"] = torch.cat([part.flatten(1).T for part in parts])
        biases = [take(f"{there}{_ATTENTION}{part}/bias").flatten() for part in ("query", "key", "value")]
        tensors[f"{block}attn.qkv.bias"] = torch.cat(biases)
        tensors[f"{block}attn.proj.weight"] = take(f"{there}{_ATTENTION}out/kernel").flatten(0, 1).T
        tensors[f"{block}attn.proj.bias"] = take(f"{there}{_ATTENTION}out/bias")
    for name, array in left.items():
        if array.dtype.kind not in "fiu":
            raise ModelError(f"init={path}: the array '{name}' holds no numbers ({array.dtype}).")
    rest = {name.replace("/", "."): torch.from_numpy(left[name]) for name in left}  # a classifier, or what fits nothing
    return tensors | rest
