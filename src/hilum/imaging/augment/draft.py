"""A batch under way: its pixels, and the geometry that is still to be done to them."""

from __future__ import annotations

import torch
from torch import Tensor

from hilum.imaging.augment.axis import Axis
from hilum.imaging.augment.nearest import STILL, cut, turn
from hilum.imaging.augment.pictures import Pictures
from hilum.imaging.augment.resampling import Filter, resample


class Draft:
    """Pictures whose crops, resizes and flips are collected, and done together once the pixels are needed.

    Attributes:
        mirrored: (N,) bool, on the CPU: pictures that are mirrored by now.
    """

    def __init__(self, pictures: Pictures) -> None:
        sizes = pictures.sizes.cpu()
        self._pixels = pictures.pixels
        self._rows, self._columns = Axis.whole(sizes[:, 0]), Axis.whole(sizes[:, 1])
        self._filter: Filter = "triangle"
        self._matrix: Tensor | None = None  # (N, 6): a rotation that comes before the axes
        self._turned_mirrored: Tensor | None = None  # (N,) bool: pictures mirrored before it
        self.mirrored = torch.zeros(len(pictures), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def heights(self) -> Tensor:
        """(N,) int64, on the CPU, after all that is pending."""
        return self._rows.length

    @property
    def widths(self) -> Tensor:
        """(N,) int64, on the CPU, after all that is pending."""
        return self._columns.length

    @property
    def is_ragged(self) -> bool:
        """Whether the pictures differ in size."""
        return any(bool((lengths != lengths[0]).any()) for lengths in (self.heights, self.widths))

    def window(self, top: Tensor, left: Tensor, height: Tensor, width: Tensor) -> None:
        """Keep a window of each picture; where it reaches outside, zeros come in. All (N,) int64."""
        outside = any(
            bool(((start < 0) | (start + length > axis.length)).any())
            for axis, start, length in ((self._rows, top, height), (self._columns, left, width))
        )
        if outside and not (self._matrix is None and self._rows.can_be_padded and self._columns.can_be_padded):
            self._settle()
        self._rows, self._columns = self._rows.windowed(top, height), self._columns.windowed(left, width)

    def mirror(self, chosen: Tensor) -> None:
        """Exchange left and right of the chosen pictures, (N,) bool."""
        self._columns = self._columns.mirrored(chosen)
        self.mirrored = self.mirrored ^ chosen

    def resize(self, height: Tensor, width: Tensor, filter: Filter) -> None:
        """Bring each picture to a size, (N,) int64 each."""
        if self._matrix is not None or self._rows.is_scaled or self._columns.is_scaled:
            self._settle()
        self._rows, self._columns, self._filter = self._rows.resized(height), self._columns.resized(width), filter

    def turn(self, matrix: Tensor) -> None:
        """Turn each picture by an affine matrix (N, 6), see `nearest.turn`."""
        rows, columns = self._rows, self._columns
        if (
            self._matrix is None and rows.is_untouched and columns.is_untouched
        ):  # at most mirrored: that needs no own pass
            self._turned_mirrored = columns.step < 0
            self._columns = Axis.whole(columns.length)
        else:
            self._settle()
        self._matrix = matrix

    def pixels(self) -> Tensor:
        """(N, H, W) uint8 with all done; a picture fills the top-left corner, the rest is zero."""
        self._settle()
        return self._pixels

    def some(self, chosen: Tensor) -> Tensor:
        """`pixels()` of the chosen pictures, (n,) int64 on the CPU."""
        pixels = self.pixels()
        return pixels if len(chosen) == len(self) else pixels.index_select(0, chosen.to(pixels.device))

    def replace_some(self, chosen: Tensor, pixels: Tensor) -> None:
        """Set other pixels of some pictures, after `pixels()`.

        Args:
            chosen: (n,) int64, numbers of the pictures, on the CPU.
            pixels: (n, H, W) uint8.
        """
        if len(chosen) == len(self):
            self.replace(pixels)
            return
        rest = torch.ones(len(self), dtype=torch.bool)
        rest[chosen] = False
        others = rest.nonzero().squeeze(1)
        order = torch.cat([others, chosen]).argsort().to(pixels.device)
        # Whole pictures are copied twice: on CPUs that is faster than writing them in between.
        kept = self._pixels.index_select(0, others.to(pixels.device))
        self._pixels = torch.cat([kept, pixels]).index_select(0, order)

    def replace(self, pixels: Tensor) -> None:
        """Set other pixels of the same shape, after `pixels()`."""
        assert pixels.shape == self._pixels.shape
        assert pixels.dtype == torch.uint8
        self._pixels = pixels

    def _settle(self) -> None:
        rows, columns = self._rows, self._columns
        if self._matrix is not None:
            self._turn(self._matrix, self._turned_mirrored, rows, columns)
        elif rows.is_scaled or columns.is_scaled:
            self._pixels = resample(self._pixels, rows, columns, self._filter)
        elif rows.is_untouched and columns.is_untouched and _fills(columns, self._pixels.shape[2]):
            if (columns.step < 0).any():  # mirrored, and nothing else
                chosen = (columns.step < 0).view(-1, 1, 1).to(self._pixels.device)
                self._pixels = torch.where(chosen, self._pixels.flip(2), self._pixels)
        elif not (rows.is_untouched and columns.is_untouched and bool((columns.step > 0).all())):
            self._pixels = cut(self._pixels, rows, columns)
        self._matrix = self._turned_mirrored = None
        self._rows, self._columns = Axis.whole(rows.length), Axis.whole(columns.length)

    def _turn(self, matrix: Tensor, mirrored: Tensor | None, rows: Axis, columns: Axis) -> None:
        moves = (matrix != matrix.new_tensor(STILL)).any(1)
        chosen = (moves if mirrored is None else moves | mirrored).nonzero().squeeze(1)
        stays_put = all(
            axis.is_untouched and bool((axis.step > 0).all()) and _fills(axis, length)
            for axis, length in zip((rows, columns), self._pixels.shape[1:], strict=True)
        )
        if len(chosen) == len(self) or not stays_put:
            self._pixels = turn(self._pixels, matrix, rows, columns, mirrored)
        elif len(chosen):
            some = self._pixels.index_select(0, chosen.to(self._pixels.device))
            mirrored = None if mirrored is None else mirrored[chosen]
            self.replace_some(chosen, turn(some, matrix[chosen], rows.of(chosen), columns.of(chosen), mirrored))


def _fills(axis: Axis, length: int) -> bool:
    return bool((axis.length == length).all())
