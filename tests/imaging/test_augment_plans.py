"""Plans: what goes in, what comes out, and the same bytes for the same generator."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
import torch

from hilum.errors import UsageError
from hilum.imaging.augment import (
    PLANS,
    HorizontalFlip,
    Pictures,
    RandomResizedCrop,
    ResizeShorter,
    Squash,
    augment,
    augment_with_flips,
    plan,
)

SIDE_PX = 32


def films(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 256, shape, dtype=np.uint8) for shape in ((70, 50), (40, 66), (64, 64), (35, 35))]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("side_px", [17, 64])
def test_every_plan_gives_squares_of_bytes_of_any_side(name: str, side_px: int) -> None:
    out, flips = augment_with_flips(Pictures.stack(films()), plan(name, side_px), side_px, generator())
    assert out.shape == (4, side_px, side_px)
    assert out.dtype == torch.uint8
    assert out.is_contiguous()
    assert flips.shape == (4,)
    assert flips.dtype == torch.bool


@pytest.mark.parametrize("name", PLANS)
def test_one_generator_state_gives_the_same_bytes_and_another_gives_others(name: str) -> None:
    pictures, steps = Pictures.stack(films()), plan(name, SIDE_PX)
    one, again, other = (augment(pictures, steps, SIDE_PX, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", PLANS)
def test_what_one_picture_becomes_does_not_depend_on_the_others(name: str) -> None:
    pictures = films()
    others = [pictures[0], *films(seed=9)[1:3], np.full((90, 45), 30, np.uint8)]
    one, other = (
        augment(Pictures.stack(batch), plan(name, SIDE_PX), SIDE_PX, generator()) for batch in (pictures, others)
    )
    assert torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])


@pytest.mark.parametrize("name", PLANS)
def test_equal_pictures_get_draws_of_their_own(name: str) -> None:
    out = augment(Pictures.stack([films()[0]] * 6), plan(name, SIDE_PX), SIDE_PX, generator())
    assert len({picture.numpy().tobytes() for picture in out}) > 1


@pytest.mark.parametrize("name", PLANS)
def test_mirrored_pictures_are_told(name: str) -> None:
    left = np.full((60, 60), 40, np.uint8)
    left[:, :30] = 200
    out, flips = augment_with_flips(Pictures.stack([left] * 60), plan(name, SIDE_PX), SIDE_PX, generator())
    half = SIDE_PX // 2
    difference = out[:, :, :half].float().mean((1, 2)) - out[:, :, half:].float().mean((1, 2))
    is_clear = difference.abs() > 20  # a crop may lie on one side
    assert is_clear.sum() > 20
    assert torch.equal(difference[is_clear] < 0, flips[is_clear])
    assert bool(flips.any()) == (name not in ("gloria", "cxr-clip"))


def test_pictures_on_their_own_or_larger_canvases_come_out_the_same() -> None:
    steps = plan("moco-cxr", SIDE_PX)
    one, other = (augment(Pictures.stack(films(), px), steps, SIDE_PX, generator()) for px in (None, 200))
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", [name for name in PLANS if name != "cxr-clip"])  # meta has no histograms
def test_a_plan_stays_on_the_device_of_the_pictures(name: str) -> None:
    pictures = Pictures.stack(films()).to("meta")  # a device without data: it refuses tensors of the CPU as a GPU does
    out, flips = augment_with_flips(pictures, plan(name, SIDE_PX), SIDE_PX, generator())
    assert out.device.type == "meta"
    assert flips.device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", PLANS)
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    pictures, steps = Pictures.stack(films()), plan(name, SIDE_PX)
    here, there = (augment(pictures.to(device), steps, SIDE_PX, generator()).cpu() for device in ("cpu", "cuda"))
    assert (here.int() - there.int()).abs().float().mean() < 0.1


def test_no_pictures_give_no_squares() -> None:
    none = Pictures(torch.zeros(0, 9, 9, dtype=torch.uint8), torch.zeros(0, 2, dtype=torch.int64))
    out, flips = augment_with_flips(none, plan("moco_v2", 8), 8, generator())
    assert out.shape == (0, 8, 8)
    assert len(flips) == 0


def test_the_pictures_given_are_not_changed() -> None:
    pictures = Pictures.stack([film[:SIDE_PX, :SIDE_PX] for film in films()])
    before = pictures.pixels.clone()
    for name in PLANS:
        augment(pictures, plan(name, SIDE_PX), SIDE_PX, generator())
    assert torch.equal(pictures.pixels, before)


def test_an_unknown_plan_is_refused_with_the_closest_name() -> None:
    with pytest.raises(
        UsageError, match=r"no augmentation plan 'moco_v3'\. Did you mean 'moco_v[12]'\? Plans: moco-cxr"
    ):
        plan("moco_v3", 224)


def test_a_plan_that_does_not_end_with_squares_says_where_it_ended() -> None:
    with pytest.raises(UsageError, match=r"last step: ResizeShorter\) picture 0 is 44x32 px; expected 32x32"):
        augment(Pictures.stack(films()), (ResizeShorter(SIDE_PX),), SIDE_PX, generator())


@pytest.mark.parametrize(
    ("pixels", "sizes", "text"),
    [
        (torch.zeros(2, 8, 8), torch.ones(2, 2).long(), "expected .N, C, C. uint8"),
        (torch.zeros(2, 8, 8).byte(), torch.ones(3, 2).long(), r"expected \(2, 2\) int64"),
        (torch.zeros(2, 8, 8).byte(), torch.tensor([[8, 8], [9, 2]]), "number 1: its size is 9x2 px"),
    ],
)
def test_pictures_that_do_not_fit_together_are_refused(pixels: torch.Tensor, sizes: torch.Tensor, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Pictures(pixels, sizes)


def test_stacking_refuses_color_and_what_is_larger_than_the_canvas() -> None:
    with pytest.raises(UsageError, match="image 1 is"):
        Pictures.stack([np.zeros((3, 3), np.uint8), np.zeros((3, 3, 3), np.uint8)])
    with pytest.raises(UsageError, match="longer side is 30 px; expected at most canvas_px, 20"):
        Pictures.stack([np.zeros((30, 3), np.uint8)], canvas_px=20)


def test_steps_are_values() -> None:
    assert plan("moco_v2", 224) == plan("moco_v2", 224)
    assert plan("moco_v2", 224) != plan("moco_v2", 112)
    assert len({HorizontalFlip(), HorizontalFlip(0.5), Squash(), RandomResizedCrop()}) == 3


@pytest.mark.parametrize("module", ["apply", "pictures", "plans"])
def test_examples_in_docstrings_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"hilum.imaging.augment.{module}")).failed == 0
