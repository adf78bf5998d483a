"""Image and text towers, built from a plain description that is saved beside the weights."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hilum.errors import ModelError


class Vision(BaseModel):
    """An image tower of open_clip: a ViT (int layers), a ResNet (four layer counts) or a timm model by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = 224
    layers: int | tuple[int, int, int, int] = 12
    width: int = 768
    patch_size: int = 32
    head_width: int = 64
    timm_model_name: str | None = None


class Text(BaseModel):
    """A causal text transformer as in CLIP (Radford et al. 2021, section 2.4)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_length: int = 77
    vocab_size: int = 49408
    width: int = 512
    heads: int = 8
    layers: int = 12


class Architecture(BaseModel):
    """A dual encoder. The defaults are CLIP ViT-B/32, which CheXzero finetunes (151,277,313 parameters)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["clip"] = "clip"
    embed_dim: int = Field(512, gt=0)
    quick_gelu: bool = True
    vision: Vision = Vision()
    text: Text = Text()


class DualEncoder(nn.Module):
    """An image tower and a text tower that meet in one space.

    Attributes:
        clip: the open_clip module; its state dict has the key names of CLIP's releases.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        import open_clip.model

        vision = architecture.vision.model_dump(exclude_none=True)
        if vision.get("timm_model_name"):
            _check_timm(vision["timm_model_name"])
        self.architecture = architecture
        self.clip = open_clip.model.CLIP(
            embed_dim=architecture.embed_dim,
            vision_cfg=open_clip.model.CLIPVisionCfg(**vision),
            text_cfg=open_clip.model.CLIPTextCfg(**architecture.text.model_dump()),
            quick_gelu=architecture.quick_gelu,
        )

    @property
    def logit_scale(self) -> Tensor:
        """Log of the factor on cosines: scalar, starts at ln(1 / 0.07)."""
        return self.clip.logit_scale

    def encode_images(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalized floats to (N, D), not normalized."""
        return self.clip.encode_image(images)

    def encode_texts(self, ids: Tensor) -> Tensor:
        """(N, context) int64 ids to (N, D), not normalized.

        Columns after the last end id are left out: the mask is causal, so they could not have changed the result.
        """
        clip = self.clip
        ends = ids.argmax(dim=-1)  # the end id is the largest
        length = int(ends.max()) + 1 if len(ids) else 1
        x = clip.token_embedding(ids[:, :length]) + clip.positional_embedding[:length]  # (N, L, width)
        x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask[:length, :length]))
        return x[torch.arange(len(x), device=x.device), ends] @ clip.text_projection

    def image_features(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalized floats to (N, F): what a probe sees; for CLIP the embedding itself."""
        return self.encode_images(images)

    def tensors(self) -> dict[str, Tensor]:
        """The weights under CLIP's own names, for saving."""
        return dict(self.clip.state_dict())

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Put weights in, strictly.

        Raises:
            ModelError: a key is missing or too many, or a shape differs; all are listed.
        """
        report = compare_keys(self.clip.state_dict(), tensors)
        if report:
            raise ModelError(f"the weights do not fit the architecture:\n{report}")
        self.clip.load_state_dict(tensors, strict=True)


def build(architecture: Architecture) -> DualEncoder:
    """A dual encoder with fresh random weights (torch's global generator)."""
    return DualEncoder(architecture)


def compare_keys(expected: dict[str, Tensor], got: dict[str, Tensor], most: int = 8) -> str:
    """A report of missing keys, unexpected keys and shapes that differ; empty when all fits."""
    missing = sorted(expected.keys() - got.keys())
    extra = sorted(got.keys() - expected.keys())
    shapes = [
        f"{key}: expected {tuple(expected[key].shape)}, got {tuple(got[key].shape)}"
        for key in sorted(expected.keys() & got.keys())
        if expected[key].shape != got[key].shape
    ]
    lines = []
    for title, names in (("missing", missing), ("unexpected", extra), ("of another shape", shapes)):
        if names:
            more = f", and {len(names) - most} more" if len(names) > most else ""
            lines.append(f"  {len(names)} {title}: {', '.join(names[:most])}{more}")
    return "\n".join(lines)


def architecture_of(tensors: dict[str, Tensor]) -> Architecture:
    """The CLIP ViT architecture that a state dict's shapes imply.

    Args:
        tensors: a state dict with CLIP's names; heads are width / 64.

    Raises:
        KeyError: it has no such tensors.
    """
    conv = tensors["visual.conv1.weight"]  # (width, 3, patch, patch)
    grid = math.isqrt(tensors["visual.positional_embedding"].shape[0] - 1)
    width = tensors["ln_final.weight"].shape[0]
    return Architecture(
        embed_dim=tensors["text_projection"].shape[1],
        quick_gelu=True,
        vision=Vision(
            image_size=grid * conv.shape[-1],
            layers=_count(tensors, "visual.transformer.resblocks."),
            width=conv.shape[0],
            patch_size=conv.shape[-1],
        ),
        text=Text(
            context_length=tensors["positional_embedding"].shape[0],
            vocab_size=tensors["token_embedding.weight"].shape[0],
            width=width,
            heads=max(1, width // 64),
            layers=_count(tensors, "transformer.resblocks."),
        ),
    )


def _count(tensors: dict[str, Tensor], prefix: str) -> int:
    return sum(key.startswith(prefix) and key.endswith("attn.in_proj_weight") for key in tensors)


def _check_timm(name: str) -> None:
    import difflib

    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ModelError(f"timm has no image tower named '{name}'.{hint} List them with timm.list_models().")


def parameter_count(module: nn.Module) -> int:
    """How many trainable numbers a module holds."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def to_float32(tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Half-precision tensors as float32, contiguous and each in its own memory."""
    return {k: (v.to(torch.float32) if v.is_floating_point() else v).contiguous().clone() for k, v in tensors.items()}
