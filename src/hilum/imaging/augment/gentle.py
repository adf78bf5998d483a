"""Random changes of a batch of images, on whatever device the batch is, from a passed generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def light(
    squares: Tensor, generator: torch.Generator, shift: float = 0.06, zoom: float = 0.1, gray: float = 0.15
) -> Tensor:
    """Shift, zoom and change the brightness and contrast of each image a little; never mirrored, sides keep their meaning.

    Args:
        squares: (N, S, S) uint8.
        generator: on the CPU; the same state gives the same changes.
        shift: most of the side an image moves, each way.
        zoom: most it grows or shrinks.
        gray: most the contrast changes, and half the most the brightness does (share of the full range).

    Returns:
        (N, S, S) uint8 on the same device.
    """
    count = len(squares)
    draws = (torch.rand(count, 5, generator=generator) * 2 - 1).to(squares.device)  # (N, 5) in [-1, 1]
    scale = 1 + zoom * draws[:, 0]
    theta = torch.zeros(count, 2, 3, device=squares.device)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = 2 * shift * draws[:, 1:3]
    images = squares.unsqueeze(1).to(torch.float32)  # (N, 1, S, S)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False).squeeze(1)
    contrast = (1 + gray * draws[:, 3]).view(-1, 1, 1)
    brightness = (127.5 * gray * draws[:, 4]).view(-1, 1, 1)
    return ((moved - 127.5) * contrast + 127.5 + brightness).round().clamp(0, 255).to(torch.uint8)
