"""GLoRIA: which regions the words of a phrase fit, and which they attend to (Huang et al. 2021, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hilum.errors import UsageError
from hilum.models.gloria import GloriaEncoder, Words
from hilum.models.gloria_similarity import word_region_attention
from hilum.models.model import Model
from hilum.models.towers_resnet import ResNetTower
from hilum.tasks.explaining.heatmap import CoarseMap, Lattice
from hilum.tasks.explaining.layers import resnet_lattice
from hilum.tasks.explaining.question import TextQuestion

WORDS_NOTE = "How well each region fits the phrase's words: their dot product, before any softmax, mean over words."
ATTENTION_NOTE = (
    "The phrase's words' attention to regions, in shares of even attention. Its two softmaxes make many regions equal: it tells "
    "less than the similarity that it is made of."
)


@torch.inference_mode()
def word_map(
    model: Model, square: Tensor, asked: Sequence[str], against: Sequence[str], question: TextQuestion
) -> CoarseMap:
    """The similarity of words and regions, averaged over words and texts.

    Args:
        model: GLoRIA's.
        square: (1, canvas, canvas) uint8.
        asked: texts.
        against: texts whose similarity is subtracted.
        question: the same texts as a whole, for the score.

    Raises:
        UsageError: the model has no words and regions, or the texts no words.
    """
    encoder = _gloria(model)
    images = model.preprocess.tensor(square.to(model.device))
    regions, whole = encoder.both_features(images)

    def fit(texts: Sequence[str]) -> Tensor:
        words = _words(model, encoder, texts)
        spoken = _there(words) & (_slots(words) > 0)
        chosen = words.features.transpose(1, 2)[spoken]  # (words of all texts, D)
        return (chosen @ regions[0].flatten(1)).mean(dim=0).unflatten(0, tuple(regions.shape[-2:]))

    values = fit(asked) - fit(against) if against else fit(asked)  # (h, w)
    return _coarse(encoder, values, images, regions, float(question.of_vectors(whole)), WORDS_NOTE)


@torch.inference_mode()
def attention_map(model: Model, square: Tensor, asked: Sequence[str], question: TextQuestion) -> CoarseMap:
    """The attention of words to regions as in training, averaged over words and texts.

    The words compete at each region with each other and with [CLS]; without [CLS] a phrase of one word would attend to all
    regions alike.

    Args:
        model, square, asked, question: as of `word_map`.

    Raises:
        UsageError: the model has no words and regions, or the texts no words.
    """
    encoder = _gloria(model)
    images = model.preprocess.tensor(square.to(model.device))
    regions, whole = encoder.both_features(images)
    words = _words(model, encoder, asked)
    attention = word_region_attention(regions, words.features, _there(words)).weights[0]  # (M, T, R)
    spoken = _there(words) & (_slots(words) > 0)
    values = attention[spoken].mean(dim=0).unflatten(0, tuple(regions.shape[-2:]))  # (h, w)
    return _coarse(encoder, values * values.numel(), images, regions, float(question.of_vectors(whole)), ATTENTION_NOTE)


def _gloria(model: Model) -> GloriaEncoder:
    if not isinstance(model.encoder, GloriaEncoder):
        raise UsageError(
            f"{model.name} has no features of words and regions: only GLoRIA's models have. Use how='gradient'."
        )
    return model.encoder


def _words(model: Model, encoder: GloriaEncoder, texts: Sequence[str]) -> Words:
    words = encoder.word_features(torch.from_numpy(model.tokenizer(list(texts))).to(model.device))
    if not bool((words.counts > 0).any()):
        raise UsageError(f"the phrase '{' / '.join(texts)}' has no words that {model.name} can look for.")
    return words


def _slots(words: Words) -> Tensor:
    return torch.arange(words.features.shape[2], device=words.counts.device)[None]


def _there(words: Words) -> Tensor:
    """(M, T) [CLS] and the words, not [SEP]."""
    return _slots(words) <= words.counts[:, None]


def _coarse(
    encoder: GloriaEncoder, values: Tensor, images: Tensor, regions: Tensor, score: float, note: str
) -> CoarseMap:
    side_px, tower = images.shape[-1], encoder.image_tower
    lattice = Lattice.tiles(regions.shape[-1])
    if isinstance(tower, ResNetTower):  # regions are of the last stage but one
        stages = len(tower.description.layers) - 1
        lattice = resnet_lattice(tower, stages, side_px, encoder.architecture.upsample_px or side_px)
    return CoarseMap(values.float().cpu().numpy(), lattice, score, None, note)
