"""Attention rollout (Abnar & Zuidema 2020): what reaches the pooled token through all layers' attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hilum.errors import UsageError
from hilum.models.model import Model
from hilum.tasks.explaining.heatmap import CoarseMap
from hilum.tasks.explaining.layers import net_of, own_modules, patch_lattice, tokens_as_grid
from hilum.tasks.explaining.question import Question

NOTE = (
    "What the image vector attended to, in shares of even attention. It does not depend on the phrase: it shows what was looked "
    "at, not what for."
)


@torch.inference_mode()
def rollout_map(model: Model, square: Tensor, question: Question) -> CoarseMap:
    """How much of each patch reaches the token that is pooled, were values passed on unchanged.

    Args:
        model: whose image tower is a vision transformer.
        square: (1, canvas, canvas) uint8.
        question: for the score alone.

    Raises:
        UsageError: the image tower is no vision transformer.
    """
    import open_clip.transformer
    from timm.models.vision_transformer import VisionTransformer

    encoder = own_modules(model.encoder)
    net: Any = net_of(encoder)
    images = model.preprocess.tensor(square.to(model.device))
    seen: list[Tensor] = []  # of each layer (N, heads, T, T)
    if isinstance(net, open_clip.transformer.VisionTransformer):
        prefix, averaged, patch_px = 1, net.pool_type == "avg", net.patch_size[0]
        for block in net.transformer.resblocks:
            _keep_open_clip(block.attn, seen)
    elif isinstance(net, VisionTransformer) and all(hasattr(block.attn, "attn_drop") for block in net.blocks):
        prefix, averaged, patch_px = net.num_prefix_tokens, net.global_pool != "token", net.patch_embed.patch_size[0]
        for block in net.blocks:
            _keep_timm(block.attn, seen)
    else:
        raise UsageError(
            f"{model.name}: attention rollout needs a vision transformer; its image tower is {type(net).__name__}. "
            "Use how='gradient'."
        )
    answer = float(question.answer(encoder, images))
    flow = rolled_out(seen)[0]  # (T, T)
    reached = (flow[prefix:].mean(dim=0) if averaged else flow[0])[prefix:]
    grid = tokens_as_grid(reached[None, :, None])[0, 0]
    values = (grid * (grid.numel() / grid.sum())).float().cpu().numpy()
    return CoarseMap(values, patch_lattice(images.shape[-1], patch_px), question.score(answer), None, NOTE)


def rolled_out(attentions: list[Tensor]) -> Tensor:
    """The product of all layers' attentions, each averaged over heads and half of it identity, for the residual path.

    Args:
        attentions: of each layer (N, heads, T, T), rows sum to 1; the first layer first.

    Returns:
        (N, T, T): row i tells how much of each input token is in token i; rows sum to 1.
    """
    flow: Tensor | None = None
    for attention in attentions:
        mean = attention.float().mean(dim=1)
        step = (mean + torch.eye(mean.shape[-1], device=mean.device)) / 2
        flow = step if flow is None else step @ flow
    assert flow is not None, "a transformer without layers"
    return flow


def _keep_timm(attention: Any, seen: list[Tensor]) -> None:
    attention.fused_attn = False  # the fused kernel never has the weights in hand

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])

    attention.attn_drop.register_forward_pre_hook(keep)


def _keep_open_clip(attention: nn.Module, seen: list[Tensor]) -> None:
    def ask(_: nn.Module, inputs: tuple[Tensor, ...], settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, {**settings, "need_weights": True, "average_attn_weights": False}

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        seen.append(output[1])

    attention.register_forward_pre_hook(ask, with_kwargs=True)
    attention.register_forward_hook(keep)
