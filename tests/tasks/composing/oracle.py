"""A stand-in for a model that sees exactly what the disks of the small archive show, and reads exactly what reports say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hilum.models import Model, Squash
from hilum.models.model import unit_rows

WORDS = ("left", "right", "effusion", "pneumothorax")


class _Tokenizer:
    context_length = 8

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([len(text.split()) for text in texts])


class Oracle(Model):
    """Side and kind of the disk as a vector of four numbers; `read` counts the texts that were embedded."""

    def __init__(self, name: str = "oracle") -> None:
        self.name, self.preprocess, self.read = name, Squash(canvas_px=64), 0
        self.tokenizer: Any = _Tokenizer()
        self._fingerprint = f"{name}0123456789"[:16]

    @property
    def embed_dim(self) -> int:
        return len(WORDS)

    def embed_squares(self, squares: Any) -> np.ndarray:
        apart = np.asarray(squares, np.float64) - 110
        halves = apart[:, :, :32].mean((1, 2)), apart[:, :, 32:].mean((1, 2))
        left = np.abs(halves[0]) > np.abs(halves[1])
        bright = apart.mean((1, 2)) > 0
        return np.stack([left, ~left, bright, ~bright], 1).astype(np.float32)

    def embed_texts(self, texts: Sequence[str] | str, *, normalize: bool = True, batch_size: int = 256) -> np.ndarray:
        texts = [texts] if isinstance(texts, str) else texts
        self.read += len(texts)
        rows = np.zeros((len(texts), len(WORDS)), np.float32)
        for row, text in enumerate(texts):
            said = text.lower().replace(".", "").split()
            for place, word in enumerate(WORDS):
                if word in said:
                    denied = said[said.index(word) - 1] == "no" and said.index(word) > 0
                    rows[row, 5 - place if denied else place] += 0.5 if denied else 1.0
        return unit_rows(rows) if normalize else rows
