"""The branching vessels of the lungs and the hila they come from."""

from __future__ import annotations

import numpy as np

from hilum.sources.phantom.canvas import Ink, Plane, Points
from hilum.sources.phantom.scene import SIDES, Scene
from hilum.sources.phantom.signs import SIDE_SIGN

TRUNKS = ((-72, 0.62), (-40, 0.70), (-12, 0.62), (14, 0.66), (38, 0.80), (60, 0.85), (80, 0.72))  # degrees below horizontal, reach


def draw_vessels(scene: Scene) -> None:
    """Add hila and vessels where the lung still shows them (`scene.clear`); edema makes them broad and indistinct."""
    ink = scene.canvas.ink()
    for side in SIDES:
        draw_tree(scene, ink, side)
    blur = 0.8 + 2.2 * scene.blurred_vessels
    sharp = ink.plane(blur * scene.canvas.height / 512)
    amount = np.float32(0.30 + 0.10 * scene.blurred_vessels)
    scene.canvas.density += sharp * amount * scene.lungs * scene.clear


def hilum(scene: Scene, side: str) -> tuple[float, float]:
    """Where the vessels of one lung come from; the left hilum stands a little higher."""
    y = (0.93 if side == "left" else 1.0) * scene.anatomy.chest_length + 0.3 * scene.pose.inspiration
    x = float(scene.outline.mediastinum(side, np.array([y]))[0])
    return SIDE_SIGN[side] * max(0.17, x - 0.02), y


def draw_tree(scene: Scene, ink: Ink, side: str) -> None:
    """The vessels of one lung, branching towards the wall and thinning out before it."""
    rng = np.random.default_rng([scene.anatomy.seed, 11, int(side == "left")])
    x, y = hilum(scene, side)
    sign = SIDE_SIGN[side]
    for degrees, reach in TRUNKS:
        angle = np.deg2rad(degrees + rng.normal(0, 6))
        strength = 0.95 if degrees > 0 else 0.72  # upright, the lower lobes carry more blood
        _branch(ink, rng, np.array([x, y]), sign, angle, reach * rng.uniform(0.85, 1.1), 0.040, strength, 0)
    for _ in range(3):
        ink.disc(x + sign * rng.uniform(-0.01, 0.06), y + rng.normal(0, 0.06), rng.uniform(0.03, 0.05), 0.75)


def _branch(
    ink: Ink, rng: np.random.Generator, start: Points, sign: float, angle: float, reach: float, width: float, strength: float, depth: int
) -> None:
    n = 5
    bend = rng.normal(0, 0.16)
    angles = angle + bend * np.linspace(0, 1, n)
    step = reach * (0.5 if depth == 0 else 0.45) / n
    moves = np.stack([sign * np.cos(angles), np.sin(angles)], axis=1) * step
    points = np.concatenate([start[None], start + np.cumsum(moves, axis=0)])
    ink.line(points, width, strength)
    if depth == 4 or width < 0.006:
        return
    turn = rng.uniform(0.22, 0.5)
    for direction, thinner in ((turn, 0.70), (-turn * rng.uniform(0.5, 1.0), 0.66)):
        _branch(ink, rng, points[-1], sign, angles[-1] + direction, reach * 0.80, width * thinner, strength * 0.83, depth + 1)


def texture(scene: Scene, fine: Plane) -> None:
    """The faint reticular texture of lung tissue."""
    scene.canvas.density += fine * np.float32(0.010) * scene.lungs
