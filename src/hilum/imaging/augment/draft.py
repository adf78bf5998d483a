"""A batch under way: its pixels, and the geometry that is still to be done to them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hilum.imaging.augment.axis import Axis
from hilum.imaging.augment.nearest import STILL, cut, turn
from hilum.imaging.augment.pictures import Pictures
from hilum.imaging.augment.resampling import Filter, resample


class Draft:
    """Pictures whose crops, resizes and flips are collected, and done together once the pixels are needed.

    Attributes:
        mirrored: (N,) bool: pictures that are mirrored by now.
    """

    def __init__(self, pictures: Pictures) -> None:
        heights, widths = np.ascontiguousarray(pictures.sizes.cpu().numpy().T)
        self._pixels = pictures.pixels[:, : heights.max(), : widths.max()]
        self._rows, self._columns = Axis.whole(heights), Axis.whole(widths)
        self._filter: Filter = "triangle"
        self._matrix: np.ndarray | None = None  # (N, 6): a rotation that comes before the axes
        self._mirrored_before = np.zeros(len(pictures), bool)  # pictures mirrored before it
        self.mirrored = np.zeros(len(pictures), bool)

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def heights(self) -> np.ndarray:
        """(N,) int64, after all that is pending."""
        return self._rows.length

    @property
    def widths(self) -> np.ndarray:
        """(N,) int64, after all that is pending."""
        return self._columns.length

    @property
    def is_ragged(self) -> bool:
        """Whether the pictures differ in size."""
        return any(bool((lengths != lengths[0]).any()) for lengths in (self.heights, self.widths))

    def window(self, top: np.ndarray, left: np.ndarray, height: np.ndarray, width: np.ndarray) -> None:
        """Keep a window of each picture; where it reaches outside, zeros come in. All (N,) int64."""
        outside = any(
            bool(((start < 0) | (start + length > axis.length)).any())
            for axis, start, length in ((self._rows, top, height), (self._columns, left, width))
        )
        if outside and not (self._matrix is None and self._rows.can_be_padded and self._columns.can_be_padded):
            self._settle()
        self._rows, self._columns = self._rows.windowed(top, height), self._columns.windowed(left, width)

    def mirror(self, chosen: np.ndarray) -> None:
        """Exchange left and right of the chosen pictures, (N,) bool."""
        self._columns = self._columns.mirrored(chosen)
        self.mirrored = self.mirrored ^ chosen

    def resize(self, height: np.ndarray, width: np.ndarray, filter: Filter) -> None:
        """Bring each picture to a size, (N,) int64 each."""
        if self._matrix is not None or self._rows.is_scaled or self._columns.is_scaled:
            self._settle()
        self._rows, self._columns, self._filter = self._rows.resized(height), self._columns.resized(width), filter

    def turn(self, matrix: np.ndarray) -> None:
        """Turn each picture by an affine matrix (N, 6), see `nearest.turn`."""
        if self._matrix is not None or not (self._rows.is_untouched and self._columns.is_untouched):
            self._settle()
        # What is left is at most mirrored, which takes no pass of its own.
        self._mirrored_before = self._columns.step < 0
        self._columns = Axis.whole(self._columns.length)
        self._matrix = matrix

    def pixels(self) -> Tensor:
        """(N, H, W) uint8 with all done; a picture fills the top-left corner, the rest is zero."""
        self._settle()
        return self._pixels

    def some(self, chosen: np.ndarray) -> Tensor:
        """`pixels()` of the chosen pictures, (n,) int64."""
        pixels = self.pixels()
        return pixels if len(chosen) == len(self) else _rows_of(pixels, chosen)

    def replace_some(self, chosen: np.ndarray, pixels: Tensor) -> None:
        """Set other pixels of some pictures, after `pixels()`.

        Args:
            chosen: (n,) int64, numbers of the pictures, in ascending order.
            pixels: (n, H, W) uint8.
        """
        if len(chosen) == len(self):
            self.replace(pixels)
            return
        order = np.arange(len(self))
        order[chosen] = len(self) + np.arange(len(chosen))
        # Whole pictures are copied twice: on CPUs that is faster than writing in between.
        self._pixels = _rows_of(torch.cat([self._pixels, pixels]), order)

    def replace(self, pixels: Tensor) -> None:
        """Set other pixels of the same shape, after `pixels()`."""
        assert pixels.shape == self._pixels.shape
        assert pixels.dtype == torch.uint8
        self._pixels = pixels

    def _settle(self) -> None:
        rows, columns = self._rows, self._columns
        stays_put = rows.is_untouched and columns.is_untouched
        fills = rows.fills(self._pixels.shape[1]) and columns.fills(self._pixels.shape[2])
        if self._matrix is not None:
            only_turned = stays_put and fills and not columns.is_mirrored
            self._turn(self._matrix, self._mirrored_before, only_turned)
        elif rows.is_scaled or columns.is_scaled:
            self._pixels = resample(self._pixels, rows, columns, self._filter)
        elif stays_put and fills:
            if columns.is_mirrored:  # and nothing else
                chosen = torch.from_numpy(columns.step < 0).view(-1, 1, 1).to(self._pixels.device)
                self._pixels = torch.where(chosen, self._pixels.flip(2), self._pixels)
        elif not stays_put or columns.is_mirrored:
            self._pixels = cut(self._pixels, rows, columns)
        self._matrix = None
        self._rows, self._columns = Axis.whole(rows.length), Axis.whole(columns.length)

    def _turn(self, matrix: np.ndarray, mirrored: np.ndarray, only_turned: bool) -> None:
        rows, columns = self._rows, self._columns
        chosen = ((matrix != STILL).any(1) | mirrored).nonzero()[0]
        if len(chosen) == len(self) or not only_turned:
            self._pixels = turn(self._pixels, matrix, rows, columns, mirrored)
        elif len(chosen):
            some = _rows_of(self._pixels, chosen)
            turned = turn(some, matrix[chosen], rows.of(chosen), columns.of(chosen), mirrored[chosen])
            self.replace_some(chosen, turned)


def _rows_of(pixels: Tensor, chosen: np.ndarray) -> Tensor:
    return pixels.index_select(0, torch.from_numpy(chosen).to(pixels.device))
