"""Ribs, clavicles, scapulae and spine of a frontal picture, and broken ribs."""

from __future__ import annotations

import numpy as np

from hilum.sources.phantom.canvas import Box, Ink, Points
from hilum.sources.phantom.scene import SIDES, Scene
from hilum.sources.phantom.signs import SIDE_SIGN, Sign

N_RIBS = 11
BREAK_GAP = (0.0, 0.035, 0.045, 0.055)
BREAK_STEP = (0.0, 0.055, 0.075, 0.095)


def draw_bones(scene: Scene) -> list[tuple[Sign, Box]]:
    """Add the skeleton to the canvas; gives the boxes of the fractures."""
    canvas = scene.canvas
    breaks = [sign for sign in scene.signs if sign.finding == "Fracture"]
    back, front = canvas.ink(), canvas.ink()
    boxes: list[tuple[Sign, Box]] = []
    for side in SIDES:
        for number in range(1, N_RIBS + 1):
            posterior, anterior = rib(scene, side, number)
            width = 0.064 if number > 1 else 0.075
            _fading_bone(front, anterior, width * 1.12)
            broken = [b for b in breaks if b.side == side and number in broken_ribs(b)]
            if broken:
                boxes.append((broken[0], _broken_rib(scene, back, posterior, width, broken[0])))
            else:
                _bone(back, posterior, width, 0.50, 0.86)
    _scapulae(scene, front)
    over_air = np.float32(0.30) + np.float32(0.70) * scene.air  # bone stands out less against soft tissue
    canvas.density += (back.plane(0.8) * np.float32(0.15) + front.plane(1.5) * np.float32(0.12)) * over_air
    shoulders = canvas.ink()
    _clavicles(scene, shoulders)
    _humeri(scene, shoulders)
    canvas.density += shoulders.plane(0.9) * np.float32(0.13)
    _spine(scene)
    return boxes


def rib(scene: Scene, side: str, number: int) -> tuple[Points, Points]:
    """The posterior and the anterior course of a rib as (N, 2) body points; both end at the chest wall."""
    a, outline = scene.anatomy, scene.outline
    y0 = -0.06 + a.rib_spacing * (number - 1) * a.chest_length
    drop = a.rib_drop * (0.55 + 0.075 * min(number, 8))
    end_y = y0 + drop
    reach = float(outline.wall(np.array([end_y]))[0]) + 0.005
    t = np.linspace(0, 1, 28)
    start = 0.075
    x = start + (reach - start) * np.sin(t * np.pi / 2)
    y = y0 - 0.03 * np.sin(t * np.pi) + drop * (0.30 * t + 0.70 * (1 - np.cos(t * np.pi / 2)))
    fall = (0.26 + 0.028 * number) * (1.0 if number > 1 else 0.5)
    tip = 0.34 + 0.02 * max(0, number - 5) ** 1.5 if number > 1 else 0.16
    ax = tip + (reach - tip) * np.cos(t * np.pi / 2)
    ay = y[-1] + fall * (0.45 * t + 0.55 * np.sin(t * np.pi / 2))
    sign = SIDE_SIGN[side]
    turn = outline.turn
    posterior = np.stack([sign * x + turn * 0.3, y], axis=1)
    anterior = np.stack([sign * ax - turn * 0.6, ay], axis=1)
    if number > 9:
        anterior = anterior[: 28 - 9 * (number - 9)]
    return posterior, anterior


def _bone(ink: Ink, path: Points, width: float, fill: float, cortex: float) -> None:
    """A strip along a path with a denser rim (the cortex)."""
    upper, lower = _rails(path, width)
    ink.area(np.concatenate([upper, lower[::-1]]), fill)
    ink.line(upper, 0.010, cortex)
    ink.line(lower, 0.013, cortex * 0.92)


def _fading_bone(ink: Ink, path: Points, width: float) -> None:
    """The anterior part of a rib, which grows faint where it turns into cartilage."""
    upper, lower = _rails(path, width)
    n = len(path)
    for at in range(0, n - 2, 4):
        fade = 1 - 0.85 * (at / n) ** 1.6
        here = slice(at, at + 5)
        ink.area(np.concatenate([upper[here], lower[here][::-1]]), 0.36 * fade)
        ink.line(upper[here], 0.010, 0.46 * fade)
        ink.line(lower[here], 0.012, 0.50 * fade)


def _rails(path: Points, width: float) -> tuple[Points, Points]:
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-9)
    return path + normal * width / 2, path - normal * width / 2


def broken_ribs(sign: Sign) -> tuple[int, ...]:
    """The numbers of the ribs a fracture breaks: two to four neighbors."""
    first = 4 + sign.seed % 3
    return tuple(range(first, first + sign.grade + 1))


