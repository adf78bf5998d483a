"""Patch-text similarity of vision transformers: each patch token in the place of the class token."""

from __future__ import annotations

import torch
from torch import Tensor

from hilum.errors import UsageError
from hilum.models.encoder import Encoder
from hilum.models.image_text import ImageTextEncoder
from hilum.models.model import Model
from hilum.models.towers import DualEncoder
from hilum.tasks.explaining.heatmap import CoarseMap
from hilum.tasks.explaining.layers import net_of, patch_lattice, tokens_as_grid
from hilum.tasks.explaining.question import TextQuestion

NOTE = (
    "Cosine of each patch with the phrase. Training asked this of the class token alone: patches also hold what the whole image "
    "says, and may point beside the finding, or away from it."
)


@torch.inference_mode()
def patch_map(model: Model, square: Tensor, question: TextQuestion) -> CoarseMap:
    """The cosine of every patch token with a text, after the same norm and projection as the class token.

    Args:
        model: an image-text model whose image tower is a vision transformer.
        square: (1, canvas, canvas) uint8.
        question: the text.

    Raises:
        UsageError: the image tower is no vision transformer, or pools its tokens by an attention of its own.
    """
    images = model.preprocess.tensor(square.to(model.device))
    vectors, patch_px = _patch_vectors(model.encoder, images, model.name)  # (1, P, D)
    cosines = tokens_as_grid(question.of_vectors(vectors)[..., None])[0, 0]
    answer = float(question.answer(model.encoder, images))
    values = cosines.float().cpu().numpy()
    return CoarseMap(values, patch_lattice(images.shape[-1], patch_px), question.score(answer), None, NOTE)


def _patch_vectors(encoder: Encoder, images: Tensor, name: str) -> tuple[Tensor, int]:
    """Patch tokens in the space of texts (N, P, D), and the side of a patch in pixels."""
    import open_clip.transformer
    from timm.models.vision_transformer import VisionTransformer

    net = net_of(encoder)
    if isinstance(net, open_clip.transformer.VisionTransformer) and net.attn_pool is None:
        tokens = net.transformer(net._embeds(images))  # (N, 1 + P, W)
        projected = net.ln_post(tokens[:, 1:])
        return (projected if net.proj is None else projected @ net.proj), net.patch_size[0]
    if isinstance(net, VisionTransformer) and net.attn_pool is None:
        tokens = net.fc_norm(net.forward_features(images)[:, net.num_prefix_tokens :])
        patch_px = net.patch_embed.patch_size[0]
        if isinstance(encoder, ImageTextEncoder):
            return encoder.image_projection(tokens), patch_px
        if isinstance(encoder, DualEncoder):
            return encoder.clip.visual.head(tokens), patch_px
    raise UsageError(
        f"{name}: patch-text similarity needs an image-text model whose image tower is a vision transformer with a class token "
        f"or an average; its tower is {type(net).__name__}. Use how='gradient'."
    )
