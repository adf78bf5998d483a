"""What is still to be done along one direction of each picture: crop, resize, mirror, pad, as a few integers.

Geometry is NumPy's, whose operations start sooner than PyTorch's: there are many of them, on few numbers. Pixels are tensors on
their device.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Axis:
    """Box, then resize, then window: any row of crops, one resize, flips, pads and crops comes down to this.

    Pixels `low` to `high` are resized to `scaled` pixels. Of those, numbers `first`, `first + step`, ... come out, `length`
    of them; numbers outside 0 to `scaled` come out as zeros.

    Every field is (N,) int64, one number a picture.
    """

    extent: np.ndarray  # pixels there are
    low: np.ndarray
    high: np.ndarray
    scaled: np.ndarray
    first: np.ndarray
    step: np.ndarray  # 1, or -1 where mirrored
    length: np.ndarray

    @classmethod
    def whole(cls, extent: np.ndarray) -> Axis:
        """Nothing to be done."""
        zero = np.zeros_like(extent)
        return cls(extent, zero, extent, extent, zero, np.ones_like(extent), extent)

    def of(self, chosen: np.ndarray) -> Axis:
        """That of the chosen pictures, (n,) int64, alone."""
        return Axis(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def windowed(self, start: np.ndarray, length: np.ndarray) -> Axis:
        """Only `length` pixels from `start`; outside what there is: zeros."""
        return replace(self, first=self.first + self.step * start, length=length)

    def mirrored(self, chosen: np.ndarray) -> Axis:
        """The other way round for the chosen pictures, (N,) bool."""
        last = self.first + self.step * (self.length - 1)
        return replace(self, first=np.where(chosen, last, self.first), step=np.where(chosen, -self.step, self.step))

    def resized(self, size: np.ndarray) -> Axis:
        """What comes out now, resized; only for an axis that is not `is_scaled` yet."""
        assert not self.is_scaled, "two resizes do not make one: settle the first"
        one = self.low + self.first
        other = one + self.step * (self.length - 1)
        return replace(
            self,
            low=np.minimum(one, other),
            high=np.maximum(one, other) + 1,
            scaled=size,
            first=np.where(self.step > 0, 0, size - 1),
            length=size,
        )

    @property
    def is_scaled(self) -> bool:
        """Whether any picture changes its scale."""
        return bool((self.scaled != self.high - self.low).any())

    @property
    def is_mirrored(self) -> bool:
        """Whether any picture is."""
        return bool((self.step < 0).any())

    @property
    def is_untouched(self) -> bool:
        """Whether every picture comes out as it is, mirrored or not."""
        return self.can_be_padded and not self.is_scaled

    @property
    def can_be_padded(self) -> bool:
        """Whether all outside what comes out is zero: it is not where a crop hides pixels that are there."""
        first_if_complete = np.where(self.step > 0, 0, self.scaled - 1)
        if not (np.array_equal(self.length, self.scaled) and np.array_equal(self.first, first_if_complete)):
            return False
        return (not self.low.any() and np.array_equal(self.high, self.extent)) or self.is_scaled

    @property
    def reaches_outside(self) -> bool:
        """Whether any box reaches over pixels that do not exist."""
        return bool(((self.low < 0) | (self.high > self.extent)).any())

    def fills(self, canvas: int) -> bool:
        """Whether every picture comes out as long as the canvas."""
        return bool((self.length == canvas).all())

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """For each place that comes out: the number of its resized pixel (N, L), and whether there is one (N, L) bool."""
        places = np.arange(self.length.max())
        number = self.first[:, None] + self.step[:, None] * places  # (N, L)
        is_there = (number >= 0) & (number < self.scaled[:, None]) & (places < self.length[:, None])
        return number, is_there
