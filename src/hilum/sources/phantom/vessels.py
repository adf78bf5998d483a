"""The branching vessels of the lungs and the hila they come from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hilum.sources.phantom.canvas import Ink, Points
from hilum.sources.phantom.scene import SIDES, Scene
from hilum.sources.phantom.signs import SIDE_SIGN

# degrees below the horizontal, reach, width, curl
TRUNKS = (
    (-74, 0.66, 0.024, 0.25),
    (-52, 0.72, 0.021, 0.25),
    (-28, 0.66, 0.018, 0.15),
    (-6, 0.62, 0.017, 0.10),
    (16, 0.66, 0.019, -0.10),
    (36, 0.78, 0.023, -0.20),
    (54, 0.88, 0.027, -0.25),
    (72, 0.92, 0.034, -0.30),
    (86, 0.80, 0.026, -0.25),
)
MAX_DEPTH = 4
N_STEPS = 7


def draw_vessels(scene: Scene) -> None:
    """Add hila and vessels where the lung still shows them (`scene.clear`); edema makes them broad and indistinct."""
    canvas = scene.canvas
    ink = canvas.ink()
    for side in SIDES:
        draw_tree(scene, ink, side)
        _hilum_shadow(scene, side)
    haze = scene.blurred_vessels
    soft = ink.plane((0.65 + 2.4 * haze) * canvas.height / 512)
    canvas.density += soft * np.float32(0.23 + 0.15 * haze) * scene.lungs * scene.clear


def hilum(scene: Scene, side: str) -> tuple[float, float]:
    """Where the vessels of one lung come from; the left hilum stands a little higher."""
    y = (0.88 if side == "left" else 0.95) * scene.anatomy.chest_length + 0.3 * scene.pose.inspiration
    x = float(scene.outline.mediastinum(side, np.array([y]))[0])
    return SIDE_SIGN[side] * max(0.18, min(x, 0.30)), y


def _hilum_shadow(scene: Scene, side: str) -> None:
    """The soft comma of the great vessels beside the heart."""
    x, y = hilum(scene, side)
    sign = SIDE_SIGN[side]
    box = scene.canvas.box(x - 0.25, y - 0.25, x + 0.25, y + 0.42)
    part, px, py = scene.canvas.part(box)
    shadow = np.zeros((len(py), px.shape[1]), np.float32)
    for dx, dy, wide, high, amount in ((0.0, -0.02, 0.10, 0.13, 0.13), (0.035, 0.13, 0.07, 0.15, 0.12)):
        across = np.exp(-(((px - np.float32(x + sign * dx)) / np.float32(wide)) ** 2))
        shadow += np.float32(amount) * across * np.exp(-(((py - np.float32(y + dy)) / np.float32(high)) ** 2))
    scene.canvas.density[part] += shadow * scene.lungs[part] * scene.clear[part]


def draw_tree(scene: Scene, ink: Ink, side: str) -> None:
    """The vessels of one lung, branching towards the wall and thinning out before it."""
    courses, widths, strengths = _tree(scene.anatomy.seed, side)
    ink.lines(courses + np.array(hilum(scene, side)), widths, strengths)


@lru_cache(maxsize=8)
def _tree(seed: int, side: str) -> tuple[Points, list[float], list[float]]:
    """The vessels of one lung around its hilum at (0, 0): (M, N, 2) courses, M widths, M strengths; level by level."""
    rng = np.random.default_rng([seed, 11, int(side == "left")])
    sign = SIDE_SIGN[side]
    degrees, reach, width, curl = np.array(TRUNKS, dtype=float).T
    n = len(degrees)
    start = np.stack([-sign * rng.uniform(0.04, 0.10, n), 0.0027 * degrees - 0.02 + rng.normal(0, 0.02, n)], axis=1)
    angle = np.deg2rad(degrees + rng.normal(0, 5, n))
    curl, reach = curl + rng.normal(0, 0.1, n), reach * rng.uniform(0.9, 1.1, n)
    strength = np.where(degrees > 20, 0.95, 0.75)  # upright, the lower lobes carry more blood
    courses, widths, strengths = [], [], []
    for depth in range(MAX_DEPTH + 1):
        n = len(angle)
        angles = angle[:, None] + curl[:, None] * np.linspace(0, 1, N_STEPS) + rng.normal(0, 0.05, (n, N_STEPS))
        step = reach[:, None] * (0.46 if depth == 0 else 0.40) / N_STEPS
        moves = np.stack([sign * np.cos(angles) * step, np.sin(angles) * step], axis=2)  # (n, N_STEPS, 2)
        points = start[:, None] + np.cumsum(moves, axis=1)
        courses.append(np.concatenate([start[:, None], points], axis=1))
        widths.append(width)
        strengths.append(strength)
        turn = rng.uniform(0.25, 0.55, n)
        turns = np.concatenate([turn, -turn * rng.uniform(0.5, 1.1, n)])
        start, angle = np.tile(points[:, -1], (2, 1)), np.tile(angles[:, -1], 2) + turns
        curl, reach = rng.normal(0, 0.22, 2 * n), np.tile(reach, 2) * rng.uniform(0.70, 0.85, 2 * n)
        width, strength = np.concatenate([width * 0.72, width * 0.66]), np.tile(strength * 0.80, 2)
    return np.concatenate(courses), np.concatenate(widths).tolist(), np.concatenate(strengths).tolist()
