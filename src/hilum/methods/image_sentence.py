"""An image and one sentence, which ConVIRT and GLoRIA learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from hilum.methods.batch import Batch
from hilum.methods.method import Share
from hilum.methods.reports import refuse_no_texts
from hilum.models.wordpiece_tokenizer import WordPieceTokenizer


@dataclass
class ImageSentenceBatch(Batch):
    """Pictures `pixels` (B, C, C) uint8 of `sizes` (B, 2), sentences `ids` (B, context) int64.

    `views` (B, S, S) uint8 is what the tower sees.
    """

    pixels: Tensor
    sizes: Tensor
    ids: Tensor
    views: Tensor | None = None


def sentences_cut(tokenizer: WordPieceTokenizer, sentences: Sequence[Sequence[str]]) -> int:
    """How many of the sentences, given by study or image, are longer than the tokenizer's context."""
    said = list({sentence for one in sentences for sentence in one})
    if not said:
        return 0
    lengths = dict(zip(said, tokenizer.lengths(said), strict=True))
    return sum(int(lengths[sentence]) > tokenizer.context_length for one in sentences for sentence in one)


def training_texts(share: Share, sentences: Mapping[str, Sequence[str]]) -> list[str]:
    """The sentences of the training studies, from which a vocabulary is learned.

    Args:
        share: the archive.
        sentences: of each study, by id.

    Raises:
        TrainingError: there is none.
    """
    studies = share.archive.images(["study_id"], where="split = 'train'")["study_id"].unique().to_pylist()
    said = [sentence for study_id in studies for sentence in sentences.get(study_id, ())]
    if not said:
        refuse_no_texts(share, "train", len(studies))
    return said
