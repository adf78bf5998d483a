"""The geometries of preprocessing: rounding as in the originals, and the same value after saving."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torchvision.transforms import v2

from hilum.models.pixel_statistics import CHEXPERT_MEAN, CHEXPERT_STD, HALF_MEAN, HALF_STD, IMAGENET_MEAN, IMAGENET_STD
from hilum.models.preprocess_kinds import (
    LongerSidePadCrop,
    PadThenResize,
    Scaled,
    ShorterSideCrop,
    Squash,
    center_crop,
    pad_to_square,
)
from hilum.models.registry import PREPROCESSES

KINDS: list[Scaled] = [
    Squash(canvas_px=24, resize_px=28),
    ShorterSideCrop(canvas_px=24, resize_px=28, mean=CHEXPERT_MEAN, std=CHEXPERT_STD),
    PadThenResize(canvas_px=24),
    LongerSidePadCrop(canvas_px=24, resize_px=28, mean=HALF_MEAN, std=HALF_STD),
]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(50, 70), (71, 50), (33, 33), (20, 90), (28, 40), (24, 25)])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize_px", [29, 24, 20])
def test_shorter_side_crop_equals_torchvision(shape: tuple[int, int], resample: str, resize_px: int) -> None:
    image = picture(*shape)
    theirs = v2.Compose([v2.Resize(resize_px, v2.InterpolationMode(resample)), v2.CenterCrop(24), v2.PILToTensor()])(
        Image.fromarray(image)
    )
    ours = ShorterSideCrop(canvas_px=24, resize_px=resize_px, resample=resample).squares(image)
    assert np.array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("shape", [(50, 70), (71, 50), (28, 28)])
def test_squash_equals_torchvision(shape: tuple[int, int]) -> None:
    image = picture(*shape)
    theirs = v2.Compose([v2.Resize((28, 28)), v2.CenterCrop(24), v2.PILToTensor()])(Image.fromarray(image))
    assert np.array_equal(Squash(canvas_px=24, resize_px=28).squares(image), theirs.numpy())


def test_padding_puts_the_odd_line_after_the_image() -> None:
    padded = pad_to_square(np.full((4, 7), 9, np.uint8))
    assert padded.shape == (7, 7)
    assert (padded[1:5] == 9).all()
    assert (padded[[0, 5, 6]] == 0).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_a_center_crop_is_always_a_square(height: int, width: int, side: int) -> None:
    image = picture(height, width)
    theirs = v2.functional.center_crop(torch.from_numpy(image)[None], [side, side])[0]
    assert np.array_equal(center_crop(image, side), theirs.numpy())


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.kind)
def test_every_kind_is_saved_and_read_back(kind: Scaled) -> None:
    assert PREPROCESSES[kind.kind].model_validate(kind.model_dump(mode="json")) == kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.kind)
@pytest.mark.parametrize("shape", [(90, 60), (60, 91), (28, 28), (10, 13), (1, 5), (5, 1)])
def test_every_kind_makes_squares_of_any_image(kind: Scaled, shape: tuple[int, int]) -> None:
    squares = kind.squares([picture(*shape), picture(*shape, seed=1)])
    images = kind.tensor(squares)
    assert (squares.shape, squares.dtype) == ((2, 24, 24), np.uint8)
    assert (images.shape, images.dtype) == ((2, 3, 24, 24), torch.float32)
    expected = (torch.from_numpy(squares[1]) / 255 - kind.mean[2]) / kind.std[2]
    assert torch.allclose(images[1, 2], expected, atol=1e-6)


def test_squares_of_training_are_normalized_like_those_of_evaluation() -> None:
    kind = ShorterSideCrop(canvas_px=24)
    squares = torch.from_numpy(kind.squares([picture(40, 40)]))
    augmented = squares.float().unsqueeze(1).expand(-1, 3, -1, -1)
    assert torch.equal(kind.normalize(augmented), kind.tensor(squares))
    assert kind.normalize(torch.zeros(2, 31, 31, dtype=torch.uint8)).shape == (2, 3, 31, 31)
    black = kind.normalize(torch.zeros(1, 2, 2))[0, :, 0, 0]
    assert torch.allclose(black, -torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD))


def test_a_crop_larger_than_the_padded_square_is_refused() -> None:
    with pytest.raises(ValidationError, match="canvas_px=224 is larger than resize_px=200"):
        LongerSidePadCrop(resize_px=200)
