"""Signs that lie in the lungs and the pleura: each function draws one sign and gives its boxes."""

from __future__ import annotations

import numpy as np

from hilum.sources.phantom.canvas import Box, Plane, clouds, ramp
from hilum.sources.phantom.scene import Scene
from hilum.sources.phantom.signs import SIDE_SIGN, Sign

WATER = np.float32(0.66)  # density of a lung filled with fluid
DOWN = {"upper": 0.24, "middle": 0.55, "lower": 0.80, "": 0.6}


def draw_consolidation(scene: Scene, sign: Sign) -> list[Box]:
    """A dense, ill-defined lobar patch with air bronchograms."""
    boxes = []
    for side in sign.sides:
        rng = np.random.default_rng([sign.seed, 31, int(side == "left")])
        across, down = rng.uniform(0.40, 0.58), DOWN[sign.zone] + rng.normal(0, 0.03)
        x, y = scene.outline.spot(side, across, down)
        rx, ry = (0.25, 0.33, 0.40)[sign.grade - 1], (0.20, 0.28, 0.38)[sign.grade - 1]
        box, part, patch = _patch(scene, rng, x, y, rx, ry, edge=0.85, lumps=0.17)
        bronchi = scene.canvas.ink()
        root = np.array([[x - SIDE_SIGN[side] * rx * 0.8, y - ry * 0.4]])
        t = np.linspace(0, 1, 7)[:, None]
        for spread in (-0.6, -0.15, 0.25, 0.6):
            end = np.array([[x + SIDE_SIGN[side] * rx * rng.uniform(0.2, 0.5), y + ry * spread]])
            bronchi.line(root * (1 - t) + end * t + np.array([[0.0, 0.04]]) * np.sin(t * np.pi), 0.016, 1.0)
        air = bronchi.plane(1.0)[part]
        strength = np.float32((0.70, 0.84, 0.94)[sign.grade - 1])
        _fill(scene, part, patch * strength * (1 - np.float32(0.45) * air), WATER)
        boxes.append(box)
    return boxes


def draw_pneumonia(scene: Scene, sign: Sign) -> list[Box]:
    """Patchy bronchopneumonia: many fluffy foci that run into each other around one place."""
    boxes = []
    for side in sign.sides:
        rng = np.random.default_rng([sign.seed, 32, int(side == "left")])
        x, y = scene.outline.spot(side, rng.uniform(0.45, 0.6), DOWN[sign.zone] - 0.03)
        reach = 0.24 + 0.05 * sign.grade
        parts: list[Box] = []
        for _ in range(10 + 4 * sign.grade):
            fx, fy = x + rng.uniform(-0.85, 0.85) * reach, y + rng.uniform(-1, 1) * reach
            size = rng.uniform(0.05, 0.105) * (0.9 + 0.15 * sign.grade)
            box, part, patch = _patch(scene, rng, fx, fy, size * 1.2, size, edge=1.5, lumps=0.30)
            _fill(scene, part, patch * np.float32((0.32, 0.38, 0.45)[sign.grade - 1]), WATER)
            parts.append(box)
        boxes.append(_around(parts))
    return boxes


def draw_opacity(scene: Scene, sign: Sign) -> list[Box]:
    """A hazy, ground-glass veil over a zone; vessels still show through."""
    boxes = []
    for side in sign.sides:
        rng = np.random.default_rng([sign.seed, 33, int(side == "left")])
        x, y = scene.outline.spot(side, rng.uniform(0.5, 0.65), DOWN[sign.zone])
        box, part, patch = _patch(scene, rng, x, y, 0.30, 0.27, edge=0.9, lumps=0.2)
        veil = patch * np.float32((0.15, 0.20, 0.26)[sign.grade - 1]) * scene.lungs[part]
        scene.canvas.density[part] += veil
        boxes.append(box)
    return boxes


def draw_lesion(scene: Scene, sign: Sign) -> list[Box]:
    """A round nodule or, when severe, a lobulated mass."""
    boxes = []
    for side in sign.sides:
        rng = np.random.default_rng([sign.seed, 34])
        radius = (0.085, 0.12, 0.175)[sign.grade - 1]
        x, y = scene.outline.spot(side, rng.uniform(0.38, 0.7), DOWN[sign.zone] + rng.normal(0, 0.03))
        box = scene.canvas.box(x - 1.4 * radius, y - 1.4 * radius, x + 1.4 * radius, y + 1.4 * radius)
        part, px, py = scene.canvas.part(box)
        dx, dy = px - np.float32(x), py - np.float32(y)
        angle = np.arctan2(dy, dx)
        lobes = np.float32(0.06) * np.sin(2 * angle + sign.seed % 6) + np.float32(0.03) * np.sin(
            5 * angle + sign.seed % 5
        )
        r = np.sqrt(dx * dx + dy * dy) / np.float32(radius) - lobes
        ball = ramp((1 - r) * np.float32(radius / 0.045)) * (
            np.float32(0.72) + np.float32(0.28) * np.sqrt(np.clip(1 - r * r, 0, 1))
        )
        scene.canvas.density[part] += (
            ball * np.float32((0.29, 0.35, 0.40)[sign.grade - 1]) * np.maximum(scene.lungs[part], 0.3)
        )
        scene.clear[part] *= 1 - np.float32(0.7) * np.minimum(ball, 1)
        boxes.append(box)
    return boxes


