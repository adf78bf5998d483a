"""GLoRIA: where a phrase's words look (Huang et al. 2021, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hilum.errors import UsageError
from hilum.models.gloria import GloriaEncoder
from hilum.models.gloria_similarity import word_region_attention
from hilum.models.model import Model
from hilum.models.towers_resnet import ResNetTower
from hilum.tasks.explaining.heatmap import CoarseMap, Lattice
from hilum.tasks.explaining.layers import resnet_lattice
from hilum.tasks.explaining.question import TextQuestion

NOTE = "Mean attention of the phrase's words to regions, in shares of even attention: 1 is what every region would get."


@torch.inference_mode()
def word_map(model: Model, square: Tensor, asked: Sequence[str], question: TextQuestion) -> CoarseMap:
    """The attention of a phrase's words to the image's regions, averaged over words and texts.

    The words compete at each region with each other and with [CLS], as they did in training; without [CLS] a phrase of one
    word would look everywhere alike.

    Args:
        model: GLoRIA's.
        square: (1, canvas, canvas) uint8.
        asked: texts.
        question: the same texts as a whole, for the score.

    Raises:
        UsageError: the model has no words and regions, or a text has no words.
    """
    encoder = model.encoder
    if not isinstance(encoder, GloriaEncoder):
        raise UsageError(
            f"{model.name} has no features of words and regions: only GLoRIA's models have. Use --how gradient."
        )
    words = encoder.word_features(torch.from_numpy(model.tokenizer(list(asked))).to(model.device))
    images = model.preprocess.tensor(square.to(model.device))
    regions, whole = encoder.both_features(images)
    slots = torch.arange(words.features.shape[2], device=model.device)
    there = slots[None] <= words.counts[:, None]  # [CLS] and the words, not [SEP]
    attention = word_region_attention(regions, words.features, there).weights[0]  # (M, T, R)
    spoken = there & (slots[None] > 0)
    if not bool(spoken.any()):
        raise UsageError(f"the phrase {' / '.join(asked)!r} has no words that {model.name} can look for.")
    mean = attention[spoken].mean(dim=0).unflatten(0, tuple(regions.shape[-2:]))  # (h, w)
    values = (mean * mean.numel()).float().cpu().numpy()
    lattice = _region_lattice(encoder, images.shape[-1], regions.shape[-1])
    return CoarseMap(values, lattice, question.score(float(question.of_vectors(whole))), None, NOTE)


def _region_lattice(encoder: GloriaEncoder, side_px: int, cells: int) -> Lattice:
    tower = encoder.image_tower
    if isinstance(tower, ResNetTower):  # regions are of the last stage but one
        stages = len(tower.description.layers) - 1
        return resnet_lattice(tower, stages, side_px, encoder.architecture.upsample_px or side_px)
    return Lattice.tiles(cells)
