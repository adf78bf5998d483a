"""Weights to start from: a file, or OpenAI's CLIP from the hub."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from hilum.checkpoints import read_state_dict
from hilum.errors import ModelError
from hilum.models.encoder import compare_keys, to_float32
from hilum.models.towers import DualEncoder


def read_weights(init: str, encoder: DualEncoder) -> dict[str, Tensor]:
    """Weights that fit an encoder.

    Args:
        init: 'openai' (CLIP ViT-B/32 through open_clip and the hub's cache), a `.safetensors` file, a `.pt` state dict,
            or a model folder of hilum.
        encoder: what they must fit.

    Raises:
        ModelError: not to be had, or they do not fit; says what to do.
    """
    tensors = _openai() if init == "openai" else _from_file(Path(init))
    report = compare_keys(encoder.tensors(), tensors)
    if report:
        raise ModelError(f"init={init}: these weights do not fit the recipe's towers:\n{report}")
    return tensors


def _from_file(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise ModelError(
            f"init={path}: no such file. Give CLIP weights (.pt, .safetensors), a model folder, or init=random."
        )
    tensors = load_file(path) if path.suffix == ".safetensors" else read_state_dict(path)
    return to_float32(
        {k: v for k, v in tensors.items() if k not in ("input_resolution", "context_length", "vocab_size")}
    )


def _openai() -> dict[str, Tensor]:
    if os.environ.get("HILUM_OFFLINE") == "1":
        raise ModelError(_how("downloads are off (HILUM_OFFLINE=1)"))
    import open_clip

    try:
        clip = open_clip.create_model("ViT-B-32-quickgelu", pretrained="openai", device="cpu")
    except (OSError, RuntimeError, ValueError) as error:  # what hub clients raise when nothing answers
        raise ModelError(_how(f"the hub did not give them: {str(error).splitlines()[0][:200]}")) from error
    return to_float32(dict(clip.state_dict()))


def _how(reason: str) -> str:
    return (
        f"init=openai: CLIP ViT-B/32 weights are needed and {reason}. Put a file with them at hand and pass "
        "--set init=FILE, or start from nothing with --set init=random (or --tiny)."
    )
