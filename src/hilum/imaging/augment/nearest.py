"""Move pixels without mixing them: windows, and rotations as Pillow makes them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.imaging.augment.axis import Axis
from hilum.imaging.augment.resampling import parts

STILL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the matrix that moves nothing


def cut(pixels: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Pictures with their windows and mirrorings done, none of them scaled: (N, H', W') uint8."""
    y, x = (torch.from_numpy(_source(axis)).to(pixels.device) for axis in (rows, columns))
    out = torch.empty((len(pixels), y.shape[1], x.shape[1]), dtype=torch.uint8, device=pixels.device)
    for part in parts(len(pixels), max(pixels[0].numel(), out[0].numel()), pixels.device):
        out[part] = _pick(pixels[part], y[part, :, None], x[part, None, :], (1, 0, 1, 0))
    return out


def turn(pixels: Tensor, matrix: np.ndarray, rows: Axis, columns: Axis, mirrored: np.ndarray) -> Tensor:
    """Pictures, some of them mirrored, turned by affine matrices, and then cut.

    Pillow's own arithmetic (16.16 fixed point, Geometry.c), so that the same pixels are picked.

    Args:
        pixels: (N, H, W) uint8, zero outside each picture.
        matrix: (N, 6) float64: (x, y) that comes out is read at (a x + b y + c, d x + e y + f).
        rows: what to do along the height afterwards, without a scale and within the picture.
        columns: what to do along the width afterwards.
        mirrored: (N,) bool, the pictures whose left and right are exchanged before they are turned.

    Returns:
        (N, H', W') uint8; zero where what is read lies outside the picture.
    """
    device, (count, height, width) = pixels.device, pixels.shape
    a, b, c, d, e, f = matrix.T
    (j, row_is_there), (i, column_is_there) = rows.numbers(), columns.numbers()
    x_of_column, x_of_row = _fixed(a) * i + _fixed(c + 0.5 * (a + b)), _fixed(b) * j  # (N, W'), (N, H')
    y_of_column, y_of_row = _fixed(d) * i + _fixed(f + 0.5 * (d + e)), _fixed(e) * j
    if mirrored.any():  # width - 1 - (x >> 16) is (65536 width - 1 - x) >> 16
        sign = np.where(mirrored, -1, 1)[:, None]
        x_of_column, x_of_row = x_of_column * sign, x_of_row * sign
        x_of_row += (columns.extent * 65536 - 1)[:, None] * mirrored[:, None]
    left, right = _overshoot(x_of_column, x_of_row, width)
    top, bottom = _overshoot(y_of_column, y_of_row, height)
    across = [torch.from_numpy(v[:, None, :].astype(np.int32)).to(device) for v in (x_of_column, y_of_column)]
    down = [torch.from_numpy(v[:, :, None].astype(np.int32)).to(device) for v in (x_of_row, y_of_row)]
    out = torch.zeros((count, j.shape[1], i.shape[1]), dtype=torch.uint8, device=device)
    for part in parts(count, max(height * width, out[0].numel()), device):
        high, wide = int(rows.length[part].max()), int(columns.length[part].max())
        x, y = (
            (of_column[part, :, :wide] + of_row[part, :high]).bitwise_right_shift_(16)
            for of_column, of_row in zip(across, down, strict=True)
        )
        out[part, :high, :wide] = _pick(pixels[part], y, x, (left, right, top, bottom))
    if not (row_is_there.all() and column_is_there.all()):
        out *= torch.from_numpy(row_is_there[:, :, None].astype(np.uint8)).to(device)
        out *= torch.from_numpy(column_is_there[:, None, :].astype(np.uint8)).to(device)
    return out


def _source(axis: Axis) -> np.ndarray:
    """(N, L) int32: where each pixel that comes out is read; -1: nowhere."""
    number, is_there = axis.numbers()
    place = number + axis.low[:, None]
    return np.where(is_there & (place >= 0) & (place < axis.extent[:, None]), place, -1).astype(np.int32)


def _overshoot(of_column: np.ndarray, of_row: np.ndarray, length: int) -> tuple[int, int]:
    """How many pixels before and after a side are read, at most."""
    least = (of_column.min(1) + of_row.min(1)).min() >> 16
    most = (of_column.max(1) + of_row.max(1)).max() >> 16
    return max(0, -int(least)), max(0, int(most) - length + 1)


def _pick(pixels: Tensor, y: Tensor, x: Tensor, margins: tuple[int, int, int, int]) -> Tensor:
    """Pixels at integer places, int32, at most the margins (left, right, top, bottom) outside the canvas: zero there.

    `y` may be overwritten.
    """
    framed = F.pad(pixels, margins)
    count, height, width = framed.shape
    starts = (
        torch.arange(count, dtype=torch.int32, device=pixels.device) * (height * width)
        + margins[2] * width
        + margins[0]
    )
    if y.shape[2] == x.shape[2]:
        places = y.mul_(width).add_(x).add_(starts.view(-1, 1, 1))
    else:
        places = y * width + starts.view(-1, 1, 1) + x
    return framed.view(-1).index_select(0, places.view(-1)).view(places.shape)


def _fixed(value: np.ndarray) -> np.ndarray:
    """(N,) in 1/65536, as (N, 1) int64."""
    return np.floor(value * 65536 + 0.5).astype(np.int64)[:, None]


def rotation(angles: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """(N, 6) matrices that turn pictures counter-clockwise about their centers, as `PIL.Image.rotate` has them."""
    radians, none = -np.deg2rad(angles), np.zeros_like(angles)
    return _about_center(np.cos(radians), np.sin(radians), heights, widths, none, none)


def affine(
    angles: np.ndarray,
    right: np.ndarray,
    down: np.ndarray,
    scales: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
) -> np.ndarray:
    """(N, 6) matrices that turn clockwise, scale and then move pictures, as torchvision's `affine` has them.

    Args:
        angles: (N,) float64, degrees.
        right: (N,) pixels.
        down: (N,) pixels.
        scales: (N,); above one enlarges.
        heights: (N,) of the pictures.
        widths: (N,) of the pictures.
    """
    radians = np.deg2rad(angles)
    return _about_center(np.cos(radians) / scales, np.sin(radians) / scales, heights, widths, right, down)


def _about_center(
    cosine: np.ndarray,
    sine: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
    right: np.ndarray,
    down: np.ndarray,
) -> np.ndarray:
    x, y = widths / 2, heights / 2
    c = cosine * (-x - right) + sine * (-y - down) + x
    f = -sine * (-x - right) + cosine * (-y - down) + y
    return np.stack([cosine, sine, c, -sine, cosine, f], 1)
