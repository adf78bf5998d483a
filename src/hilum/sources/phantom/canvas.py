"""What every drawing is made with: a plane in body coordinates, soft edges, strokes of ink and a bank of clouds.

Body coordinates: x = 0 is the midline, x > 0 the patient's left (the right of the picture), |x| = 1 the inner chest wall
at its widest; y = 0 is the apex of the lungs and y grows towards the feet, the diaphragm lies near y = 1.75.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Plane = NDArray[np.float32]
Points = NDArray[np.floating]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels; x1 and y1 are just outside

SUPERSAMPLING = 2
CLOUD_SIDE = 1024


class Canvas:
    """A plane of densities (0 black film, 1 white bone) and where its pixels lie in the body."""

    def __init__(self, height: int, width: int, px_per_unit: float, center_x_px: float, apex_y_px: float) -> None:
        self.height, self.width, self.px_per_unit = height, width, px_per_unit
        self.center_x_px, self.apex_y_px = center_x_px, apex_y_px
        self.x = ((np.arange(width, dtype=np.float32) - center_x_px) / px_per_unit)[None, :]  # (1, W)
        self.y = ((np.arange(height, dtype=np.float32) - apex_y_px) / px_per_unit)[:, None]  # (H, 1)
        self.density: Plane = np.zeros((height, width), np.float32)

    def to_px(self, points: Points) -> Points:
        """(N, 2) body points as (N, 2) pixel positions (x, y)."""
        return np.asarray(points) * self.px_per_unit + np.array([self.center_x_px, self.apex_y_px])

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        """The pixel box around a rectangle of the body, cut at the picture's edges."""
        (left, top), (right, bottom) = self.to_px(np.array([[min(x0, x1), min(y0, y1)], [max(x0, x1), max(y0, y1)]]))
        left_px, right_px = np.clip([np.floor(left), np.ceil(right) + 1], 0, self.width)
        top_px, bottom_px = np.clip([np.floor(top), np.ceil(bottom) + 1], 0, self.height)
        return int(left_px), int(top_px), int(right_px), int(bottom_px)

    def part(self, box: Box) -> tuple[tuple[slice, slice], Plane, Plane]:
        """The slices of a box, and the body x (1, w) and y (h, 1) of its pixels."""
        x0, y0, x1, y1 = box
        return (slice(y0, y1), slice(x0, x1)), self.x[:, x0:x1], self.y[y0:y1]

    def ink(self) -> Ink:
        """An empty layer to draw lines and areas on."""
        return Ink(self)


class Ink:
    """A layer of lines and areas in body coordinates, drawn larger and reduced, so that edges are smooth."""

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._image = Image.new("L", (canvas.width * SUPERSAMPLING, canvas.height * SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: Points, width: float, strength: float) -> None:
        """A polyline through (N, 2) body points; `width` in body units, `strength` in [0, 1]."""
        self.lines(np.asarray(points)[None], [width], [strength])

    def lines(self, courses: Points, widths: Sequence[float], strengths: Sequence[float]) -> None:
        """Many polylines at once: (M, N, 2) body points, with M widths and M strengths."""
        flat = (self._canvas.to_px(courses) * SUPERSAMPLING).reshape(len(courses), -1).tolist()
        per_unit = self._canvas.px_per_unit * SUPERSAMPLING
        for course, width, strength in zip(flat, widths, strengths, strict=True):
            width_px = max(1, round(width * per_unit))
            self._draw.line(course, fill=_gray(strength), width=width_px, joint="curve" if width_px > 7 else None)

    def area(self, points: Points, strength: float) -> None:
        """A filled polygon of (N, 2) body points."""
        self._draw.polygon((self._canvas.to_px(points) * SUPERSAMPLING).ravel().tolist(), fill=_gray(strength))

    def disc(self, x: float, y: float, radius: float, strength: float) -> None:
        """A filled circle."""
        (left, top), (right, bottom) = self._canvas.to_px(
            np.array([[x - radius, y - radius], [x + radius, y + radius]])
        )
        self._draw.ellipse([v * SUPERSAMPLING for v in (left, top, right, bottom)], fill=_gray(strength))

    def plane(self, blur_px: float = 0.0) -> Plane:
        """The layer as (H, W) float32 in [0, 1], blurred by a Gaussian of `blur_px`."""
        image = self._image.reduce(SUPERSAMPLING)
        if blur_px > 0:
            # One box is as good as a Gaussian on lines already reduced, and three times as fast.
            image = image.filter(ImageFilter.BoxBlur(blur_px) if blur_px <= 1 else ImageFilter.GaussianBlur(blur_px))
        return np.asarray(image, np.float32) * np.float32(1 / 255)


def _gray(strength: float) -> int:
    return min(255, max(0, round(strength * 255)))


def ramp(distance: Plane | Points) -> Plane:
    """A soft step: 0 below -1/2, 1 above 1/2, smooth between; divide a distance by the edge's width first."""
    t = np.clip(distance + np.float32(0.5), np.float32(0), np.float32(1))
    return t * t * (np.float32(3) - np.float32(2) * t)


def soft_min(a: Plane, b: Plane, width: float = 0.12) -> Plane:
    """The smaller of two, without a corner where they cross."""
    near = np.maximum(np.float32(width) - np.abs(a - b), 0)
    return np.minimum(a, b) - near * near * np.float32(0.25 / width)


def curve(knots: Sequence[tuple[float, float]], at: Points) -> NDArray[np.float32]:
    """A smooth curve through (position, value) knots, evaluated at `at`; flat beyond its ends."""
    position, value = np.array(knots, dtype=float).T
    at_inside = np.clip(np.asarray(at, float), position[0], position[-1])
    slope = np.gradient(value, position)
    k = np.clip(np.searchsorted(position, at_inside) - 1, 0, len(position) - 2)
    span = position[k + 1] - position[k]
    t = (at_inside - position[k]) / span
    t2, t3 = t * t, t * t * t
    smooth = (
        (2 * t3 - 3 * t2 + 1) * value[k]
        + (t3 - 2 * t2 + t) * span * slope[k]
        + (3 * t2 - 2 * t3) * value[k + 1]
        + (t3 - t2) * span * slope[k + 1]
    )
    return smooth.astype(np.float32)


@lru_cache(maxsize=16)
def _cloud_bank(cell_px: int, octaves: int) -> Plane:
    """A tileable field of clouds with mean 0 and deviation 1: the same in every process."""
    rng = np.random.default_rng([cell_px, octaves, 20])
    field = np.zeros((CLOUD_SIDE, CLOUD_SIDE), np.float32)
    for octave in range(octaves):
        cells = max(4, CLOUD_SIDE // max(1, cell_px >> octave))
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        wrapped = np.pad(coarse, 4, mode="wrap")
        grown = Image.fromarray(wrapped).resize(
            (CLOUD_SIDE, CLOUD_SIDE), Image.Resampling.BICUBIC, box=(4, 4, 4 + cells, 4 + cells)
        )
        field += np.asarray(grown, np.float32) * np.float32(0.6**octave)
    return (field - field.mean()) / field.std()


def clouds(rng: np.random.Generator, height: int, width: int, cell_px: int, octaves: int = 3) -> Plane:
    """(height, width) smooth noise with mean about 0 and deviation about 1, with lumps of `cell_px` pixels."""
    bank = _cloud_bank(max(1, int(cell_px)), octaves)
    rows = (rng.integers(CLOUD_SIDE) + np.arange(height)) % CLOUD_SIDE
    columns = (rng.integers(CLOUD_SIDE) + np.arange(width)) % CLOUD_SIDE
    return bank[rows[:, None], columns[None, :]]
