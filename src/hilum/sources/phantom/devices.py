"""Support devices of a frontal picture: pacemaker, endotracheal tube, central line, chest tube, sternal wires."""

from __future__ import annotations

import numpy as np

from hilum.sources.phantom.canvas import Box, Ink, Points
from hilum.sources.phantom.scene import Scene
from hilum.sources.phantom.signs import SIDE_SIGN, Sign

KINDS = ("pacemaker", "endotracheal tube", "central line", "chest tube", "sternal wires")


def draw_device(scene: Scene, sign: Sign, ink: Ink) -> list[Box]:
    """Draw one device on the layer of metal; gives its box."""
    s = SIDE_SIGN.get(sign.side, 1.0)
    rng = np.random.default_rng([sign.seed, 51])
    if sign.kind == "pacemaker":
        points = _pacemaker(ink, rng, s)
    elif sign.kind == "endotracheal tube":
        points = _tube_in_trachea(ink, rng)
    elif sign.kind == "central line":
        points = _central_line(ink, rng, s)
    elif sign.kind == "chest tube":
        points = _chest_tube(scene, ink, rng, s)
    else:
        points = _wires(ink, rng)
    (x0, y0), (x1, y1) = points.min(axis=0) - 0.03, points.max(axis=0) + 0.03
    return [scene.canvas.box(x0, y0, x1, y1)]


def _smooth(knots: list[tuple[float, float]], n: int = 40) -> Points:
    """A curve through a few points."""
    k = np.array(knots)
    t = np.linspace(0, len(k) - 1, n)
    i = np.clip(t.astype(int), 0, len(k) - 2)
    f = (t - i)[:, None]
    before, after = k[np.clip(i - 1, 0, None)], k[np.clip(i + 2, None, len(k) - 1)]
    a, b = k[i], k[i + 1]
    return 0.5 * (
        2 * a + (b - before) * f + (2 * before - 5 * a + 4 * b - after) * f**2 + (3 * a - before - 3 * b + after) * f**3
    )


def _pacemaker(ink: Ink, rng: np.random.Generator, s: float) -> Points:
    x, y = s * rng.uniform(0.60, 0.68), 0.24 + rng.normal(0, 0.03)
    angle = np.linspace(0, 2 * np.pi, 40)
    shape = np.stack(
        [
            np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.6 * 0.125,
            np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.6 * 0.105,
        ],
        axis=1,
    )
    case = shape + np.array([x, y])
    ink.area(case, 0.86)
    ink.line(case, 0.012, 1.0)
    ink.area(shape * 0.45 + np.array([x, y + 0.03]), 1.0)
    port = (x - s * 0.08, y - 0.10)
    atrial = _smooth(
        [port, (s * 0.40, 0.05), (s * 0.12, 0.22), (-0.13, 0.55), (-0.17, 1.0), (-0.20, 1.28), (-0.08, 1.22)]
    )
    ventricular = _smooth(
        [
            port,
            (s * 0.40, 0.03),
            (s * 0.10, 0.21),
            (-0.11, 0.55),
            (-0.14, 1.05),
            (-0.06, 1.45),
            (0.18, 1.60),
            (0.33, 1.58),
        ]
    )
    for lead in (atrial, ventricular):
        ink.line(lead, 0.014, 0.85)
        ink.line(lead[-3:], 0.022, 1.0)
    return np.concatenate([case, atrial, ventricular])


def _tube_in_trachea(ink: Ink, rng: np.random.Generator) -> Points:
    tip = rng.uniform(0.40, 0.58)
    path = _smooth([(0.03, -0.42), (0.0, -0.2), (0.008, 0.1), (0.0, tip)])
    for shift in (-0.028, 0.028):
        ink.line(path + np.array([shift, 0]), 0.012, 0.62)
    ink.line(path + np.array([0.012, 0]), 0.014, 1.0)
    gastric = _smooth([(-0.05, -0.42), (-0.035, 0.1), (-0.01, 0.8), (0.05, 1.5), (0.16, 1.9), (0.36, 2.05)])
    ink.line(gastric, 0.018, 0.80)
    return np.concatenate([path, gastric])


def _central_line(ink: Ink, rng: np.random.Generator, s: float) -> Points:
    tip = rng.uniform(0.80, 1.02)
    if rng.random() < 0.5:
        knots = [(s * 0.34, -0.42), (s * 0.24, -0.15), (s * 0.13, 0.18), (-0.12, 0.5), (-0.16, tip)]
    else:
        knots = [(s * 1.15, 0.30), (s * 0.80, 0.14), (s * 0.45, 0.12), (s * 0.14, 0.26), (-0.12, 0.52), (-0.16, tip)]
    path = _smooth(knots)
    ink.line(path, 0.024, 1.0)
    return path


def _chest_tube(scene: Scene, ink: Ink, rng: np.random.Generator, s: float) -> Points:
    wall = scene.anatomy.chest_width
    path = _smooth(
        [
            (s * (wall + 0.22), 1.60),
            (s * (wall - 0.04), 1.38),
            (s * (wall - 0.16), 1.0),
            (s * 0.62, 0.55),
            (s * 0.42, 0.20 + rng.normal(0, 0.03)),
        ]
    )
    for shift in (-0.025, 0.025):
        ink.line(path + np.array([shift, 0]), 0.010, 0.55)
    ink.line(path[:22], 0.018, 1.0)
    ink.line(path[24:], 0.018, 1.0)
    return path


def _wires(ink: Ink, rng: np.random.Generator) -> Points:
    loops = []
    for number in range(6):
        y = 0.32 + 0.20 * number + rng.normal(0, 0.012)
        lean, wide = rng.normal(0, 0.2), rng.uniform(0.042, 0.055)
        angle = np.linspace(0.5, 2 * np.pi - 0.5, 20) + np.pi / 2
        loop = np.stack([wide * np.cos(angle), 0.026 * np.sin(angle) + lean * wide * np.cos(angle)], axis=1)
        loop = loop + np.array([rng.normal(0, 0.006), y])
        ink.line(loop, 0.016, 1.0)
        ink.line(np.array([loop[0], loop[-1] + np.array([0.012, 0.03])]), 0.014, 1.0)
        loops.append(loop)
    return np.concatenate(loops)
