"""Crops, resizes, flips and rotations of a batch: those of Pillow, torchvision and OpenCV, picture by picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as TF

from hilum.imaging.augment import (
    CenterCrop,
    PadToSquare,
    Pictures,
    RandomCrop,
    ResizeLonger,
    ResizeShorter,
    Squash,
    Step,
    augment,
)
from hilum.imaging.augment.axis import Axis
from hilum.imaging.augment.draft import Draft
from hilum.imaging.augment.nearest import affine, rotation
from hilum.imaging.augment.resampling import resample

BILINEAR = Image.Resampling.BILINEAR
SHAPES = ((61, 47), (40, 64), (64, 64), (33, 20))


def film(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Waves, a bright disk and noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).normal(0, 20, (height, width))
    disk = 60 * ((x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2)
    return np.clip(100 + 60 * np.sin(x / 5 + seed) * np.cos(y / 7) + disk + noise, 0, 255).astype(np.uint8)


FILMS = [film(*shape, seed) for seed, shape in enumerate(SHAPES)]


def longs(*values: int) -> np.ndarray:
    return np.array(values)


def pictures_of(draft: Draft) -> list[np.ndarray]:
    pixels = draft.pixels().numpy()
    for canvas, h, w in zip(pixels, draft.heights.tolist(), draft.widths.tolist(), strict=True):
        assert not canvas[h:].any()
        assert not canvas[:, w:].any()
    return [p[:h, :w] for p, h, w in zip(pixels, draft.heights.tolist(), draft.widths.tolist(), strict=True)]


def furthest(ours: np.ndarray, theirs: np.ndarray | Image.Image) -> int:
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    return int(np.abs(ours.astype(int) - theirs).max())


def run(*steps: Step, side_px: int = 40, films: list[np.ndarray] = FILMS) -> Draft:
    draft = Draft(Pictures.stack(films))
    for step in steps:
        step.apply(draft, side_px, torch.Generator().manual_seed(0))
    return draft


@pytest.mark.parametrize("size", [(24, 24), (31, 17), (90, 70)])
def test_boxes_of_different_sizes_are_resized_as_pillow_crops_and_resizes_them(size: tuple[int, int]) -> None:
    boxes = [(3, 5, 44, 30), (0, 0, 40, 64), (20, 1, 9, 60), (32, 0, 1, 20)]  # top, left, height, width
    draft = Draft(Pictures.stack(FILMS))
    draft.window(*(longs(*column) for column in zip(*boxes, strict=True)))
    draft.resize(np.full(4, size[0]), np.full(4, size[1]), "triangle")
    draft.mirror(np.array([False, True, False, True]))
    for number, (ours, (top, left, height, width)) in enumerate(zip(pictures_of(draft), boxes, strict=True)):
        cropped = Image.fromarray(FILMS[number]).crop((left, top, left + width, top + height))
        theirs = np.asarray(cropped.resize((size[1], size[0]), BILINEAR))
        assert furthest(ours, theirs[:, ::-1] if number % 2 else theirs) <= 1


@pytest.mark.parametrize("px", [20, 47, 100])
def test_resize_shorter_has_torchvisions_sizes_and_levels(px: int) -> None:
    for ours, picture in zip(pictures_of(run(ResizeShorter(px))), FILMS, strict=True):
        assert furthest(ours, TF.resize(Image.fromarray(picture), px, BILINEAR)) <= 1


def test_resize_longer_keeps_the_aspect_and_truncates() -> None:
    sizes = [picture.shape for picture in pictures_of(run(ResizeLonger(32)))]
    assert sizes == [(32, 24), (20, 32), (32, 32), (32, 19)]


def test_squash_is_pillows_resize() -> None:
    for ours, picture in zip(pictures_of(run(Squash())), FILMS, strict=True):
        assert furthest(ours, Image.fromarray(picture).resize((40, 40), BILINEAR)) <= 1


def test_padding_to_a_square_comes_into_the_resize_as_black() -> None:
    for ours, picture in zip(pictures_of(run(PadToSquare(), Squash())), FILMS, strict=True):
        side, (height, width) = max(picture.shape), picture.shape
        square = np.zeros((side, side), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = picture
        assert furthest(ours, Image.fromarray(square).resize((40, 40), BILINEAR)) <= 1


@pytest.mark.parametrize("side_px", [20, 39, 63, 80])
def test_center_crop_is_torchvisions_with_smaller_pictures_padded(side_px: int) -> None:
    for ours, picture in zip(pictures_of(run(CenterCrop(), side_px=side_px)), FILMS, strict=True):
        assert furthest(ours, TF.center_crop(Image.fromarray(picture), [side_px, side_px])) == 0


@pytest.mark.parametrize("angle", [0.0, 3.7, -10.0, 45.0, 171.0])
def test_rotation_picks_the_pixels_that_torchvision_picks(angle: float) -> None:
    draft = Draft(Pictures.stack(FILMS))
    angles = np.full(4, angle)
    draft.turn(rotation(angles, draft.heights, draft.widths))
    for ours, picture in zip(pictures_of(draft), FILMS, strict=True):
        assert furthest(ours, TF.rotate(Image.fromarray(picture), angle)) == 0


@pytest.mark.parametrize(
    ("angle", "right", "down", "scale"), [(20.0, 3, -5, 1.05), (-7.5, 0, 0, 0.95), (0.3, -6, 2, 1.0)]
)
def test_affine_picks_the_pixels_that_torchvision_picks(angle: float, right: int, down: int, scale: float) -> None:
    draft = Draft(Pictures.stack(FILMS))
    values = (np.full(4, float(v)) for v in (angle, right, down, scale))
    draft.turn(affine(*values, draft.heights, draft.widths))
    for ours, picture in zip(pictures_of(draft), FILMS, strict=True):
        theirs = TF.affine(Image.fromarray(picture), angle, [right, down], scale, [0.0, 0.0])
        assert furthest(ours, theirs) == 0


def test_crop_and_flip_after_a_rotation_are_those_of_the_rotated_picture() -> None:
    draft = Draft(Pictures.stack(FILMS))
    draft.turn(rotation(np.full(4, 8.0), draft.heights, draft.widths))
    draft.window(longs(1, 2, 3, 4), longs(4, 3, 2, 1), longs(20, 20, 25, 20), longs(15, 18, 18, 18))
    draft.mirror(np.array([True, False, True, False]))
    boxes = [(1, 4, 20, 15), (2, 3, 20, 18), (3, 2, 25, 18), (4, 1, 20, 18)]
    for number, (ours, (top, left, height, width)) in enumerate(zip(pictures_of(draft), boxes, strict=True)):
        theirs = np.asarray(TF.rotate(Image.fromarray(FILMS[number]), 8.0))[top : top + height, left : left + width]
        assert furthest(ours, theirs if number % 2 else theirs[:, ::-1]) == 0


@pytest.mark.parametrize("filter", ["area", "linear"])
def test_area_and_linear_filters_are_opencvs(filter: str, golden: Path) -> None:
    with np.load(golden / "opencv" / "arrays.npz") as arrays:
        cases = sorted(key.removesuffix("_in") for key in arrays if key.startswith("resize") and key.endswith("_in"))
        for case in cases:
            source, theirs = arrays[f"{case}_in"], arrays[f"{case}_{filter}"]
            rows, columns = (
                Axis.whole(longs(old)).resized(longs(new)) for old, new in zip(source.shape, theirs.shape, strict=True)
            )
            ours = resample(torch.from_numpy(source)[None], rows, columns, filter)
            assert furthest(ours[0].numpy(), theirs) <= 1
    assert cases


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("crop"), st.floats(0, 1), st.floats(0, 1), st.floats(0.3, 1)),
        st.tuples(st.just("pad"), st.integers(0, 5), st.integers(0, 5)),
        st.tuples(st.just("mirror")),
        st.tuples(st.just("resize"), st.integers(8, 40), st.integers(8, 40)),
        st.tuples(st.just("turn"), st.floats(-30, 30)),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(moves=MOVES)
def test_collected_moves_come_to_the_same_as_moves_made_at_once(moves: list[tuple]) -> None:
    films = [film(24, 17, 1), film(15, 30, 2)]
    collected, at_once = (Draft(Pictures.stack(films)) for _ in range(2))
    for move in moves:
        for draft in (collected, at_once):
            make(draft, *move)
        at_once.pixels()
    resizes = sum(move[0] == "resize" for move in moves)
    for one, other in zip(pictures_of(collected), pictures_of(at_once), strict=True):
        assert furthest(one, other) <= resizes
    assert np.array_equal(collected.mirrored, at_once.mirrored)


def make(draft: Draft, kind: str, *how: float) -> None:
    """One move of both pictures; the second moves a little differently."""
    heights, widths = draft.heights, draft.widths
    if kind == "crop":
        new = [np.maximum((lengths * how[2]).astype(int), 1) for lengths in (heights, widths)]
        starts = [((old - n) * share).astype(int) for old, n, share in zip((heights, widths), new, how, strict=False)]
        draft.window(*starts, *new)
    elif kind == "pad":
        more = how[0] + longs(0, 1), how[1] + longs(1, 0)
        draft.window(-more[0], -more[1], heights + 2 * more[0], widths + more[1])
    elif kind == "mirror":
        draft.mirror(np.array([True, False]))
    elif kind == "resize":
        draft.resize(longs(int(how[0]), int(how[1])), longs(int(how[1]), int(how[0]) + 3), "triangle")
    else:
        draft.turn(rotation(np.array([how[0], -how[0]], float), heights, widths))


def test_a_picture_comes_out_the_same_whatever_else_is_in_the_batch() -> None:
    steps = (ResizeShorter(30), PadToSquare(), Squash(), CenterCrop())
    generator = torch.Generator()
    together = augment(Pictures.stack([*FILMS, film(200, 150)]), steps, 24, generator)
    for number, picture in enumerate(FILMS):
        assert torch.equal(augment(Pictures.stack([picture]), steps, 24, generator)[0], together[number])


def test_random_crop_of_a_smaller_picture_says_which_and_what_to_do() -> None:
    with pytest.raises(Exception, match=r"picture 0 is 61x47 px here; expected at least 50 .* Put ResizeShorter\(50\)"):
        run(RandomCrop(), side_px=50)
