"""A heatmap in an image's own pixels, and how a tower's coarse map becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hilum.models.placement import Placement


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Where in one image a model looks for one phrase.

    Attributes:
        values: (H, W) float32 in the image's own pixels; NaN where preprocessing cut the image, so that the model never saw it.
        phrase: what was asked for.
        how: which map it is: one of `WAYS`.
        score: how well the whole image fits the phrase, as the model scores it: not a probability.
        low: what is drawn as nothing: no evidence, or the median where a map has no such zero.
        high: what is drawn as most: the largest value.
        against: what the map was asked against, as told to a person; "" for nothing.
        note: what must be known to read the map.
    """

    values: np.ndarray
    phrase: str
    how: str
    score: float
    low: float
    high: float
    against: str = ""
    note: str = ""

    @property
    def shares(self) -> np.ndarray:
        """(H, W) float32 from 0, nothing, to 1, most; NaN where the model did not look. What is drawn."""
        span = self.high - self.low
        if span <= 0:
            return np.where(np.isnan(self.values), np.float32(np.nan), np.float32(0))
        return np.clip((self.values - self.low) / np.float32(span), 0, 1)

    @property
    def peak(self) -> tuple[int, int]:
        """Row and column of the largest value; the first of several."""
        row, column = np.unravel_index(np.nanargmax(self.values), self.values.shape)
        return int(row), int(column)


class Lattice(NamedTuple):
    """Where the cells of a square map look: the center of cell i lies at `first` + i * `step`, in shares of the tower's input.

    Not always where an even tiling has them: a 3x3 convolution of stride 2 centers its cell i on pixel 2 i, so that after five
    of them the cells of a ResNet look half a cell further up and left than tiles would.
    """

    first: float
    step: float

    @classmethod
    def tiles(cls, count: float) -> Lattice:
        """`count` equal cells side by side; not a whole number where the last one reaches past the input."""
        return cls(0.5 / count, 1 / count)


class CoarseMap(NamedTuple):
    """A map as the tower gives it.

    Attributes:
        values: (h, w) by cell.
        lattice: where its cells look.
        score: of the whole image.
        low: what is drawn as nothing; None for the median.
        note: what must be known to read the map.
    """

    values: np.ndarray
    lattice: Lattice
    score: float
    low: float | None
    note: str


def onto_image(values: np.ndarray, lattice: Lattice, placement: Placement, shape: tuple[int, int]) -> np.ndarray:
    """A map by cell, in the pixels of the image: bilinear between the cells' centers, flat beyond the outermost.

    Args:
        values: (h, w).
        lattice: where its cells look.
        placement: where the image lies on the canvas.
        shape: (H, W) of the image.

    Returns:
        (H, W) float32, NaN where the image lies outside of the canvas.
    """
    rows, columns = placement.rows(shape[0]), placement.columns(shape[1])
    vertical = _weights(rows, lattice, values.shape[0])  # (H, h)
    horizontal = _weights(columns, lattice, values.shape[1])  # (W, w)
    full = (vertical @ values.astype(np.float64) @ horizontal.T).astype(np.float32)
    full[(rows < 0) | (rows > 1)] = np.nan
    full[:, (columns < 0) | (columns > 1)] = np.nan
    return full


def _weights(at: np.ndarray, lattice: Lattice, count: int) -> np.ndarray:
    """(N, count) how much of each cell is in a value at a place, along one axis."""
    cell = np.clip((at - lattice.first) / lattice.step, 0, count - 1)
    return np.maximum(1 - np.abs(cell[:, None] - np.arange(count)), 0)
