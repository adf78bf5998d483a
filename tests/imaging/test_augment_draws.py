"""What is drawn at random has the distributions of torchvision's and the papers' code."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from benchmarks.augmentation import papers_way
from PIL import Image
from scipy.stats import chisquare, ks_2samp, kstest
from torchvision import transforms as T

from hilum.imaging.augment import (
    Affine,
    Clahe,
    GaussianBlur,
    HorizontalFlip,
    Jitter,
    Pictures,
    RandomCrop,
    RandomErasing,
    RandomScaledCrop,
    Rotate,
    augment,
    blur,
    clahe,
    jitter,
    plan,
)
from hilum.imaging.augment.boxes import random_boxes
from hilum.imaging.augment.draft import Draft

COUNT = 2000
LEAST_P = 1e-3  # seeds are fixed: a test fails where a distribution is wrong, not by chance


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same_distribution(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return float(ks_2samp(ours, theirs).pvalue) > LEAST_P


def flat(height: int, width: int, level: int = 100, count: int = COUNT) -> Pictures:
    canvas = torch.zeros(1, max(height, width), max(height, width), dtype=torch.uint8)
    canvas[:, :height, :width] = level
    return Pictures(canvas.expand(count, -1, -1), torch.tensor([[height, width]]).expand(count, 2))


@pytest.mark.parametrize(
    ("shape", "scale", "ratio"),
    [
        ((384, 320), (0.2, 1.0), (3 / 4, 4 / 3)),  # MoCo v2
        ((300, 384), (0.05, 1.0), (0.6, 1.0)),  # REFERS
        ((384, 384), (0.8, 1.1), (3 / 4, 4 / 3)),  # CXR-CLIP
        ((40, 384), (0.5, 1.0), (3 / 4, 4 / 3)),  # no box fits: the middle
        ((384, 40), (0.5, 1.0), (3 / 4, 4 / 3)),
    ],
)
def test_boxes_are_drawn_as_torchvision_draws_them(
    shape: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    heights, widths = (np.full(COUNT, length) for length in shape)
    ours = np.stack(random_boxes(heights, widths, scale, ratio, generator()), 1)
    torch.manual_seed(1)
    image = torch.zeros(1, *shape)
    theirs = np.array([T.RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(COUNT)])
    for measure in (
        lambda b: b[:, 2] * b[:, 3],
        lambda b: b[:, 3] / b[:, 2],
        lambda b: b[:, 0],
        lambda b: b[:, 1],
        lambda b: b[:, 0] + b[:, 2],
    ):
        assert same_distribution(measure(ours), measure(theirs))


def test_flips_happen_with_their_probability_and_differ_between_pictures() -> None:
    draft = Draft(flat(8, 8))
    HorizontalFlip(0.3).apply(draft, 8, generator())
    assert abs(draft.mirrored.mean() - 0.3) < 4 * (0.3 * 0.7 / COUNT) ** 0.5


def test_angles_are_uniform_to_both_sides() -> None:
    draft = Draft(flat(8, 8))
    Rotate(10).apply(draft, 8, generator())
    angles = np.rad2deg(np.arctan2(draft._matrix[:, 1], draft._matrix[:, 0]))
    assert kstest(angles, "uniform", (-10, 20)).pvalue > LEAST_P


def test_affine_draws_are_torchvisions() -> None:
    draft = Draft(flat(200, 300))
    Affine(20, (0.1, 0.05), (0.95, 1.05), p=0.95).apply(draft, 200, generator())
    matrix = draft._matrix
    changed = ~np.isclose(matrix, [1, 0, 0, 0, 1, 0]).all(1)
    assert abs(changed.mean() - 0.95) < 0.015
    scales = 1 / np.hypot(matrix[:, 0], matrix[:, 1])
    angles = np.rad2deg(np.arctan2(matrix[:, 1], matrix[:, 0]))
    centers = matrix[:, [2, 5]] + np.einsum("nij,j->ni", matrix.reshape(-1, 2, 3)[:, :, :2], [150, 100])
    # The picture's center is read where the shift, scaled and turned back, has left it.
    back = np.einsum("nij,nj->ni", np.linalg.inv(matrix.reshape(-1, 2, 3)[:, :, :2]), [150, 100] - centers)
    torch.manual_seed(1)
    drawn = [T.RandomAffine.get_params([-20, 20], [0.1, 0.05], [0.95, 1.05], None, [300, 200]) for _ in range(COUNT)]
    assert same_distribution(angles[changed], np.array([d[0] for d in drawn]))
    assert same_distribution(back[changed, 0].round(), np.array([d[1][0] for d in drawn]))
    assert same_distribution(back[changed, 1].round(), np.array([d[1][1] for d in drawn]))
    assert same_distribution(scales[changed], np.array([d[2] for d in drawn]))


def test_places_of_a_random_crop_are_all_equally_probable() -> None:
    width = 40
    ramp = torch.arange(width, dtype=torch.uint8).expand(COUNT, width, width)
    pictures = Pictures(ramp, torch.tensor([[width - 8, width]]).expand(COUNT, 2))
    lefts = augment(pictures, (RandomCrop(),), width - 8, generator())[:, 0, 0]
    assert chisquare(torch.bincount(lefts.long(), minlength=9).numpy()).pvalue > LEAST_P


def test_scaled_crops_are_the_originals() -> None:
    draft = Draft(flat(373, 448))
    RandomScaledCrop((0.6, 1.0), p=0.95).apply(draft, 224, generator())
    rng, sizes, lefts = random.Random(1), [], []
    for _ in range(COUNT):
        share = rng.uniform(0.6, 1.0) if rng.random() < 0.95 else 1.0
        width = int(448 * share)
        sizes.append(width)
        lefts.append(rng.randrange(448 - width) if width < 448 else 0)
    assert same_distribution(draft.widths, np.array(sizes))
    assert same_distribution(draft._columns.first, np.array(lefts))
    assert np.array_equal(draft.widths == 448, draft.heights == 373)


def test_jitter_draws_factors_uniformly_and_both_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def spy(pixels: torch.Tensor, *drawn: np.ndarray) -> torch.Tensor:
        seen.extend(drawn)
        return pixels

    monkeypatch.setattr(jitter, "jittered", spy)
    Jitter(0.4, 1.5, p=0.8).apply(Draft(flat(2, 2)), 2, generator())
    brightness, contrast, brightness_first = seen[:3]
    assert abs(len(brightness) / COUNT - 0.8) < 0.03
    assert kstest(brightness, "uniform", (0.6, 0.8)).pvalue > LEAST_P
    assert kstest(contrast, "uniform", (0.0, 2.5)).pvalue > LEAST_P
    assert abs(brightness_first.mean() - 0.5) < 0.04


@pytest.mark.parametrize(
    ("module", "function", "step", "low", "high"),
    [
        (blur, "pillow_blur", GaussianBlur((0.1, 2.0), p=0.5), 0.1, 2.0),
        (clahe, "equalized", Clahe((1, 4), p=0.5), 1, 4),
    ],
)
def test_strengths_are_uniform_and_half_of_the_pictures_chosen(
    module: object, function: str, step: GaussianBlur, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray | torch.Tensor] = []

    def spy(pixels: torch.Tensor, strength: np.ndarray | torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(strength)
        return pixels

    monkeypatch.setattr(module, function, spy)
    step.apply(Draft(flat(8, 8)), 8, generator())
    assert abs(len(seen[0]) / COUNT - 0.5) < 0.04
    assert kstest(np.asarray(seen[0]), "uniform", (low, high - low)).pvalue > LEAST_P


def test_erased_rectangles_are_torchvisions() -> None:
    count = 1500
    erased = augment(flat(40, 40, 0, count), (RandomErasing(p=1, level=255),), 40, generator()) > 0
    tall, wide = erased.any(2).sum(1).numpy(), erased.any(1).sum(1).numpy()
    torch.manual_seed(1)
    image = torch.zeros(1, 40, 40)
    drawn = np.array([T.RandomErasing.get_params(image, (0.02, 0.33), (0.3, 3.3), [0.0])[2:4] for _ in range(count)])
    assert same_distribution(tall * wide, drawn[:, 0] * drawn[:, 1])
    assert same_distribution(tall / wide, drawn[:, 0] / drawn[:, 1])


@pytest.mark.parametrize("name", ["moco-cxr", "moco_v1", "moco_v2", "moco_v2-chexpert", "s2mts2", "convirt"])
def test_a_whole_plan_gives_pictures_distributed_as_the_papers_loop_gives_them(name: str) -> None:
    side_px, count = 28, 300
    y, x = np.mgrid[:60, :48]
    picture = np.clip(90 + x + 50 * ((x - 14) ** 2 + (y - 30) ** 2 < 120), 0, 255).astype(np.uint8)
    ours = augment(Pictures.stack([picture] * count), plan(name, side_px), side_px, generator()).numpy()
    loop, image = papers_way(name, side_px), Image.fromarray(picture).convert("RGB")
    torch.manual_seed(1)
    random.seed(1)
    theirs = np.stack([loop(image)[0].numpy() for _ in range(count)])
    half, rng = side_px // 2, np.random.default_rng(2)
    for measure in (
        lambda p: p.mean((1, 2)),
        lambda p: p.std((1, 2)),
        lambda p: p[:, :, :half].mean((1, 2)) - p[:, :, half:].mean((1, 2)),
        lambda p: p[:, :half].mean((1, 2)) - p[:, half:].mean((1, 2)),
        lambda p: (p == 0).mean((1, 2)),
        lambda p: np.abs(np.diff(p.astype(float), axis=2)).mean((1, 2)),
    ):
        # One picture gives tight groups of values, which a level of rounding moves: a quarter of their spread hides that.
        spread = rng.normal(0, measure(theirs).std() / 4, (2, count))
        assert same_distribution(measure(ours) + spread[0], measure(theirs) + spread[1])
