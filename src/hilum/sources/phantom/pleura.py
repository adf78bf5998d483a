"""Signs of the pleural space: fluid, air and thickening."""

from __future__ import annotations

import numpy as np

from hilum.sources.phantom.canvas import Box, clouds, ramp, soft_min
from hilum.sources.phantom.opacities import WATER
from hilum.sources.phantom.scene import Scene
from hilum.sources.phantom.signs import SIDE_SIGN, Sign

FLUID_HEIGHT = (0.0, 0.20, 0.46, 0.85)  # above the costophrenic angle
AIR_GAP = (0.0, 0.10, 0.17, 0.30)


def draw_effusion(scene: Scene, sign: Sign) -> list[Box]:
    """Fluid that blunts the angle and climbs the wall in a meniscus; supine, it lies as a veil behind the lung."""
    boxes = []
    canvas, y = scene.canvas, scene.canvas.y
    for side in sign.sides:
        away = scene.away
        angle_y = scene.outline.dome(side) + 0.27
        height = FLUID_HEIGHT[sign.grade]
        inner = np.float32(0.2)
        across = np.clip((away - inner) / np.float32(0.95 * scene.anatomy.chest_width - 0.2), 0, 1.1)  # (1, W)
        climb = 0.26 * across**3 + 0.05 * (1 - across) ** 2
        level = np.float32(angle_y - 0.72 * height) - climb.astype(np.float32) * np.float32(0.55 + 0.6 * height)
        soft = np.float32(0.06 if scene.pose.view != "ap_supine" else 0.30)
        fluid = ramp((y - level) / soft) * scene.half[side] * ramp((scene.wall - away) * np.float32(25))
        fluid *= ramp((away - scene.inner[side] + np.float32(0.03)) * np.float32(25))
        fluid *= ramp((np.float32(angle_y + 0.05) - y) * np.float32(8))
        share = np.float32(0.95 if scene.pose.view != "ap_supine" else 0.75)
        canvas.density += fluid * share * np.maximum(WATER + np.float32(0.03) - canvas.density, 0)
        scene.clear *= 1 - fluid * np.float32(0.95)
        scene.air *= 1 - fluid * np.float32(0.8)
        if scene.pose.view == "ap_supine":
            veil = scene.half[side] * ramp((y - np.float32(0.35)) / np.float32(0.9))
            canvas.density += np.float32(0.05 + 0.045 * sign.grade) * veil * scene.lungs
        top = angle_y - 0.72 * height - 0.31 * (0.55 + 0.6 * height)
        s = SIDE_SIGN[side]
        boxes.append(canvas.box(s * 0.22, top, s * scene.anatomy.chest_width, angle_y + 0.05))
    return boxes


def draw_pneumothorax(scene: Scene, sign: Sign) -> list[Box]:
    """Air between wall and lung: a thin pleural line and, beyond it, black without vessels."""
    boxes = []
    canvas, y, away = scene.canvas, scene.canvas.y, scene.away
    gap = AIR_GAP[sign.grade]
    for side in sign.sides:
        lung_wall = scene.wall - np.float32(gap) * np.clip(np.float32(1.35) - np.float32(0.55) * y, 0.15, 1.4)  # (H, 1)
        lung_top = (
            scene.outline.apex(canvas.x) + np.float32(1.15 * gap) + np.float32(0.5) * (away - np.float32(0.35)) ** 2
        )
        depth = soft_min(lung_wall - away, y - lung_top)  # how far inside the collapsed lung
        beyond = ramp(-depth * np.float32(1 / 0.012)) * scene.lungs * scene.half[side]
        line = np.exp(-((depth / np.float32(0.0085)) ** 2)) * scene.lungs * scene.half[side]
        canvas.density -= beyond * np.float32(0.11)
        canvas.density += line * np.float32(0.17)
        canvas.density += (scene.lungs * scene.half[side] - beyond) * np.float32(0.02 * sign.grade)
        scene.clear *= 1 - beyond
        s = SIDE_SIGN[side]
        boxes.append(canvas.box(s * 0.2, 0.0, s * scene.anatomy.chest_width, 1.35))
    return boxes


def draw_thickening(scene: Scene, sign: Sign) -> list[Box]:
    """A lobulated band of pleura along the wall and over the apex."""
    boxes = []
    canvas, y, away = scene.canvas, scene.canvas.y, scene.away
    for side in sign.sides:
        rng = np.random.default_rng([sign.seed, 41, int(side == "left")])
        thick = (0.065, 0.095, 0.13)[sign.grade - 1]
        lumps = 1 + 0.30 * clouds(rng, canvas.height, 1, max(6, canvas.height // 7), 1)
        reach = ramp((np.float32(1.55) - y) * np.float32(4))
        band = ramp((away - (scene.wall - np.float32(thick) * lumps * reach)) * np.float32(1 / 0.02))
        top = scene.outline.apex(canvas.x) + np.float32(1.1 * thick)
        band = np.maximum(band, ramp((top - y) * np.float32(1 / 0.03))) * scene.half[side] * scene.lungs
        canvas.density += band * np.float32((0.24, 0.29, 0.33)[sign.grade - 1])
        scene.clear *= 1 - band * np.float32(0.7)
        s = SIDE_SIGN[side]
        boxes.append(canvas.box(s * 0.3, 0.0, s * (scene.anatomy.chest_width + 0.02), 1.6))
    return boxes
