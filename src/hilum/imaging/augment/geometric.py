"""Steps that move pixels: resizes, crops, pads, flips, rotations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hilum.errors import UsageError
from hilum.imaging.augment.boxes import random_boxes
from hilum.imaging.augment.draft import Draft
from hilum.imaging.augment.nearest import affine, rotation
from hilum.imaging.augment.resampling import FILTERS, Filter
from hilum.imaging.augment.step import Step, occurs, uniform, whole_below


@dataclass(frozen=True)
class ResizeShorter(Step):
    """Shorter side to `px`, aspect kept, the longer truncated (torchvision `Resize(px)`)."""

    px: int
    filter: Filter = "triangle"

    def __post_init__(self) -> None:
        self._need(self.px >= 1, "px", "1 or more")
        self._need(self.filter in FILTERS, "filter", f"one of {', '.join(FILTERS)}")

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        shorter = np.minimum(draft.heights, draft.widths)
        draft.resize(_scaled(draft.heights, self.px, shorter), _scaled(draft.widths, self.px, shorter), self.filter)


@dataclass(frozen=True)
class ResizeLonger(Step):
    """Longer side to `px`, aspect kept, the shorter truncated."""

    px: int
    filter: Filter = "area"

    def __post_init__(self) -> None:
        self._need(self.px >= 1, "px", "1 or more")
        self._need(self.filter in FILTERS, "filter", f"one of {', '.join(FILTERS)}")

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        longer = np.maximum(draft.heights, draft.widths)
        draft.resize(_scaled(draft.heights, self.px, longer), _scaled(draft.widths, self.px, longer), self.filter)


@dataclass(frozen=True)
class Squash(Step):
    """Both sides to the plan's side, aspect not kept."""

    filter: Filter = "triangle"

    def __post_init__(self) -> None:
        self._need(self.filter in FILTERS, "filter", f"one of {', '.join(FILTERS)}")

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        side = np.full_like(draft.heights, side_px)
        draft.resize(side, side, self.filter)


@dataclass(frozen=True)
class RandomResizedCrop(Step):
    """A random box of random area and aspect, resized to the plan's side (torchvision's of the same name).

    Attributes:
        scale: share of the picture's area, least and most.
        ratio: width / height, least and most; its logarithm is uniform.
        filter: see `resample`.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    filter: Filter = "triangle"

    def __post_init__(self) -> None:
        self._need_range("scale")
        self._need_range("ratio")
        self._need(self.filter in FILTERS, "filter", f"one of {', '.join(FILTERS)}")

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        draft.window(*random_boxes(draft.heights, draft.widths, self.scale, self.ratio, generator))
        side = np.full_like(draft.heights, side_px)
        draft.resize(side, side, self.filter)


@dataclass(frozen=True)
class RandomCrop(Step):
    """A square of the plan's side at a random place (torchvision's of the same name)."""

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        spare = np.stack([draft.heights, draft.widths], 1) - side_px  # (N, 2)
        small = np.flatnonzero((spare < 0).any(1))
        if len(small):
            number = small[0]
            raise UsageError(
                f"RandomCrop: picture {number} is {draft.heights[number]}x{draft.widths[number]} px here; expected "
                f"at least {side_px} each way. Put ResizeShorter({side_px}) or PadToSquare before it."
            )
        top, left = whole_below(spare + 1, generator).T
        side = np.full_like(draft.heights, side_px)
        draft.window(top, left, side, side)


@dataclass(frozen=True)
class RandomScaledCrop(Step):
    """A box with the picture's aspect: both sides times one factor, at a random place (ConVIRT).

    Attributes:
        scale: share of each side, least and most; sizes are truncated.
        p: probability; the others keep all.
    """

    scale: tuple[float, float] = (0.6, 1.0)
    p: float = 1.0

    def __post_init__(self) -> None:
        self._need_range("scale", most=1)
        self._need_share()

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        sizes = np.stack([draft.heights, draft.widths], 1)  # (N, 2)
        factors = uniform(len(draft), *self.scale, generator)
        boxes = np.maximum((sizes * factors[:, None]).astype(np.int64), 1)
        # The original's `randrange(spare)`: the last place is never drawn. Without spare it fails; here the box is all.
        starts = whole_below(np.maximum(sizes - boxes, 1), generator)
        chosen = occurs(len(draft), self.p, generator)[:, None]
        boxes, starts = np.where(chosen, boxes, sizes), np.where(chosen, starts, 0)
        draft.window(*starts.T, *boxes.T)


@dataclass(frozen=True)
class CenterCrop(Step):
    """The middle square of the plan's side; smaller pictures are padded with zeros (torchvision's of the same name)."""

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        side = np.full_like(draft.heights, side_px)
        draft.window(_middle(draft.heights, side_px), _middle(draft.widths, side_px), side, side)


@dataclass(frozen=True)
class PadToSquare(Step):
    """Zeros on both sides of the shorter direction, an odd one after the picture."""

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        longer = np.maximum(draft.heights, draft.widths)
        top, left = ((longer - length) // 2 for length in (draft.heights, draft.widths))
        draft.window(-top, -left, longer, longer)


@dataclass(frozen=True)
class HorizontalFlip(Step):
    """Left and right exchanged with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        self._need_share()

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        draft.mirror(occurs(len(draft), self.p, generator))


@dataclass(frozen=True)
class Rotate(Step):
    """Turned about the center by up to `degrees` each way: nearest pixel, zeros outside (torchvision `RandomRotation`)."""

    degrees: float

    def __post_init__(self) -> None:
        self._need(0 <= self.degrees <= 180, "degrees", "0 to 180")

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        angles = uniform(len(draft), -self.degrees, self.degrees, generator)
        draft.turn(rotation(angles, draft.heights, draft.widths))


@dataclass(frozen=True)
class Affine(Step):
    """Turned, scaled and moved: nearest pixel, zeros outside (torchvision `RandomAffine`, without shear).

    Attributes:
        degrees: most of the rotation each way.
        translate: most of the shift each way, as shares of width and height; shifts are whole pixels.
        scale: least and most.
        p: probability; the others stay as they are.
    """

    degrees: float
    translate: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    p: float = 1.0

    def __post_init__(self) -> None:
        self._need(0 <= self.degrees <= 180, "degrees", "0 to 180")
        self._need(all(0 <= share <= 1 for share in self.translate), "translate", "two shares from 0 to 1")
        self._need_range("scale")
        self._need_share()

    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        count, heights, widths = len(draft), draft.heights, draft.widths
        angles = uniform(count, -self.degrees, self.degrees, generator)
        right, down = uniform(count, -1, 1, generator, columns=2).T
        scales = uniform(count, *self.scale, generator)
        chosen = occurs(count, self.p, generator)
        draft.turn(
            affine(
                angles * chosen,
                np.rint(right * self.translate[0] * widths) * chosen,
                np.rint(down * self.translate[1] * heights) * chosen,
                np.where(chosen, scales, 1.0),
                heights,
                widths,
            )
        )


def _scaled(length: np.ndarray, px: int, reference: np.ndarray) -> np.ndarray:
    return np.maximum(length * px // reference, 1)


def _middle(length: np.ndarray, side_px: int) -> np.ndarray:
    # torchvision rounds a crop's place (halves to even), and pads the smaller half before the picture.
    spare = length - side_px
    crop = np.rint(np.maximum(spare, 0) / 2).astype(np.int64)
    return np.where(spare >= 0, crop, -((side_px - length) // 2))
