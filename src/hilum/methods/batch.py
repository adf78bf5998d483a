"""A step's examples: named tensors whose first dimension is the example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Batch:
    """Base of every method's batch: a dataclass whose fields are tensors (N, ...), or None where a batch has no such part.

    Example:
        >>> @dataclass
        ... class Pairs(Batch):
        ...     squares: Tensor
        ...     ids: Tensor
        >>> batch = Pairs(torch.zeros(4, 8, 8), torch.zeros(4, 5))
        >>> len(batch), len(batch.part(0, 3))
        (4, 3)

    Attributes:
        stays: fields that stay on the CPU: sizes of pictures, from which boxes are drawn there.
    """

    stays: ClassVar[frozenset[str]] = frozenset({"sizes"})

    def __len__(self) -> int:
        return next(len(value) for value in self._values().values() if value is not None)

    def to(self, device: torch.device) -> Self:
        """The same batch on a device."""
        return self._with(
            {
                k: v if v is None or k in self.stays else v.to(device, non_blocking=True)
                for k, v in self._values().items()
            }
        )

    def wait_for(self, stream: torch.cuda.Stream) -> None:
        """Let the current stream of the GPU wait until another has made this batch, whose memory is kept while it is used here."""
        here = torch.cuda.current_stream(stream.device)
        here.wait_stream(stream)
        for value in self._values().values():
            if value is not None and value.is_cuda:
                value.record_stream(here)

    def part(self, start: int, stop: int) -> Self:
        """Examples start..stop-1."""
        return self._with({k: v[start:stop] if v is not None else v for k, v in self._values().items()})

    def take(self, order: Tensor) -> Self:
        """The examples in another order: `order` (M,) int64."""
        return self._with({k: v[order.to(v.device)] if v is not None else v for k, v in self._values().items()})

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Several batches as one; rows of ids of different lengths are padded with zeros."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        return first._with({name: _cat([p._values()[name] for p in parts]) for name in first._values()})

    def _values(self) -> dict[str, Tensor | None]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _with(self, values: dict[str, Tensor | None]) -> Self:
        return type(self)(**values)


def _cat(tensors: list[Tensor | None]) -> Tensor | None:
    there = [t for t in tensors if t is not None]
    if not there:
        return None
    longest = max(t.shape[-1] for t in there) if there[0].ndim > 1 else 0
    return torch.cat(
        [F.pad(t, (0, longest - t.shape[-1])) if t.ndim > 0 and t.shape[-1] < longest else t for t in there]
    )
