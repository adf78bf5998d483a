"""CLIP's towers, built from a plain description that is saved beside the weights."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from hilum.errors import ModelError
from hilum.models.encoder import Encoder


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


class DualEncoder(Encoder):
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
        self.architecture: Architecture = architecture
        self.clip = open_clip.model.CLIP(
            embed_dim=architecture.embed_dim,
            vision_cfg=open_clip.model.CLIPVisionCfg(**vision),
            text_cfg=open_clip.model.CLIPTextCfg(**architecture.text.model_dump()),
            quick_gelu=architecture.quick_gelu,
        )
        self._layout = torch.contiguous_format
        if isinstance(architecture.vision.layers, tuple):  # convolutions run about 1.5 times as fast with channels last
            self._layout = torch.channels_last
            self.clip.visual.to(memory_format=self._layout)

    @property
    def embed_dim(self) -> int:
        """D, the width of an embedding."""
        return self.architecture.embed_dim

    @property
    def logit_scale(self) -> Tensor:
        """Log of the factor on cosines: scalar, starts at ln(1 / 0.07)."""
        return self.clip.logit_scale

    def encode_images(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalized floats to (N, D), not normalized."""
        return self.clip.encode_image(images.contiguous(memory_format=self._layout))

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


def build(architecture: Architecture) -> DualEncoder:
    """A dual encoder with fresh random weights (torch's global generator)."""
    return DualEncoder(architecture)


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
