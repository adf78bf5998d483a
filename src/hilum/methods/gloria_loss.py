"""GLoRIA's losses: an image against a sentence as a whole, and its regions against the sentence's words (Huang et al. 2021)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.word_matching import pack_words, text_matches, word_matches
from hilum.models.gloria_similarity import (
    ATTENTION_SHARPNESS,
    CONTRAST_SHARPNESS,
    MATCH_SHARPNESS,
    global_similarity,
)


class Directions(NamedTuple):
    """A contrast's two cross-entropies, scalars. GLoRIA adds them up; it does not take their mean.

    Attributes:
        to_text: each image among all sentences.
        to_image: each sentence among all images.
    """

    to_text: Tensor
    to_image: Tensor


def global_contrast(
    images: Tensor, texts: Tensor, sharpness: float = CONTRAST_SHARPNESS, ranks: Ranks = ALONE
) -> Directions:
    """Contrast cosines of images and sentences (equations 5 and 6).

    Args:
        images: (N, D); row i belongs to row i of `texts`.
        texts: (N, D).
        sharpness: factor on the cosines (temp3).
        ranks: the processes; each contrasts its own N rows with all of them.
    """
    truth = ranks.truth(len(images), images.device)
    to_text = sharpness * global_similarity(images, ranks.gather(texts))  # (N, N * processes)
    to_image = sharpness * global_similarity(texts, ranks.gather(images))
    return Directions(F.cross_entropy(to_text, truth), F.cross_entropy(to_image, truth))


def local_contrast(
    regions: Tensor,
    words: Tensor,
    lengths: Tensor,
    *,
    attention: float = ATTENTION_SHARPNESS,
    match: float = MATCH_SHARPNESS,
    sharpness: float = CONTRAST_SHARPNESS,
    aggregation: Literal["sum", "mean"] = "sum",
    ranks: Ranks = ALONE,
) -> Directions:
    """Contrast what the words of sentences find in images (equations 2 to 4 and 7).

    Each process scores its own images against the sentences of all: words are gathered, region maps are not, though they are
    twenty times as large. The (N, N * processes) scores are gathered in turn, and each process finds in them its own sentences
    against all images. So every pair is computed once, and what a process holds grows linearly with their number: with N images
    of R regions and K words of one process's sentences, about 2 * N * R * K * processes floats.

    Args:
        regions: (N, D, R) or (N, D, h, w) region features; image i belongs to sentence i.
        words: (N, D, T) word features, slot 0 [CLS]; the same T in every process.
        lengths: (N,) int64: the first slots of each sentence take part, [CLS] with them and [SEP] not.
        attention: factor before the softmax over regions (temp1).
        match: factor on the cosine of a word and what it finds (temp2).
        sharpness: factor on the scores of pairs (temp3).
        aggregation: over the words of a sentence.
        ranks: the processes.
    """
    lengths = ranks.gather_constant(lengths)
    everyones = pack_words(ranks.gather(words[:, :, : int(lengths.max())]), lengths)
    matches = word_matches(regions.flatten(2), everyones, attention)
    scores = sharpness * text_matches(matches, everyones, match, aggregation)  # (N, N * processes)
    truth = ranks.truth(len(regions), regions.device)
    own = slice(ranks.rank * len(regions), (ranks.rank + 1) * len(regions))
    of_own_texts = ranks.gather(scores)[:, own].T  # (N, N * processes)
    return Directions(F.cross_entropy(scores, truth), F.cross_entropy(of_own_texts, truth))
