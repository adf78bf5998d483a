"""The geometries that image encoders other than CLIP were trained with; after each, (x / 255 - mean) / std."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, Self

import numpy as np
import torch
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from hilum.imaging.area import resize_area
from hilum.models.pixel_statistics import IMAGENET_MEAN, IMAGENET_STD
from hilum.models.placement import Placement
from hilum.models.preprocess import RESAMPLE, Preprocessing

Resample = Literal["lanczos", "bicubic", "bilinear"]


class Scaled(Preprocessing):
    """A square of bytes that is already the tower's input, then (x / 255 - mean) / std for each of three equal channels."""

    canvas_px: int = Field(224, gt=0, description="side of the square, which is the tower's input")
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def square(self, image: np.ndarray, out: np.ndarray) -> None:
        """Write one image (H, W) uint8 into `out` (canvas_px, canvas_px)."""
        out[:] = self.fit(image)

    @abstractmethod
    def fit(self, image: np.ndarray) -> np.ndarray:
        """One image (H, W) uint8 as the square (canvas_px, canvas_px) uint8."""

    def tensor(self, squares: np.ndarray | Tensor) -> Tensor:
        """Squares (N, S, S) uint8, on any device, as the tower's input (N, 3, S, S) float32, on the same."""
        return self.normalize(torch.as_tensor(squares))

    def normalize(self, images: Tensor) -> Tensor:
        """Grays of any side as normalized floats: for squares that an augmentation made, too.

        Args:
            images: (N, S, S) or (N, 3, S, S), uint8 or floats on the 0-255 scale.

        Returns:
            (N, 3, S, S) float32.
        """
        colors = images if images.ndim == 4 else images.unsqueeze(1)  # (N, 1 or 3, S, S)
        values = colors.to(torch.float32) / 255
        one_gray = colors.shape[1] == 1 and len(set(self.mean)) == 1 and len(set(self.std)) == 1
        mean, std = (values.new_tensor(v[:1] if one_gray else v).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return ((values - mean) / std).expand(-1, 3, -1, -1)


class Squash(Scaled):
    """Resize to a square without keeping the aspect, then cut its center out where `resize_px` is larger."""

    kind: Literal["squash"] = "squash"
    resize_px: int | None = Field(None, gt=0, description="side of the resize; none: canvas_px, nothing is cut off")
    resample: Resample = "bilinear"

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Resize, cut the center."""
        side = self.resize_px or self.canvas_px
        return center_crop(_resize(image, (side, side), self.resample), self.canvas_px)

    def placement(self, height: int, width: int) -> Placement:
        """The image as a square, its borders past the canvas where they were cut."""
        side = self.resize_px or self.canvas_px
        return _cropped(side, side, self.canvas_px)


class ShorterSideCrop(Scaled):
    """Resize until the shorter side is `resize_px`, then cut a square out of the center (torchvision's evaluation)."""

    kind: Literal["shorter-side-crop"] = "shorter-side-crop"
    resize_px: int | None = Field(None, gt=0, description="the shorter side; none: canvas_px")
    resample: Resample = "bilinear"

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Resize, cut the center."""
        return center_crop(shorter_side(image, self.resize_px or self.canvas_px, self.resample), self.canvas_px)

    def placement(self, height: int, width: int) -> Placement:
        """The image with both ends of its longer side past the canvas."""
        return _cropped(*_shorter_side_size(height, width, self.resize_px or self.canvas_px), self.canvas_px)


class PadThenResize(Scaled):
    """Pad to a black square around the image, then resize (ConVIRT, released code)."""

    kind: Literal["pad-then-resize"] = "pad-then-resize"
    resample: Resample = "bilinear"

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Pad, resize."""
        return _resize(pad_to_square(image), (self.canvas_px, self.canvas_px), self.resample)

    def placement(self, height: int, width: int) -> Placement:
        """The image between black bands."""
        side = max(height, width)
        scale = self.canvas_px / side
        top, left = (side - height) // 2 * scale, (side - width) // 2 * scale
        return Placement(top, left, height * scale, width * scale, self.canvas_px)


class LongerSidePadCrop(Scaled):
    """Resize by area until the longer side is `resize_px`, pad to a black square, cut its center out (GLoRIA, released code)."""

    kind: Literal["longer-side-pad-crop"] = "longer-side-pad-crop"
    resize_px: int = Field(256, gt=0, description="the longer side, and the side of the padded square")

    @model_validator(mode="after")
    def _crop_lies_inside(self) -> Self:
        if self.canvas_px > self.resize_px:
            raise ValueError(f"canvas_px={self.canvas_px} is larger than resize_px={self.resize_px}")
        return self

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Resize, pad, cut the center."""
        return center_crop(self.padded(image), self.canvas_px)

    def padded(self, image: np.ndarray) -> np.ndarray:
        """The square before the cut (resize_px, resize_px): what training crops at random."""
        return pad_to_square(resize_area(image, self._size(*image.shape)))

    def placement(self, height: int, width: int) -> Placement:
        """The image with the ends of its longer side past the canvas, and of the shorter one where it is nearly as long."""
        size, cut = self._size(height, width), crop_start(self.resize_px, self.canvas_px)
        top, left = (self.resize_px - size[0]) // 2 - cut, (self.resize_px - size[1]) // 2 - cut
        return Placement(top, left, *size, self.canvas_px)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the image before it is padded."""
        ratio = self.resize_px / max(height, width)
        size = (max(1, int(height * ratio)), max(1, int(width * ratio)))
        return (self.resize_px, size[1]) if height >= width else (size[0], self.resize_px)


def shorter_side(image: np.ndarray, side_px: int, resample: Resample = "bilinear") -> np.ndarray:
    """Resize (H, W) uint8 until the shorter side is `side_px`; the longer one is truncated, as torchvision does."""
    height, width = image.shape
    return _resize(image, _shorter_side_size(height, width, side_px)[::-1], resample)


def center_crop(image: np.ndarray, side_px: int) -> np.ndarray:
    """The middle (side_px, side_px) of an image, black where it is smaller; rounded as torchvision does."""
    height, width = image.shape
    if height < side_px or width < side_px:
        rows, columns = max(side_px - height, 0), max(side_px - width, 0)
        image = np.pad(image, ((rows // 2, (rows + 1) // 2), (columns // 2, (columns + 1) // 2)))
        height, width = image.shape
    top, left = crop_start(height, side_px), crop_start(width, side_px)
    return image[top : top + side_px, left : left + side_px]


def crop_start(length: int, side_px: int) -> int:
    """Where `center_crop` begins along a side of `length`; negative where it pads."""
    if length < side_px:
        return -((side_px - length) // 2)
    return round((length - side_px) / 2)  # Python's round: halves to even


def pad_to_square(image: np.ndarray) -> np.ndarray:
    """Black around the shorter side, half of it before (rounded down) and half after."""
    height, width = image.shape
    side = max(height, width)
    rows, columns = side - height, side - width
    return np.pad(image, ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)))


def _shorter_side_size(height: int, width: int, side_px: int) -> tuple[int, int]:
    """(height, width) after `shorter_side`."""
    return (int(side_px * height / width), side_px) if height >= width else (side_px, int(side_px * width / height))


def _cropped(height: int, width: int, canvas_px: int) -> Placement:
    """An image of (height, width) whose center was cut out."""
    return Placement(-crop_start(height, canvas_px), -crop_start(width, canvas_px), height, width, canvas_px)


def _resize(image: np.ndarray, size: tuple[int, int], resample: Resample) -> np.ndarray:
    """Pillow's resize to (width, height)."""
    if size == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(Image.fromarray(image).resize(size, RESAMPLE[resample]))