def _broken_rib(scene: Scene, ink: Ink, path: Points, width: float, sign: Sign) -> Box:
    """A rib in two pieces that do not meet, with callus around the gap."""
    at = 15 + sign.seed // 7 % 4
    x, y = path[at]
    step = BREAK_STEP[sign.grade]
    inner, outer = path[: at + 1].copy(), path[at:].copy()
    inner[:, 1] -= step / 2 * np.linspace(0, 1, len(inner)) ** 3
    outer[:, 1] += step / 2 * np.linspace(1, 0, len(outer)) ** 2
    outer[0] += BREAK_GAP[sign.grade] * (outer[1] - outer[0]) / np.hypot(*(outer[1] - outer[0]))
    for piece in (inner, outer):
        _bone(ink, piece, width, 0.60, 0.95)
    callus = 0.066 + 0.008 * sign.grade
    box = scene.canvas.box(x - 2.5 * callus, y - 2.5 * callus, x + 2.5 * callus, y + 2.5 * callus)
    part, px, py = scene.canvas.part(box)
    along = (path[at + 1] - path[at - 1]) / np.hypot(*(path[at + 1] - path[at - 1]))
    u = (px - np.float32(x)) * np.float32(along[0]) + (py - np.float32(y)) * np.float32(along[1])
    v = (py - np.float32(y)) * np.float32(along[0]) - (px - np.float32(x)) * np.float32(along[1])
    shape = np.exp(-((u / np.float32(1.25 * callus)) ** 2) - (v / np.float32(0.85 * callus)) ** 2)
    scene.canvas.density[part] += np.float32(0.23 + 0.035 * sign.grade) * shape.astype(np.float32)
    return box


def _clavicles(scene: Scene, ink: Ink) -> None:
    turn, lift = scene.outline.turn, (-0.06 if scene.pose.is_portable else 0.0)
    t = np.linspace(0, 1, 24)
    for side in SIDES:
        x = SIDE_SIGN[side] * (0.10 + 0.88 * t) + turn * 0.8
        y = 0.205 + lift - 0.25 * np.sin(t * 1.45) + 0.022 * np.sin(t * 2 * np.pi)
        width = 0.052 + 0.034 * np.exp(-((t / 0.14) ** 2)) + 0.018 * t**2
        path = np.stack([x, y], axis=1)
        upper, lower = _rails(path, 1.0)
        upper, lower = path + (upper - path) * width[:, None], path + (lower - path) * width[:, None]
        ink.area(np.concatenate([upper, lower[::-1]]), 0.58)
        ink.disc(x[0], y[0], 0.040, 0.58)
        ink.line(upper, 0.011, 1.0)
        ink.line(lower, 0.013, 0.95)


def _scapulae(scene: Scene, ink: Ink) -> None:
    """Blades at the edge of the upper lungs, turned further outwards when the patient could stand (PA)."""
    out = 0.0 if scene.pose.is_portable else 0.12
    for side in SIDES:
        blade = np.array(
            [[0.74, 0.06], [0.70, 0.40], [0.84, 0.86], [0.93, 0.80], [1.08, 0.30], [1.12, 0.10], [0.95, -0.03]]
        )
        blade = (blade + np.array([out, 0.0])) * np.array([SIDE_SIGN[side], 1.0])
        ink.area(blade, 0.26)
        ink.line(blade[2:6], 0.028, 0.52)
        ink.line(blade[:3], 0.012, 0.42)


def _humeri(scene: Scene, ink: Ink) -> None:
    for side in SIDES:
        s = SIDE_SIGN[side]
        shaft = np.array([[1.13, 0.02], [1.30, 0.12], [1.42, 0.9], [1.28, 0.9], [1.16, 0.20]]) * np.array([s, 1.0])
        ink.area(shaft, 0.38)
        ink.line(shaft[1:], 0.02, 0.6)
        ink.disc(s * 1.17, 0.04, 0.115, 0.46)


def _spine(scene: Scene) -> None:
    """Vertebral bodies, spinous processes and pedicles, faint behind the mediastinum."""
    canvas, turn = scene.canvas, scene.outline.turn
    ink = canvas.ink()
    for number in range(-3, 17):
        y = -0.08 + 0.165 * number * scene.anatomy.chest_length
        height, half = 0.145, 0.10 + 0.0022 * max(number, 0)
        corners = np.array(
            [
                [-half, 0],
                [-half * 0.9, height / 2],
                [-half, height],
                [half, height],
                [half * 0.9, height / 2],
                [half, 0],
            ]
        )
        ink.area(corners + np.array([turn * 0.3, y]), 0.42)
        ink.line(np.array([[-half, 0.004], [half, 0.004]]) + np.array([turn * 0.3, y]), 0.012, 0.75)
        ink.line(np.array([[-half, height], [half, height]]) + np.array([turn * 0.3, y]), 0.010, 0.70)
        for sign in (-1, 1):
            ink.disc(sign * 0.058 + turn * 0.3, y + 0.05, 0.017, 0.60)
        ink.area(
            np.array([[-0.013, 0.08], [0.013, 0.08], [0.008, 0.16], [-0.008, 0.16]]) + np.array([-turn * 0.6, y]), 0.7
        )
    canvas.density += ink.plane(1.2) * np.float32(0.085)
