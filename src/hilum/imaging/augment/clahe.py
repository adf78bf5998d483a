"""Contrast limited adaptive histogram equalization, as OpenCV makes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.errors import UsageError
from hilum.imaging.augment.draft import Draft
from hilum.imaging.augment.resampling import parts, to_bytes
from hilum.imaging.augment.step import Step, occurs, uniform

_LEVELS = 256


@dataclass(frozen=True)
class Clahe(Step):
    """Local contrast equalized with a random limit (albumentations `CLAHE`).

    Attributes:
        clip: limit of a level's count, as a multiple of the mean count; least and most.
        grid: tiles along each side.
        p: probability; the others stay as they are.
        lightness: equalize the lightness L* and not the gray level itself: what albumentations does to pictures of three
            channels, gray or not.
    """

    clip: tuple[float, float] = (1.0, 4.0)
    grid: int = 8
    p: float = 0.5
    lightness: bool = True

    def __post_init__(self) -> None:
        self._need_range("clip")
        self._need(self.grid >= 1, "grid", "1 or more")
        self._need_share()

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        clip = uniform(len(draft), *self.clip, generator)
        chosen = occurs(len(draft), self.p, generator).nonzero()[0]
        if not len(chosen):
            return
        if draft.is_ragged:
            raise UsageError(
                "Clahe: pictures differ in size here; expected equal ones. Put a crop to the side before it."
            )
        pixels = draft.pixels()
        height, width = int(draft.heights[0]), int(draft.widths[0])
        some = draft.some(chosen)[:, :height, :width]
        limits = torch.from_numpy(clip[chosen])
        if self.lightness:
            to_lightness, to_gray = (table.to(pixels.device) for table in lightness_tables())
            equal = looked_up(equalized(looked_up(some, to_lightness), limits, self.grid), to_gray)
        else:
            equal = equalized(some, limits, self.grid)
        draft.replace_some(chosen, F.pad(equal, (0, pixels.shape[2] - width, 0, pixels.shape[1] - height)))


def equalized(pixels: Tensor, clip: Tensor, grid: int) -> Tensor:
    """Equalized pictures, each with its own limit.

    Each tile gets a table from its histogram, cut at the limit and the rest shared out; a pixel is read from the tables of
    the four nearest tiles, mixed by distance (Zuiderveld 1994; the arithmetic is OpenCV's).

    Args:
        pixels: (N, H, W) uint8.
        clip: (N,) float64, on the CPU.
        grid: tiles along each side.

    Returns:
        (N, H, W) uint8.
    """
    padded = _to_whole_tiles(pixels, grid)
    tables = tile_tables(padded, clip, grid)
    _, height, width = pixels.shape
    row, row_share = _neighbor_tiles(height, padded.shape[1] // grid, grid, grid * _LEVELS, pixels.device)
    column, column_share = _neighbor_tiles(width, padded.shape[2] // grid, grid, _LEVELS, pixels.device)
    out = torch.empty_like(pixels)
    for part in parts(len(pixels), height * width, pixels.device):
        values = pixels[part].to(torch.int32)
        count = len(values)
        flat = tables[part].reshape(-1)
        starts = torch.arange(count, dtype=torch.int32, device=pixels.device).view(-1, 1, 1) * (grid * grid * _LEVELS)
        values += starts
        lines = []
        for r in row:
            left, right = (
                flat.index_select(0, (values + (r[:, None] + c)).view(-1)).view(values.shape) for c in column
            )
            lines.append(_mixed(left, right, column_share))
        upper, lower = lines
        out[part] = to_bytes(_mixed(upper, lower, row_share[:, None]).round_().clamp_(0, 255))
    return out


def looked_up(pixels: Tensor, table: Tensor) -> Tensor:
    """Each level replaced by the table's (256,)."""
    return table.index_select(0, pixels.to(torch.int32).view(-1)).view(pixels.shape)


def tile_tables(pixels: Tensor, clip: Tensor, grid: int) -> Tensor:
    """The table of each tile: (N, grid * grid, 256) float32, whole levels; `pixels` divide into tiles."""
    count, height, width = pixels.shape
    tile_px = (height // grid) * (width // grid)
    row, column = (torch.arange(length, dtype=torch.int32) // (length // grid) for length in (height, width))
    tile = (row[:, None] * grid + column).to(pixels.device)  # (H, W), which tile a pixel lies in
    number = torch.arange(count, dtype=torch.int32, device=pixels.device).view(-1, 1, 1)
    keys = pixels.to(torch.int32).add_(tile * _LEVELS).add_(number * (grid * grid * _LEVELS))
    counts = torch.bincount(keys.view(-1), minlength=count * grid * grid * _LEVELS).view(count, grid * grid, _LEVELS)

    limit = (clip * tile_px / _LEVELS).to(torch.int64).clamp(min=1).view(-1, 1, 1).to(pixels.device)
    cut = counts.clamp(max=limit)
    over = (counts - cut).sum(2, keepdim=True)  # (N, tiles, 1)
    each, rest = over // _LEVELS, over % _LEVELS
    level = torch.arange(_LEVELS, device=pixels.device)
    every = (_LEVELS // rest.clamp(min=1)).clamp(min=1)  # the rest goes to every so many levels, from the darkest
    cut = cut + each + ((level % every == 0) & (level // every < rest))
    return (cut.cumsum(2).to(torch.float32) * ((_LEVELS - 1) / tile_px)).round_().clamp_(0, 255)


def lightness_tables() -> tuple[Tensor, Tensor]:
    """Gray level to lightness L* on 0-255 and back, as of sRGB's conversion to CIE L*a*b*: (256,) uint8 each."""
    gray = torch.arange(_LEVELS, dtype=torch.float64) / 255
    linear = torch.where(gray <= 0.04045, gray / 12.92, ((gray + 0.055) / 1.055) ** 2.4)
    # OpenCV's whole numbers: the luminance in 1/2040, its cube root in 1/32768, and 296 for 295.8. A level that moves by one
    # moves its tile's whole table.
    luminance = (linear * 2040).round() / 2040
    cube = torch.where(luminance < 0.008856, luminance * 7.787 + 16 / 116, luminance ** (1 / 3))
    to_lightness = (((cube * 32768).round() * 296 - (16 * 255 * 32768 + 50) // 100) / 32768).round().to(torch.uint8)

    lightness = torch.arange(_LEVELS, dtype=torch.float64) * 100 / 255
    cube = (lightness + 16) / 116
    linear = torch.where(lightness > 8, cube**3, lightness * 27 / 24389)
    gray = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return to_lightness, (gray * 255).round().clamp(0, 255).to(torch.uint8)


def _to_whole_tiles(pixels: Tensor, grid: int) -> Tensor:
    """Mirrored beyond its right and lower border until both sides divide by `grid`."""
    height, width = pixels.shape[1:]
    if height % grid == 0 and width % grid == 0:
        return pixels.contiguous()
    # OpenCV's: a side that divides already gets one more pixel a tile, if the other does not.
    low, right = grid - height % grid, grid - width % grid
    return F.pad(pixels.to(torch.float32).unsqueeze(1), (0, right, 0, low), mode="reflect").squeeze(1).to(torch.uint8)


def _mixed(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """One overwritten with its mixture with the other, which is overwritten too."""
    return one.mul_(1 - share).add_(other.mul_(share))


def _neighbor_tiles(
    length: int, tile_px: int, grid: int, apart: int, device: torch.device
) -> tuple[list[Tensor], Tensor]:
    """For each pixel along a side: where the tables of the tile before and after it start, and the share of the second.

    Args:
        length: pixels along the side.
        tile_px: pixels of a tile along the side.
        grid: tiles along the side.
        apart: places from one tile's table to that of the next.
        device: of the results.

    Returns:
        Two tensors (length,) int32, and (length,) float32.
    """
    place = torch.arange(length, dtype=torch.float32) * torch.tensor(1 / tile_px, dtype=torch.float32) - 0.5
    before = place.floor()
    starts = [((before + k).clamp(0, grid - 1) * apart).to(torch.int32).to(device) for k in (0, 1)]
    return starts, (place - before).to(device)
