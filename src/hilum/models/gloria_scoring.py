"""Images against prompts by GLoRIA's local similarity, batch by batch: region features are too large to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from hilum.errors import ModelError, UsageError
from hilum.models.gloria import GloriaEncoder
from hilum.models.gloria_similarity import both_similarity, global_similarity, local_similarity, slots_for_prompts
from hilum.models.model import Model

Similarity = Literal["global", "local", "both"]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)

_PROMPTS_AT_ONCE = 32  # images x prompts x words x regions must fit in memory


@torch.inference_mode()
def prompt_matcher(
    model: Model, prompts: Sequence[str], similarity: Similarity = "both", compat: str | None = None
) -> Callable[[np.ndarray | Tensor], np.ndarray]:
    """What scores images against prompts; the prompts are encoded once.

    Args:
        model: a GLoRIA model.
        prompts: P texts.
        similarity: "local" in [-5, 5], "global" the cosine, "both" their mean (the released zero-shot).
        compat: "gloria" counts a prompt's characters as its words, as the released code does; see `slots_for_prompts`.

    Returns:
        a function of squares (N, canvas, canvas) uint8, as `model.preprocess.squares` gives them, to (N, P) float32.

    Raises:
        UsageError: the model has no words and regions, or an unknown `similarity`.
        ModelError: with compat, a prompt that is too long.
    """
    encoder = model.encoder
    if similarity not in SIMILARITIES:
        raise UsageError(f"similarity is {similarity!r}; expected one of {', '.join(SIMILARITIES)}.")
    if not isinstance(encoder, GloriaEncoder):
        raise UsageError(
            f"{model.name} has no features of words and regions, which similarity '{similarity}' needs: only GLoRIA's "
            "models have. Use similarity 'global'."
        )
    if not prompts:
        raise ModelError("no prompts to match images with.")
    words = encoder.word_features(torch.from_numpy(model.tokenizer(list(prompts))).to(model.device))
    sentences = encoder.sentences(words)
    counts = slots_for_prompts(prompts, words.counts, encoder.architecture.slots, compat)

    @torch.inference_mode()
    def match(squares: np.ndarray | Tensor) -> np.ndarray:
        images = model.preprocess.tensor(torch.as_tensor(squares).to(model.device))
        regions, whole = encoder.both_features(images)
        cosines = global_similarity(whole, sentences)
        if similarity == "global":
            return cosines.float().cpu().numpy()
        parts = [slice(start, start + _PROMPTS_AT_ONCE) for start in range(0, len(prompts), _PROMPTS_AT_ONCE)]
        local = torch.cat([local_similarity(regions, words.features[part], counts[part]) for part in parts], dim=1)
        return (local if similarity == "local" else both_similarity(local, cosines)).float().cpu().numpy()

    return match
