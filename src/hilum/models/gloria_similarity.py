"""How alike radiographs and texts are for GLoRIA: by words and regions, as a whole, and both (Huang et al. 2021, section 3).

Everything is computed for all pairs of images and texts at once, without a loop over texts or words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hilum.errors import ModelError

# temp1, temp2 and temp3 of the released code: sharpness of the attention over regions, of the match of words, of the contrast.
ATTENTION_SHARPNESS, MATCH_SHARPNESS, CONTRAST_SHARPNESS = 4.0, 5.0, 10.0
EPS = 1e-8


class Attention(NamedTuple):
    """Where in each image the words of each text are looked for.

    Attributes:
        weights: (B, M, T, R), of image b for word t of text m; sums to 1 over the R regions, also for words that are not there.
        products: (B, M, T, R) dot products of words and regions, before any softmax.
    """

    weights: Tensor
    products: Tensor


def word_region_attention(
    regions: Tensor, words: Tensor, there: Tensor, sharpness: float = ATTENTION_SHARPNESS
) -> Attention:
    """Softmax over a text's words at each region, sharpened, then softmax over the regions for each word (equation 2).

    Args:
        regions: (B, D, R) or (B, D, h, w) local features of images.
        words: (M, D, T) word features of texts.
        there: (M, T) True for the slots that take part.
        sharpness: factor before the softmax over regions.
    """
    products = torch.einsum("bdr,mdt->bmtr", regions.flatten(2), words)
    left_out = ~there[None, :, :, None]
    # A finite floor: a text without any word would otherwise give NaN, also in the gradients of its batch.
    over_words = products.masked_fill(left_out, torch.finfo(products.dtype).min).softmax(dim=2)
    return Attention((sharpness * over_words).softmax(dim=3), products)


def attended_regions(regions: Tensor, attention: Attention) -> Tensor:
    """What each word finds in each image: the attention-weighted sum of regions, (B, M, D, T)."""
    return torch.einsum("bmtr,bdr->bmdt", attention.weights, regions.flatten(2))


def word_cosines(regions: Tensor, words: Tensor, there: Tensor, sharpness: float = ATTENTION_SHARPNESS) -> Tensor:
    """The cosine of each word and what it finds in each image: (B, M, T); meaningless where a word is not there.

    The weighted sum of regions v = C a itself, (B, M, D, T), is never built: w.v is the attention-weighted mean of the products
    at hand, and |v|^2 = a' (C'C) a.

    Args:
        regions, words, there, sharpness: as for `word_region_attention`.
    """
    weights, products = word_region_attention(regions, words, there, sharpness)
    flat = regions.flatten(2)  # (B, D, R)
    gram = flat.transpose(1, 2) @ flat  # (B, R, R)
    spread = torch.einsum("bmtr,brs->bmts", weights, gram)
    found = (spread * weights).sum(dim=3).clamp(min=EPS**2).sqrt()  # |v|
    lengths = words.norm(dim=1)[None]  # |w|
    return (weights * products).sum(dim=3) / (lengths * found).clamp(min=EPS)


def local_similarity(
    regions: Tensor,
    words: Tensor,
    counts: Tensor,
    *,
    sharpness: float = ATTENTION_SHARPNESS,
    match: float = MATCH_SHARPNESS,
) -> Tensor:
    """The best match of a text's words, as the released code scores at inference: `match` times the largest cosine.

    Paper: words are summed, ln(sum exp(match * cosine)), in training as in use.
    Here: their maximum, in which ln and exp cancel, because the released code and its published numbers take that.

    Args:
        regions: (B, D, R) or (B, D, h, w).
        words: (M, D, T) of which slot 0 is [CLS].
        counts: (M,) int64: slots 1..count of a text take part. See `slots_for_prompts`.
        sharpness: of the attention over regions.
        match: factor on the cosines.

    Returns:
        (B, M), in [-match, match]; 0 for a text without words.
    """
    most = int(counts.max()) if len(counts) else 0
    if most == 0:
        return regions.new_zeros(len(regions), len(words))
    missing = 1 + most - words.shape[2]
    if missing > 0:  # slots past the text are zero vectors
        words = torch.nn.functional.pad(words, (0, missing))
    words = words[:, :, 1 : 1 + most]
    there = torch.arange(most, device=counts.device)[None] < counts[:, None]  # (M, T)
    cosines = word_cosines(regions, words, there, sharpness)
    best = cosines.masked_fill(~there[None], -torch.inf).amax(dim=2)
    return match * torch.where(counts[None] > 0, best, 0.0)


def global_similarity(images: Tensor, texts: Tensor) -> Tensor:
    """Cosines: (N, D) and (M, D) to (N, M)."""
    lengths = images.norm(dim=1)[:, None] * texts.norm(dim=1)[None]
    return images @ texts.T / lengths.clamp(min=EPS)


def both_similarity(local: Tensor, whole: Tensor) -> Tensor:
    """The mean of the local and the global similarity. The local one spans about [-5, 5] and rules."""
    return (local + whole) / 2


def slots_for_prompts(prompts: Sequence[str], word_counts: Tensor, slots: int, compat: str | None = None) -> Tensor:
    """How many word slots of each prompt take part in its local similarity.

    Args:
        prompts: M texts as given, not stripped.
        word_counts: (M,) words of each, as the encoder counts them.
        slots: of the encoder, [CLS] included.
        compat: None counts words. "gloria" counts characters, as the released code does: [SEP] and empty slots then take part
            in the softmax over words.

    Returns:
        (M,) int64.

    Raises:
        ModelError: with compat, a prompt of more characters than there are slots (the released code stops, or where the
            length happens to divide evenly returns numbers without meaning).
    """
    if compat is None:
        return word_counts.to(torch.int64)
    if compat != "gloria":
        raise ModelError(f"compat is {compat!r}; expected None or 'gloria'.")
    counts = [sum(sign != "[" for sign in prompt) for prompt in prompts]
    for prompt, count in zip(prompts, counts, strict=True):
        if count > slots - 1:
            raise ModelError(
                f"compat='gloria' counts characters, and the prompt {prompt!r} has {count} of them; the encoder has "
                f"{slots - 1} word slots. Shorten the prompt, or leave compat out."
            )
    return torch.tensor(counts, dtype=torch.int64, device=word_counts.device)


def z_scored(scores: Tensor) -> Tensor:
    """Class scores (N, C) in standard deviations from their mean over the N images (population deviation, as released).

    A score then depends on the images it was computed with. One image alone is left as it is.
    """
    if len(scores) < 2:
        return scores
    return (scores - scores.mean(dim=0)) / scores.std(dim=0, correction=0)
