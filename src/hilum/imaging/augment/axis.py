"""What is still to be done along one direction of each picture: crop, resize, mirror, pad, as a few integers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """Box, then resize, then window: any row of crops, one resize, flips, pads and crops comes down to this.

    Pixels `low` to `high` are resized to `scaled` pixels. Of those, numbers `first`, `first + step`, ... come out, `length`
    of them; numbers outside 0 to `scaled` come out as zeros.

    Every field is an int64 tensor (N,) on the CPU, one number a picture.
    """

    extent: Tensor  # pixels there are
    low: Tensor
    high: Tensor
    scaled: Tensor
    first: Tensor
    step: Tensor  # 1, or -1 where mirrored
    length: Tensor

    @classmethod
    def whole(cls, extent: Tensor) -> Axis:
        """Nothing to be done."""
        zero = torch.zeros_like(extent)
        return cls(extent, zero, extent, extent, zero, torch.ones_like(extent), extent)

    def of(self, chosen: Tensor) -> Axis:
        """That of the chosen pictures, (n,) int64, alone."""
        return Axis(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def windowed(self, start: Tensor, length: Tensor) -> Axis:
        """Only `length` pixels from `start`; outside what there is: zeros."""
        return replace(self, first=self.first + self.step * start, length=length)

    def mirrored(self, chosen: Tensor) -> Axis:
        """The other way round for the chosen pictures, (N,) bool."""
        last = self.first + self.step * (self.length - 1)
        return replace(
            self, first=torch.where(chosen, last, self.first), step=torch.where(chosen, -self.step, self.step)
        )

    def resized(self, size: Tensor) -> Axis:
        """What comes out now, resized; only for an axis that is not `is_scaled` yet."""
        assert not self.is_scaled, "two resizes do not make one: settle the first"
        one = self.low + self.first
        other = one + self.step * (self.length - 1)
        return replace(
            self,
            low=torch.minimum(one, other),
            high=torch.maximum(one, other) + 1,
            scaled=size,
            first=torch.where(self.step > 0, torch.zeros_like(size), size - 1),
            length=size,
        )

    @property
    def is_scaled(self) -> bool:
        """Whether any picture changes its scale."""
        return bool((self.scaled != self.high - self.low).any())

    @property
    def is_untouched(self) -> bool:
        """Whether every picture comes out as it is, mirrored or not."""
        return self.can_be_padded and not self.is_scaled and torch.equal(self.first, self._first_if_complete())

    @property
    def can_be_padded(self) -> bool:
        """Whether all outside what comes out is zero: it is not where a crop hides pixels that are there."""
        complete = torch.equal(self.length, self.scaled) and torch.equal(self.first, self._first_if_complete())
        uncut = bool((self.low == 0).all()) and torch.equal(self.high, self.extent)
        return complete and (uncut or self.is_scaled)

    def _first_if_complete(self) -> Tensor:
        return torch.where(self.step > 0, torch.zeros_like(self.scaled), self.scaled - 1)

    @property
    def reaches_outside(self) -> bool:
        """Whether any box reaches over pixels that do not exist."""
        return bool(((self.low < 0) | (self.high > self.extent)).any())

    def numbers(self) -> tuple[Tensor, Tensor]:
        """For each place that comes out: the number of its resized pixel (N, L), and whether there is one (N, L) bool."""
        places = torch.arange(int(self.length.max()))
        number = self.first[:, None] + self.step[:, None] * places  # (N, L)
        is_there = (number >= 0) & (number < self.scaled[:, None]) & (places < self.length[:, None])
        return number, is_there
