"""Gray pictures of different sizes as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hilum.errors import UsageError


@dataclass(frozen=True)
class Pictures:
    """A batch of gray pictures, each in the top-left corner of a canvas.

    Args:
        pixels: (N, C, C) uint8, on any device; zero outside the picture.
        sizes: (N, 2) int64, height and width of each picture on its canvas.

    Raises:
        UsageError: shapes or types differ from these, or a size does not fit the canvas.

    Example:
        >>> pictures = Pictures.stack([np.zeros((30, 20), np.uint8), np.zeros((10, 25), np.uint8)])
        >>> pictures.pixels.shape, pictures.sizes.tolist()
        (torch.Size([2, 30, 30]), [[30, 20], [10, 25]])
    """

    pixels: Tensor
    sizes: Tensor

    def __post_init__(self) -> None:
        pixels, sizes = self.pixels, self.sizes
        if pixels.ndim != 3 or pixels.dtype != torch.uint8:
            raise UsageError(f"pictures: pixels are {tuple(pixels.shape)} {pixels.dtype}; expected (N, C, C) uint8.")
        if tuple(sizes.shape) != (len(pixels), 2) or sizes.dtype != torch.int64:
            raise UsageError(
                f"pictures: sizes are {tuple(sizes.shape)} {sizes.dtype}; expected ({len(pixels)}, 2) int64, "
                "height and width of each picture."
            )
        if sizes.device.type == "cpu":  # on an accelerator a look at them would make it wait
            known, canvas = sizes.numpy(), pixels.shape[1:]
            wrong = np.flatnonzero(((known < 1) | (known > canvas)).any(1))
            if len(wrong):
                height, width = known[wrong[0]]
                raise UsageError(
                    f"pictures, number {wrong[0]}: its size is {height}x{width} px; "
                    f"expected 1 to {canvas[0]} by 1 to {canvas[1]}, the canvas."
                )

    def __len__(self) -> int:
        return len(self.pixels)

    def to(self, device: torch.device | str) -> Pictures:
        """The same pictures with their pixels on a device. Sizes stay where they are: boxes are drawn on the CPU."""
        return Pictures(self.pixels.to(device, non_blocking=True), self.sizes)

    @classmethod
    def stack(cls, images: Sequence[np.ndarray], canvas_px: int | None = None) -> Pictures:
        """Put images on canvases.

        Args:
            images: N of (H, W) uint8.
            canvas_px: side of the canvas; default: the longest side there is.

        Raises:
            UsageError: there is no image, one is not (H, W) uint8, or it is larger than the canvas.
        """
        for number, image in enumerate(images):
            if image.ndim != 2 or image.dtype != np.uint8:
                raise UsageError(f"image {number} is {image.shape} {image.dtype}; expected (H, W) uint8.")
        if not len(images):
            raise UsageError("there are no images to put on canvases; expected one or more.")
        longest = max(max(image.shape) for image in images)
        canvas_px = longest if canvas_px is None else canvas_px
        if longest > canvas_px:
            raise UsageError(f"an image's longer side is {longest} px; expected at most canvas_px, {canvas_px}.")
        pixels = np.zeros((len(images), canvas_px, canvas_px), np.uint8)
        for canvas, image in zip(pixels, images, strict=True):
            canvas[: image.shape[0], : image.shape[1]] = image
        return cls(torch.from_numpy(pixels), torch.tensor([image.shape for image in images], dtype=torch.int64))
