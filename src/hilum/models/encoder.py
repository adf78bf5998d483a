"""What every encoder of radiographs has in common, whatever its towers are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from hilum.errors import ModelError


class Encoder(nn.Module, ABC):
    """An image tower, and a text tower where the method has one.

    A kind of encoder is a subclass that is listed in `hilum.models.registry`. It is built from a frozen pydantic
    `architecture` (saved in config.json) and gives what is below.

    Attributes:
        architecture: the plain description it was built from; has a literal field `kind`.
        has_text: whether `encode_texts` works.
    """

    architecture: BaseModel
    has_text: bool = True

    @property
    @abstractmethod
    def embed_dim(self) -> int:
        """D, the width of an embedding."""

    @abstractmethod
    def encode_images(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to (N, D), not normalized."""

    def encode_texts(self, ids: Tensor) -> Tensor:
        """(N, L) int64 rows of the tokenizer to (N, D), not normalized."""
        raise ModelError("this model has no text tower: it was pretrained on images alone.")

    def image_features(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) preprocessed floats to (N, F): what a probe sees; the embedding unless a subclass says otherwise."""
        return self.encode_images(images)

    def tensors(self) -> dict[str, Tensor]:
        """The weights by name, for saving."""
        return dict(self.state_dict())

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Put weights in, strictly; names are those of `tensors()`.

        Raises:
            ModelError: a name is missing or too many, or a shape differs; all are listed.
        """
        own = self.tensors()
        report = compare_keys(own, tensors)
        if report:
            raise ModelError(f"the weights do not fit the architecture:\n{report}")
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def compare_keys(expected: dict[str, Tensor], got: dict[str, Tensor], most: int = 8) -> str:
    """A report of missing keys, unexpected keys and shapes that differ; empty when all fits."""
    missing = sorted(expected.keys() - got.keys())
    extra = sorted(got.keys() - expected.keys())
    shapes = [
        f"{key}: expected {tuple(expected[key].shape)}, got {tuple(got[key].shape)}"
        for key in sorted(expected.keys() & got.keys())
        if expected[key].shape != got[key].shape
    ]
    lines = []
    for title, names in (("missing", missing), ("unexpected", extra), ("of another shape", shapes)):
        if names:
            more = f", and {len(names) - most} more" if len(names) > most else ""
            lines.append(f"  {len(names)} {title}: {', '.join(names[:most])}{more}")
    return "\n".join(lines)


def parameter_count(module: nn.Module) -> int:
    """How many trainable numbers a module holds."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def to_float32(tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Half-precision tensors as float32, contiguous and each in its own memory."""
    return {k: (v.to(torch.float32) if v.is_floating_point() else v).contiguous().clone() for k, v in tensors.items()}
