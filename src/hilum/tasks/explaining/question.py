"""What is asked of an image: how well it fits a text, against another text where one is named, or what a head says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.errors import ModelError
from hilum.findings import fold, suggest
from hilum.models.encoder import Encoder
from hilum.models.head import Head
from hilum.models.model import Model


@dataclass(frozen=True, eq=False)
class TextQuestion:
    """The cosine of an image and a direction among texts.

    Attributes:
        direction: (D,) the unit vector of the texts asked for, less that of the texts asked against.
    """

    direction: Tensor

    @classmethod
    def of(cls, model: Model, asked: Sequence[str], against: Sequence[str] = ()) -> TextQuestion:
        """Several texts of one side are averaged as unit vectors, and the average is normalized."""

        def side(texts: Sequence[str]) -> np.ndarray:
            mean = model.embed_texts(list(texts)).mean(axis=0)
            return mean / np.linalg.norm(mean)

        direction = side(asked) - side(against) if against else side(asked)
        return cls(torch.from_numpy(direction).to(model.device))

    def answer(self, encoder: Encoder, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to (N,): the cosine, or the difference of two."""
        return self.of_vectors(encoder.encode_images(images))

    def of_vectors(self, vectors: Tensor) -> Tensor:
        """(..., D) vectors of the shared space to (...)."""
        return F.normalize(vectors.float(), dim=-1) @ self.direction

    def score(self, answer: float) -> float:
        """The answer itself."""
        return answer


@dataclass(frozen=True, eq=False)
class HeadQuestion:
    """What a probe's or finetuned model's head says of one finding or class.

    Attributes:
        head: on the encoder's features.
        name: one of its names; of ordered classes any, for they have one score.
    """

    head: Head
    name: str

    @classmethod
    def of(cls, head: Head, phrase: str) -> HeadQuestion:
        """The head's own name of a finding.

        Raises:
            ModelError: the head knows no such finding.
        """
        for name in head.names:
            if fold(name) == fold(phrase):
                return cls(head, name)
        close = suggest(phrase, head.names)
        hint = f" Did you mean '{close}'?" if close else ""
        raise ModelError(f"the head scores {', '.join(head.names)}; '{phrase}' is none of these.{hint}")

    def answer(self, encoder: Encoder, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to (N,) logits of the finding; of ordered classes the score."""
        row = 0 if self.head.task == "ordinal" else self.head.names.index(self.name)
        features = encoder.image_features(images).float()
        weights = torch.as_tensor(self.head.weights[row], dtype=torch.float32, device=features.device)
        offset = 0.0 if self.head.task == "ordinal" else float(self.head.offsets[row])
        return features @ weights + offset

    def score(self, answer: float) -> float:
        """The answer itself: a logit, before sigmoid or softmax."""
        return answer


Question = TextQuestion | HeadQuestion
