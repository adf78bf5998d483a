"""Random rectangles painted over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hilum.imaging.augment.boxes import draw_sizes, first_of
from hilum.imaging.augment.draft import Draft
from hilum.imaging.augment.step import Step, occurs, whole_below


@dataclass(frozen=True)
class RandomErasing(Step):
    """A random rectangle set to one gray level (torchvision's of the same name, with its defaults).

    Attributes:
        p: probability; the others stay as they are.
        scale: share of the picture's area, least and most.
        ratio: height / width, least and most; its logarithm is uniform.
        level: gray level, 0 to 255. torchvision's zero comes after normalization in most recipes: it is the mean then.
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    level: int = 0

    def __post_init__(self) -> None:
        self._need_share()
        self._need_range("scale", most=1)
        self._need_range("ratio")
        self._need(0 <= self.level <= 255, "level", "0 to 255")

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        heights, widths = draft.heights, draft.widths
        wide, tall = draw_sizes(heights, widths, self.scale, self.ratio, generator)
        found, height, width = first_of((tall < heights[:, None]) & (wide < widths[:, None]), tall, wide)
        chosen = occurs(len(draft), self.p, generator) & found
        spare = np.maximum(np.stack([heights - height, widths - width], 1), 0)
        top, left = whole_below(spare + 1, generator).T
        pixels = draft.pixels().clone()
        for number in chosen.nonzero()[0].tolist():
            y, x, h, w = (int(of[number]) for of in (top, left, height, width))
            pixels[number, y : y + h, x : x + w] = self.level
        draft.replace(pixels)
