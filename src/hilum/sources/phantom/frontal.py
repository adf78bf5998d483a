"""A frontal chest radiograph, drawn from anatomy, pose and signs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hilum.sources.phantom.anatomy import Anatomy, Pose
from hilum.sources.phantom.bones import draw_bones
from hilum.sources.phantom.canvas import Box, Plane, clouds, ramp
from hilum.sources.phantom.devices import draw_device
from hilum.sources.phantom.film import expose
from hilum.sources.phantom.opacities import (
    draw_atelectasis,
    draw_consolidation,
    draw_edema,
    draw_lesion,
    draw_opacity,
    draw_pneumonia,
)
from hilum.sources.phantom.pleura import draw_effusion, draw_pneumothorax, draw_thickening
from hilum.sources.phantom.scene import SIDES, Scene
from hilum.sources.phantom.signs import SIDE_SIGN, Sign
from hilum.sources.phantom.vessels import draw_vessels

# In drawing order: what lies behind first. Hearts, mediastina and raised domes are already in the outline.
DRAWERS: dict[str, Callable[[Scene, Sign], list[Box]]] = {
    "Edema": draw_edema,
    "Lung Opacity": draw_opacity,
    "Consolidation": draw_consolidation,
    "Pneumonia": draw_pneumonia,
    "Lung Lesion": draw_lesion,
    "Atelectasis": draw_atelectasis,
    "Pleural Other": draw_thickening,
    "Pneumothorax": draw_pneumothorax,
    "Pleural Effusion": draw_effusion,
}

Boxes = list[tuple[Sign, Box]]


def draw_frontal(anatomy: Anatomy, pose: Pose, signs: tuple[Sign, ...] = (), side_px: int = 512) -> tuple[Plane, Boxes]:
    """Draw one frontal radiograph.

    Args:
        anatomy: the patient.
        pose: view (pa, ap, ap_supine) and positioning.
        signs: what is to be seen.
        side_px: the longer side.

    Returns:
        (H, W) float32 film in [0, 1], white is dense; and the box of each sign in pixels.

    Example:
        >>> film, boxes = draw_frontal(Anatomy.random(1), Pose(), (Sign("Cardiomegaly"),), side_px=128)
        >>> film.shape, boxes[0][0].finding
        ((128, 115), 'Cardiomegaly')
    """
    scene = Scene(anatomy, pose, signs, side_px)
    canvas = scene.canvas
    boxes: Boxes = [(sign, box) for sign in signs for box in _outline_boxes(scene, sign)]
    _soft_tissue(scene)
    for finding, draw in DRAWERS.items():
        for sign in signs:
            if sign.finding == finding:
                boxes += [(sign, box) for box in draw(scene, sign)]
    draw_vessels(scene)
    boxes += draw_bones(scene)
    _breast(scene)
    metal = canvas.ink()
    devices = [sign for sign in signs if sign.finding == "Support Devices"]
    for sign in devices:
        boxes += [(sign, box) for box in draw_device(scene, sign, metal)]
    if devices:
        shine = metal.plane(0.6)
        canvas.density += shine * np.maximum(np.float32(1.02) - canvas.density, 0) * np.float32(0.85)
    return expose(canvas, pose), boxes


def _soft_tissue(scene: Scene) -> None:
    """Skin to lungs: body, neck and shoulders, mediastinum, abdomen, air of trachea and stomach."""
    canvas, y, away = scene.canvas, scene.canvas.y, scene.away
    a = scene.anatomy
    wall = scene.wall
    flank = (
        np.float32(1.02) * wall
        + np.float32(0.10 + 0.10 * a.fat)
        + np.float32(0.9) * ramp((np.float32(0.5) - y) / np.float32(0.75))
    )
    neck = np.float32(0.29) + np.float32(0.04) * ramp((y + np.float32(0.3)) / np.float32(0.4))
    trapezius = np.float32(-0.06) - np.float32(0.33) * np.exp((np.float32(0.28) - away) / np.float32(0.30))
    covered = np.maximum(ramp((y - trapezius) / np.float32(0.07)), ramp((neck - away) / np.float32(0.08)))
    inside = ramp((flank - away) / np.float32(0.10)) * covered
    depth = np.float32(0.40 + 0.07 * a.fat) + np.float32(0.10) * ramp((flank - away) / np.float32(0.5))
    depth -= np.float32(0.10) * ramp(
        (np.float32(0.05) - y + np.float32(0.2) * (away - 1)) / np.float32(0.4)
    )  # thin on top
    density = depth * inside
    center = np.exp(-((away / np.float32(0.30)) ** 4))
    density += np.float32(0.215) * center * inside
    below = ramp((y - scene.dome) / np.float32(0.025)) * ramp((wall + np.float32(0.04) - away) / np.float32(0.12))
    density += below * (np.float32(0.20) - np.float32(0.13) * center)
    heart = np.zeros_like(density)
    for side in SIDES:
        core = ramp((scene.inner[side] - away) / np.float32(0.16)) * scene.half[side]
        heart += core * (np.float32(0.5) + np.float32(0.5) * ramp((y - np.float32(0.85)) / np.float32(0.8)))
    density += np.float32(0.10) * heart * (1 - below)
    air = np.float32(0.27) + np.float32(0.07) * ramp(
        (np.float32(0.7) - np.abs(away - np.float32(0.62))) / np.float32(0.7)
    )
    density -= scene.lungs * (air + np.float32(0.10) * ramp((away - scene.inner["left"]) / np.float32(0.1)))
    density = np.maximum(density, np.float32(0.0))
    _trachea(scene, density)
    _stomach(scene, density, below)
    canvas.density += density
    rng = scene.rng(21)
    canvas.density += clouds(rng, canvas.height, canvas.width, max(8, canvas.height // 8)) * np.float32(0.010)
    canvas.density += (
        clouds(rng, canvas.height, canvas.width, max(3, canvas.height // 56), 2) * np.float32(0.013) * scene.lungs
    )


def _stomach(scene: Scene, density: Plane, below: Plane) -> None:
    """The air bubble under the left dome, flat below where the patient stood."""
    rng = scene.rng(22)
    x, y = scene.canvas.x, scene.canvas.y
    size, lean = rng.uniform(0.6, 1.25), rng.normal(0, 0.05)
    cy = scene.outline.dome("left") + 0.05 + 0.085 * size
    bubble = ((x - np.float32(0.42 + lean)) / np.float32(0.19 * size)) ** 2 + (
        (y - np.float32(cy)) / np.float32(0.085 * size)
    ) ** 2
    air = ramp((1 - bubble) / np.float32(0.45))
    if scene.pose.view != "ap_supine":
        air *= ramp((np.float32(cy + 0.035 * size) - y) / np.float32(0.02))
    density -= np.float32(0.17) * air * below


def _trachea(scene: Scene, density: Plane) -> None:
    x, y = scene.canvas.x, scene.canvas.y
    middle = scene.outline.turn * 0.7 - 0.02 * ramp((y - np.float32(0.3)) / np.float32(0.3))
    tube = ramp((np.float32(0.056) - np.abs(x - middle)) / np.float32(0.03)) * ramp(
        (np.float32(0.70) - y) / np.float32(0.12)
    )
    density -= np.float32(0.11) * tube
    for side, slope in (("right", 1.25), ("left", 0.8)):
        along = (x - middle) * np.float32(SIDE_SIGN[side])
        bronchus = ramp(
            (np.float32(0.036) - np.abs(y - np.float32(0.66) - along * np.float32(slope))) / np.float32(0.05)
        )
        density -= (
            np.float32(0.035)
            * bronchus
            * ramp(along / np.float32(0.06))
            * ramp((np.float32(0.20) - along) / np.float32(0.14))
        )


def _breast(scene: Scene) -> None:
    if scene.anatomy.breast <= 0:
        return
    canvas = scene.canvas
    size = np.float32(0.36 + 0.12 * scene.anatomy.breast)
    for side in SIDES:
        cx, cy = SIDE_SIGN[side] * 0.60, 1.38 + 0.10 * scene.anatomy.breast
        r = np.sqrt(
            ((canvas.x - np.float32(cx)) / size) ** 2 + ((canvas.y - np.float32(cy)) / (size * np.float32(1.0))) ** 2
        )
        fold = ramp((1 - r) * np.float32(4)) * ramp((canvas.y - np.float32(cy - 0.35)) / np.float32(0.6))
        canvas.density += fold * np.float32(0.07 * scene.anatomy.breast)


def _outline_boxes(scene: Scene, sign: Sign) -> list[Box]:
    """Boxes of the signs that are a changed outline."""
    outline, at = scene.outline, np.linspace(0.2, 1.7, 40)
    right, left = outline.mediastinum("right", at), outline.mediastinum("left", at)
    if sign.finding == "Cardiomegaly":
        low = at > 0.95
        return [scene.canvas.box(-float(right[low].max()), 0.9, float(left[low].max()), 1.85)]
    if sign.finding == "Enlarged Cardiomediastinum":
        high = at < 0.85
        return [scene.canvas.box(-float(right[high].max()), 0.15, float(left[high].max()), 0.9)]
    return []
