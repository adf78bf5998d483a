"""From 8-bit gray pixels to what an image tower sees: one value, saved with the model and part of its fingerprint."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from hilum.errors import ModelError
from hilum.models.placement import Placement

# Grayscale constants of the CheXzero release, on the 0-255 scale (Tiu et al. 2022, Methods).
CHEXZERO_MEAN, CHEXZERO_STD = 101.48761, 83.43944

RESAMPLE = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


class Preprocessing(BaseModel, ABC):
    """How stored pixels become a tower's input, in two steps.

    First each image becomes a square of bytes (`squares`): exact, on the CPU, and small enough to keep.
    Then a batch of squares becomes normalized floats (`tensor`): on whatever device the model is.
    A kind of preprocessing is a frozen subclass that is listed in `hilum.models.registry`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    canvas_px: int = Field(320, gt=0, description="side of the square of bytes")

    def squares(self, pixels: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Gray images as squares of bytes.

        Args:
            pixels: N images, each (H, W) uint8; sizes may differ.

        Returns:
            (N, canvas_px, canvas_px) uint8.

        Raises:
            ModelError: an image is not two-dimensional uint8, or has no pixels.
        """
        checked = _check(pixels)
        square = np.zeros((len(checked), self.canvas_px, self.canvas_px), np.uint8)

        def fill(index: int) -> None:
            self.square(checked[index], square[index])

        if len(checked) < 8:
            for index in range(len(checked)):
                fill(index)
        else:  # Pillow lets go of the interpreter lock while it resizes.
            list(_threads().map(fill, range(len(checked)), chunksize=8))
        return square

    @abstractmethod
    def square(self, image: np.ndarray, out: np.ndarray) -> None:
        """Write one image (H, W) uint8 into `out` (canvas_px, canvas_px), which is black."""

    @abstractmethod
    def placement(self, height: int, width: int) -> Placement:
        """Where an image of (height, width) comes to lie on the canvas."""

    @abstractmethod
    def tensor(self, squares: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Squares (N, canvas_px, canvas_px) uint8, on any device, as the tower's input (N, 3, S, S) float32, on the same."""

    def __call__(self, pixels: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """`tensor(squares(pixels))`."""
        return self.tensor(self.squares(pixels))


class Preprocess(Preprocessing):
    """CheXzero's: pad to a black square, normalize, and only then resize (Tiu et al. 2022, released code)."""

    kind: Literal["normalize-then-resize"] = "normalize-then-resize"
    fit: Literal["pad", "squash"] = Field(
        "pad", description="pad: longer side to canvas_px, centered on black; squash: both"
    )
    canvas_resample: Literal["lanczos", "bicubic", "bilinear"] = "lanczos"
    side_px: int = Field(224, gt=0, description="side of the tower's input")
    resample: Literal["bicubic", "bilinear"] = "bicubic"
    antialias: bool = Field(False, description="antialias when the normalized square is resized to side_px")
    mean: tuple[float, float, float] = (CHEXZERO_MEAN,) * 3
    std: tuple[float, float, float] = (CHEXZERO_STD,) * 3

    def tensor(self, squares: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Squares of bytes as the tower's input.

        Args:
            squares: (N, canvas_px, canvas_px) uint8, on any device.

        Returns:
            (N, 3, side_px, side_px) float32 on the same device. Normalization comes before the resize, as in CheXzero.
        """
        bytes_ = torch.as_tensor(squares)
        gray = bytes_.unsqueeze(1).to(torch.float32)  # (N, 1, canvas, canvas)
        one_gray = len(set(self.mean)) == 1 and len(set(self.std)) == 1
        mean, std = (gray.new_tensor(v[:1] if one_gray else v).view(1, -1, 1, 1) for v in (self.mean, self.std))
        images = (gray - mean) / std
        if images.shape[-1] != self.side_px:
            size = (self.side_px, self.side_px)
            images = F.interpolate(images, size, mode=self.resample, align_corners=False, antialias=self.antialias)
        return images.expand(-1, 3, -1, -1)

    def square(self, image: np.ndarray, out: np.ndarray) -> None:
        """Fit the image into the square, centered."""
        size = self._size(*image.shape)
        if size != image.shape:
            image = np.asarray(Image.fromarray(image).resize(size[::-1], RESAMPLE[self.canvas_resample]))
        top, left = (self.canvas_px - size[0]) // 2, (self.canvas_px - size[1]) // 2
        out[top : top + size[0], left : left + size[1]] = image

    def placement(self, height: int, width: int) -> Placement:
        """The whole image, between black bands where it was padded."""
        size = self._size(height, width)
        return Placement((self.canvas_px - size[0]) // 2, (self.canvas_px - size[1]) // 2, *size, self.canvas_px)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the image on the canvas."""
        if self.fit == "squash":
            return self.canvas_px, self.canvas_px
        ratio = self.canvas_px / max(width, height)
        return max(1, int(height * ratio)), max(1, int(width * ratio))  # truncated, not rounded: as released


def _check(pixels: Sequence[np.ndarray] | np.ndarray) -> Sequence[np.ndarray]:
    if isinstance(pixels, np.ndarray) and pixels.ndim == 2:
        pixels = pixels[None]
    for index, image in enumerate(pixels):
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2 or image.size == 0:
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ModelError(
                f"pixels, image {index}: expected a (height, width) array of uint8, got {got}. "
                "Read files with hilum.imaging.read_image, which gives 8-bit gray pixels."
            )
    return list(pixels)


_POOL: ThreadPoolExecutor | None = None
_POOL_PID: int | None = None


def _threads() -> ThreadPoolExecutor:
    global _POOL, _POOL_PID
    if _POOL is None or os.getpid() != _POOL_PID:
        _POOL, _POOL_PID = ThreadPoolExecutor(min(8, os.cpu_count() or 1)), os.getpid()
    return _POOL
