"""Run a plan on a batch of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hilum.errors import UsageError
from hilum.imaging.augment.draft import Draft
from hilum.imaging.augment.pictures import Pictures
from hilum.imaging.augment.step import Step


def augment(pictures: Pictures, plan: Sequence[Step], side_px: int, generator: torch.Generator) -> Tensor:
    """Augmented squares of bytes, each picture with draws of its own.

    Args:
        pictures: N pictures, on any device.
        plan: steps, in order, such as `plan("moco-cxr", 224)`.
        side_px: side of the squares.
        generator: on the CPU; the same state gives the same bytes.

    Returns:
        (N, side_px, side_px) uint8 on the device of `pictures`.

    Raises:
        UsageError: the plan does not end with squares of this side, a step does not fit the pictures, or the generator is
            not on the CPU.

    Example:
        >>> import numpy as np
        >>> from hilum.imaging.augment import plan
        >>> pictures = Pictures.stack([np.full((40, 30), 100, np.uint8)])
        >>> generator = torch.Generator().manual_seed(0)
        >>> augment(pictures, plan("moco-cxr", 16), 16, generator).shape
        torch.Size([1, 16, 16])
    """
    return augment_with_flips(pictures, plan, side_px, generator)[0]


def augment_with_flips(
    pictures: Pictures, plan: Sequence[Step], side_px: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """As `augment`, and which pictures are mirrored: their reports' left and right have changed sides.

    Returns:
        (N, side_px, side_px) uint8 on the device of `pictures`, and (N,) bool on the CPU.
    """
    if side_px < 1:
        raise UsageError(f"augment: side_px is {side_px}; expected 1 or more.")
    if generator.device.type != "cpu":
        raise UsageError(
            f"augment: the generator is on {generator.device}; expected one on the CPU: torch.Generator()."
        )
    if not len(pictures):
        return pictures.pixels.new_zeros(0, side_px, side_px), torch.zeros(0, dtype=torch.bool)
    draft = Draft(pictures)
    for step in plan:
        step.apply(draft, side_px, generator)
    wrong = ((draft.heights != side_px) | (draft.widths != side_px)).nonzero()[0]
    if len(wrong):
        number = wrong[0]
        last = type(plan[-1]).__name__ if plan else "nothing"
        raise UsageError(
            f"augment: after the plan (its last step: {last}) picture {number} is {draft.heights[number]}x"
            f"{draft.widths[number]} px; expected {side_px}x{side_px}. End the plan's geometry with "
            "RandomResizedCrop, RandomCrop, CenterCrop or Squash."
        )
    return draft.pixels()[:, :side_px, :side_px].contiguous(), torch.from_numpy(draft.mirrored)
