"""Where an image came to lie on the canvas that a tower sees, so that what the tower points at can be shown in the image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Placement(NamedTuple):
    """The rectangle of the whole image on the canvas; it reaches past the canvas where the image was cut.

    Attributes:
        top, left: of the image's first pixel's corner, in canvas pixels; negative where the image was cut there.
        height, width: of the image, in canvas pixels.
        canvas_px: side of the canvas.
    """

    top: float
    left: float
    height: float
    width: float
    canvas_px: int

    def rows(self, count: int) -> np.ndarray:
        """(count,) where the centers of an image's `count` pixel rows lie, in shares of the canvas: 0 its top, 1 its bottom."""
        return (self.top + (np.arange(count) + 0.5) * (self.height / count)) / self.canvas_px

    def columns(self, count: int) -> np.ndarray:
        """(count,) where the centers of an image's `count` pixel columns lie, in shares of the canvas."""
        return (self.left + (np.arange(count) + 0.5) * (self.width / count)) / self.canvas_px
