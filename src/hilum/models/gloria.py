"""GLoRIA's encoder: an image as a whole and by regions, a text as a whole and by words (Huang et al. 2021, section 3)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hilum.errors import ModelError
from hilum.models.encoder import Encoder
from hilum.models.image_towers import TowerDescription, build_tower
from hilum.models.text_towers import TextDescription, build_text_tower
from hilum.models.wordpiece_tokenizer import WordPieceTokenizer


class GloriaArchitecture(BaseModel):
    """GLoRIA's towers; the defaults are those of the paper, around the towers given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["gloria"] = "gloria"
    image_tower: TowerDescription
    text_tower: TextDescription
    upsample_px: int | None = Field(
        299, gt=0, description="side that images are enlarged to inside of the encoder; none: they are not"
    )
    text_layers: int = Field(4, gt=0, description="last layers of the text tower that are summed")
    slots: int = Field(
        97, gt=2, description="word slots of a text, [CLS] and [SEP] included; its mean is over all of them"
    )
    last_id: int = Field(3, ge=0, description="id of [SEP]; nothing after the first one is read")


class Words(NamedTuple):
    """Texts by words.

    Attributes:
        features: (N, D, T): slot 0 is [CLS], then the words, then [SEP]; zero behind it. T is what the longest text needs.
        counts: (N,) int64: words of each text, [CLS] and [SEP] not counted.
    """

    features: Tensor
    counts: Tensor


class GloriaEncoder(Encoder):
    """Image tower and text tower; the text's width is that of the shared space.

    The vocabulary must be told once, with `set_vocabulary`; it is saved with the weights.

    Attributes:
        image_tower, text_tower: saved under their own names.
        local_projection: 1x1 convolution of the local map.
        global_projection: of the pooled feature.
        continued: (V,) uint8, 1 for pieces that go on with a word.
    """

    continued: Tensor

    def __init__(self, architecture: GloriaArchitecture) -> None:
        super().__init__()
        self.architecture: GloriaArchitecture = architecture
        self.image_tower = build_tower(architecture.image_tower)
        self.text_tower = build_text_tower(architecture.text_tower)
        width = self.text_tower.width
        self.local_projection = nn.Conv2d(self.image_tower.local_dim, width, kernel_size=1, bias=False)
        self.global_projection = nn.Linear(self.image_tower.feature_dim, width)
        rows = self.text_tower.net.get_input_embeddings().num_embeddings
        self.register_buffer("continued", torch.zeros(rows, dtype=torch.uint8))

    @property
    def embed_dim(self) -> int:
        """D, the width of the text tower."""
        return self.text_tower.width

    @property
    def feature_dim(self) -> int:
        """F, the width of what a probe sees."""
        return self.image_tower.feature_dim

    def set_vocabulary(self, tokenizer: WordPieceTokenizer) -> None:
        """Learn which pieces go on with a word.

        Raises:
            ModelError: the vocabulary is larger than the embeddings, or its [SEP] or padding are not the encoder's.
        """
        flags = tokenizer.continued
        if len(flags) > len(self.continued):
            raise ModelError(
                f"a vocabulary of {len(flags)} pieces; the text tower has embeddings for {len(self.continued)}."
            )
        ids = (tokenizer.last_id, tokenizer.pad_id)
        if ids != (self.architecture.last_id, self.text_tower.pad_id):
            raise ModelError(
                f"the tokenizer's [SEP] and [PAD] are {ids}, the encoder's "
                f"{(self.architecture.last_id, self.text_tower.pad_id)}; give the encoder those of the tokenizer."
            )
        self.continued.zero_()
        self.continued[: len(flags)] = torch.from_numpy(flags.astype(np.uint8))

    def encode_images(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to global vectors (N, D), not normalized."""
        return self.global_projection(self.image_features(images))

    def encode_texts(self, ids: Tensor) -> Tensor:
        """(N, L) int64 rows of the tokenizer to sentence vectors (N, D), not normalized."""
        return self.sentences(self.word_features(ids))

    def image_features(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to the tower's pooled features (N, F)."""
        return self.image_tower(self.upsampled(images))

    def local_features(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to region features (N, D, h, w), not normalized."""
        return self.both_features(images)[0]

    def both_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Region features (N, D, h, w) and global vectors (N, D) from one pass through the tower."""
        maps = self.image_tower.feature_maps(self.upsampled(images))
        return self.local_projection(maps.local), self.global_projection(maps.pooled)

    def upsampled(self, images: Tensor) -> Tensor:
        """The images as the tower sees them: bilinear, corners aligned, as the released code always does."""
        side = self.architecture.upsample_px
        if side is None or images.shape[-2:] == (side, side):
            return images
        return F.interpolate(images, (side, side), mode="bilinear", align_corners=True)

    def word_features(self, ids: Tensor) -> Words:
        """Each word's feature: its pieces' hidden states summed, and summed over the last layers.

        Args:
            ids: (N, L) int64 rows of the tokenizer.
        """
        ids = self.text_tower.trim(ids)
        hidden = torch.stack(self.text_tower.hidden(ids, layers=self.architecture.text_layers)).sum(dim=0)
        return aggregate_words(hidden, ids, self.continued.bool(), self.architecture.last_id)

    def sentences(self, words: Words) -> Tensor:
        """The mean over all slots, the empty ones included: (N, D). The length of the text stays in the vector's length."""
        return words.features.sum(dim=2) / self.architecture.slots


def aggregate_words(hidden: Tensor, ids: Tensor, continued: Tensor, last_id: int) -> Words:
    """Sum the pieces of each word.

    Args:
        hidden: (N, L, D) of pieces.
        ids: (N, L) int64.
        continued: (V,) True for pieces that go on with the word before.
        last_id: id of [SEP]; what follows the first one is left out.
    """
    is_last = ids == last_id
    read = is_last.cumsum(dim=1) - is_last.int() == 0  # up to the first [SEP], itself included
    starts = ~continued[ids]
    word = (starts.cumsum(dim=1) - 1).clamp(min=0)  # (N, L) which slot each piece belongs to
    used = torch.where(read, word, -1).amax(dim=1) + 1  # slots of each text
    slots = int(used.max())
    # Pieces that are not read go to one more slot, which is dropped.
    place = torch.where(read, word, slots).unsqueeze(-1).expand_as(hidden)
    summed = hidden.new_zeros(len(ids), slots + 1, hidden.shape[2]).scatter_add(1, place, hidden)
    special = 1 + (is_last & read).any(dim=1).int()  # [CLS], and [SEP] where it was not cut off
    return Words(summed[:, :slots].transpose(1, 2), (used - special).clamp(min=0).to(torch.int64))