def draw_edema(scene: Scene, sign: Sign) -> list[Box]:
    """Perihilar haze on both sides, indistinct vessels, septal lines at the bases."""
    rng = np.random.default_rng([sign.seed, 35])
    canvas = scene.canvas
    amount = (0.13, 0.20, 0.28)[sign.grade - 1]
    y0 = 1.05
    haze = np.exp(-(((canvas.y - y0) / 0.48) ** 2)) * np.exp(-(((scene.away - 0.30) / 0.36) ** 2))
    lumps = np.clip(1 + 0.35 * clouds(rng, canvas.height, canvas.width, max(6, canvas.height // 20)), 0.2, 2)
    canvas.density += np.float32(amount) * haze.astype(np.float32) * lumps * scene.lungs
    scene.blurred_vessels = (0.45, 0.75, 1.0)[sign.grade - 1]
    lines = canvas.ink()
    for side in ("right", "left"):
        for number in range(4 + 2 * sign.grade):
            y = 1.28 + 0.045 * number + rng.normal(0, 0.008)
            outer = float(scene.outline.wall(np.array([y]))[0]) - 0.02
            ends = np.array([[outer, y], [outer - rng.uniform(0.06, 0.10), y + rng.normal(0, 0.01)]])
            lines.line(ends * np.array([SIDE_SIGN[side], 1.0]), 0.008, 0.8)
    canvas.density += lines.plane(0.7) * np.float32(0.11) * scene.lungs
    return [canvas.box(SIDE_SIGN[s] * 0.12, 0.45, SIDE_SIGN[s] * 0.85, 1.65) for s in ("right", "left")]


def draw_atelectasis(scene: Scene, sign: Sign) -> list[Box]:
    """Plate-like bands above a raised dome (the outline already stands higher), and crowding."""
    boxes = []
    for side in sign.sides:
        rng = np.random.default_rng([sign.seed, 36, int(side == "left")])
        ink = scene.canvas.ink()
        parts = []
        for number in range(1 + sign.grade):
            x, y = scene.outline.spot(side, rng.uniform(0.40, 0.62), 0.91 - 0.07 * number + rng.normal(0, 0.01))
            half, tilt, bow = rng.uniform(0.17, 0.27), rng.normal(0, 0.16), rng.normal(0.012, 0.012)
            t = np.linspace(-1, 1, 9)
            middle = np.stack([x + half * t, y + half * tilt * t + bow * (1 - t * t)], axis=1)
            thick = (0.012 + 0.006 * sign.grade) * np.sqrt(np.clip(1.05 - t * t, 0, 1)) * rng.uniform(0.75, 1.25, 9)
            rail = np.stack([np.zeros(9), thick], axis=1)
            ink.area(np.concatenate([middle + rail, (middle - rail)[::-1]]), rng.uniform(0.75, 1.0))
            parts.append(scene.canvas.box(x - half, y - 0.06, x + half, y + 0.06))
        box = _around(parts)
        part = (slice(box[1], box[3]), slice(box[0], box[2]))
        scene.canvas.density[part] += ink.plane(1.5)[part] * np.float32(0.18 + 0.04 * sign.grade) * scene.lungs[part]
        x, y = scene.outline.spot(side, 0.45, 0.97)
        base, inside, patch = _patch(scene, rng, x, y, 0.40, 0.16, edge=0.9, lumps=0.2)
        scene.canvas.density[inside] += patch * np.float32(0.05 + 0.04 * sign.grade) * scene.lungs[inside]
        boxes.append(_around([box, base]))
    return boxes


def _patch(
    scene: Scene, rng: np.random.Generator, x: float, y: float, rx: float, ry: float, edge: float, lumps: float
) -> tuple[Box, tuple[slice, slice], Plane]:
    """A soft ellipse with a cloudy border: its box, its slices and its shape in [0, 1]."""
    box = scene.canvas.box(x - 1.35 * rx, y - 1.35 * ry, x + 1.35 * rx, y + 1.35 * ry)
    part, px, py = scene.canvas.part(box)
    r = np.sqrt(((px - np.float32(x)) / np.float32(rx)) ** 2 + ((py - np.float32(y)) / np.float32(ry)) ** 2)
    cell = max(4, round(0.12 * scene.canvas.px_per_unit))
    cloud = clouds(rng, r.shape[0], r.shape[1], cell) * np.float32(lumps)
    return (
        box,
        part,
        ramp((np.float32(1.0) - r) / np.float32(edge) + cloud) * ramp((np.float32(1.3) - r) * np.float32(5)),
    )


def _fill(scene: Scene, part: tuple[slice, slice], share: Plane, level: np.float32) -> None:
    """Replace a share of the air by tissue of a level; vessels drown in it."""
    amount = share * np.minimum(np.float32(1.8) * scene.lungs[part], 1)  # so that the heart's border drowns too
    density = scene.canvas.density[part]
    scene.canvas.density[part] = density + amount * np.maximum(level - density, 0)
    scene.clear[part] *= 1 - np.float32(0.85) * share
    scene.air[part] *= 1 - np.float32(0.6) * share


def _around(boxes: list[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)
