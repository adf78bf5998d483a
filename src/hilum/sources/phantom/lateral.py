"""A left lateral chest radiograph: the patient faces the left edge of the picture.

Lateral body coordinates: x = 0 is the middle of the chest, x < 0 the front; y as in the frontal picture.
"""

from __future__ import annotations

import numpy as np

from hilum.sources.phantom.anatomy import HEART_GROWTH, Anatomy, Pose
from hilum.sources.phantom.canvas import Box, Canvas, Plane, clouds, curve, ramp
from hilum.sources.phantom.film import expose
from hilum.sources.phantom.frontal import Boxes
from hilum.sources.phantom.signs import Sign

FLUID_HEIGHT = (0.0, 0.16, 0.34, 0.62)
DEPTH = {"upper": 0.35, "middle": 0.85, "lower": 1.35, "": 1.0}


def draw_lateral(anatomy: Anatomy, pose: Pose, signs: tuple[Sign, ...] = (), side_px: int = 512) -> tuple[Plane, Boxes]:
    """Draw one left lateral radiograph.

    Args:
        anatomy: the patient.
        pose: positioning; its view is not looked at.
        signs: what is to be seen; signs that a lateral view does not show are left out and get no box.
        side_px: the longer side.

    Returns:
        (H, W) float32 film in [0, 1], and the boxes of the signs in pixels.
    """
    height, width = side_px, round(side_px * 0.84)
    canvas = Canvas(
        height, width, pose.zoom * height / 2.62, width * (0.5 + pose.shift_x), (0.145 + pose.shift_y) * height
    )
    chest = _Chest(anatomy, pose, canvas)
    grades = {sign.finding: sign.grade for sign in signs}
    chest.draw_soft_tissue(HEART_GROWTH[grades.get("Cardiomegaly", 0)])
    boxes: Boxes = []
    for sign in signs:
        box = chest.draw_sign(sign)
        if box:
            boxes.append((sign, box))
    chest.draw_vessels()
    chest.draw_bones()
    return expose(canvas, pose), boxes


class _Chest:
    """One lateral picture while it is being drawn."""

    def __init__(self, anatomy: Anatomy, pose: Pose, canvas: Canvas) -> None:
        self.anatomy, self.pose, self.canvas = anatomy, pose, canvas
        rows, length = canvas.y[:, 0], anatomy.chest_length
        deep = 0.74 + 0.05 * anatomy.fat
        front = [(-0.1, 0.20), (0.0, 0.30), (0.3, 0.50), (0.7, 0.60), (1.1, 0.64), (1.6, 0.62), (2.1, 0.55)]
        back = [(-0.1, 0.16), (0.0, 0.26), (0.25, 0.44), (0.6, 0.60), (1.0, 0.66), (1.5, 0.62), (2.1, 0.50)]
        self.front = -curve([(p * length, v * deep / 0.74) for p, v in front], rows)[:, None]  # (H, 1) sternum side
        self.back = curve([(p * length, v * deep / 0.74) for p, v in back], rows)[:, None]  # (H, 1) spine side
        dome = 1.66 * length + pose.inspiration
        x = canvas.x
        self.dome = (
            dome + 0.32 * np.clip((x + 0.15) / 0.8, 0, 1.2) ** 2 + 0.10 * np.clip((-0.15 - x) / 0.5, 0, 1.2) ** 2
        ).astype(np.float32)
        self.cavity = ramp((x - self.front) / np.float32(0.05)) * ramp((self.back - x) / np.float32(0.06))
        lung = (
            self.cavity
            * ramp((self.dome - canvas.y) / np.float32(0.025))
            * ramp((canvas.y - np.float32(0.08)) / np.float32(0.30))
        )
        self.lung = lung
        self.clear = np.ones_like(lung)

    def draw_soft_tissue(self, heart_growth: float) -> None:
        """Body, arms over the apices, heart, great vessels, diaphragm."""
        canvas, x, y = self.canvas, self.canvas.x, self.canvas.y
        fat = np.float32(0.10 + 0.10 * self.anatomy.fat)
        chest = np.float32(0.20 * self.anatomy.breast) * np.exp(-(((y - np.float32(1.25)) / np.float32(0.35)) ** 2))
        skin_front, skin_back = self.front - fat - chest, self.back + np.float32(0.24)
        shoulder = np.float32(0.55) * ramp((np.float32(0.45) - y) / np.float32(0.6))
        inside = ramp((x - skin_front + shoulder * np.float32(0.2)) / np.float32(0.10)) * ramp(
            (skin_back + shoulder * np.float32(0.3) - x) / np.float32(0.10)
        )
        density = inside * (np.float32(0.50) + np.float32(0.16) * ramp((np.float32(0.30) - y) / np.float32(0.5)))
        density -= self.lung * (np.float32(0.27) + np.float32(0.09) * ramp((y - np.float32(0.4)) / np.float32(1.4)))
        below = ramp((y - self.dome) / np.float32(0.025)) * inside
        density += np.float32(0.20) * below
        size = np.float32(self.anatomy.heart_width * (1 + 0.9 * heart_growth))
        cos, sin, hx, hy = np.float32(0.77), np.float32(0.64), np.float32(0.20), np.float32(1.36)  # it lies aslant
        u, v = (x + hx) * cos + (y - hy) * sin, (y - hy) * cos - (x + hx) * sin
        r = np.sqrt((u / (np.float32(0.50) * size)) ** 2 + (v / (np.float32(0.38) * size)) ** 2)
        density += np.float32(0.22) * ramp((1 - r) / np.float32(0.28)) * self.lung
        self._arch(density)
        tube = ramp((np.float32(0.055) - np.abs(x + np.float32(0.02) - np.float32(0.10) * y)) / np.float32(0.04))
        density -= np.float32(0.10) * tube * ramp((np.float32(0.78) - y) / np.float32(0.1)) * inside
        canvas.density += np.maximum(density, 0)
        rng = np.random.default_rng([self.pose.seed, 21])
        canvas.density += (
            clouds(rng, canvas.height, canvas.width, max(3, canvas.height // 56), 2) * np.float32(0.013) * self.lung
        )

    def _arch(self, density: Plane) -> None:
        """The aortic arch, its descending part, and the hilar vessels."""
        x, y = self.canvas.x, self.canvas.y
        r = np.sqrt((x - np.float32(0.08)) ** 2 + ((y - np.float32(0.72)) * np.float32(1.1)) ** 2)
        arch = np.exp(-(((r - np.float32(0.24)) / np.float32(0.085)) ** 2)) * ramp(
            (np.float32(0.78) - y) / np.float32(0.2)
        )
        density += np.float32(0.07 + 0.05 * self.anatomy.aorta) * arch * self.lung
        for hx, hy, wide, amount in ((0.0, 0.86, 0.11, 0.17), (0.09, 0.98, 0.08, 0.12), (-0.06, 0.98, 0.09, 0.10)):
            density += np.float32(amount) * np.exp(-((x - hx) ** 2 + (y - hy) ** 2) / np.float32(wide**2)).astype(
                np.float32
            )

    def draw_vessels(self) -> None:
        """Both lungs' vessels, one behind the other."""
        rng = np.random.default_rng([self.anatomy.seed, 12])
        ink = self.canvas.ink()
        for degrees in range(0, 360, 20):
            angle = np.deg2rad(degrees + rng.normal(0, 9))
            start = np.array([0.03 + 0.13 * np.cos(angle), 0.95 + 0.17 * np.sin(angle)]) + rng.normal(0, 0.05, 2)
            curl = rng.normal(0, 0.35)
            for twig in range(3):
                lean = angle + (0.0, 0.35, -0.40)[twig] + rng.normal(0, 0.12)
                heading = lean + curl * np.linspace(0, 1, 8)
                steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * rng.uniform(0.4, 0.62) / 8
                path = start + np.cumsum(steps, axis=0) + (0 if twig == 0 else 1) * steps[0] * 2
                ink.line(path[:5], 0.015 - 0.004 * twig, 0.65)
                ink.line(path[4:], 0.008, 0.42)
        self.canvas.density += ink.plane(1.0) * np.float32(0.12) * self.lung * self.clear

    def draw_bones(self) -> None:
        """Sternum, vertebral bodies, and the ribs of both sides."""
        canvas, length = self.canvas, self.anatomy.chest_length
        spine, ribs = canvas.ink(), canvas.ink()
        level = (-0.32 + 0.155 * np.arange(17)) * length
        center = curve(
            [(-0.5, 0.16), (-0.1, 0.19), (0.3, 0.30), (0.8, 0.42), (1.2, 0.45), (1.7, 0.40), (2.2, 0.30)],
            level / length,
        )
        for number, (y, x, slope) in enumerate(zip(level, center, np.gradient(center, level), strict=True)):
            size = 0.78 + 0.018 * number
            body = (
                np.array(
                    [[-0.105, -0.062], [-0.090, 0.0], [-0.105, 0.062], [0.095, 0.062], [0.085, 0.0], [0.095, -0.062]]
                )
                * size
            )
            arch = (
                np.array([[0.09, -0.04], [0.17, -0.03], [0.29, 0.07], [0.27, 0.11], [0.15, 0.045], [0.09, 0.02]]) * size
            )
            tilt = np.array([[1.0, 0.0], [slope, 1.0]])
            body, arch = body @ tilt + np.array([x, y]), arch @ tilt + np.array([x, y])
            spine.area(arch, 0.26)
            spine.area(body, 0.45)
            spine.line(body[[0, 5]], 0.011, 0.85)
            spine.line(body[[2, 3]], 0.011, 0.85)
            if number < 3 or number > 12:
                continue
            for shift in (0.0, 0.055):
                t = np.linspace(0, 1, 18)
                front = float(np.interp(y + 0.5, canvas.y[:, 0], self.front[:, 0]))
                back = float(np.interp(y + 0.1, canvas.y[:, 0], self.back[:, 0]))
                sweep = back + (front + 0.10 - back) * (t**1.1)
                course = np.stack([sweep, y + 0.02 + shift + 0.60 * t - 0.09 * np.sin(t * np.pi)], axis=1)
                ribs.line(course, 0.048, 0.50)
                ribs.line(course, 0.030, 0.32)
        rows = np.linspace(0.28, 1.25, 16)
        edge = np.interp(rows, canvas.y[:, 0], self.front[:, 0])
        sternum = np.concatenate([np.stack([edge - 0.075, rows], 1), np.stack([edge - 0.005, rows], 1)[::-1]])
        spine.area(sternum, 0.50)
        over_air = np.float32(0.25) + np.float32(0.75) * self.lung
        canvas.density += ribs.plane(1.3) * np.float32(0.11) * over_air + spine.plane(1.1) * np.float32(0.12)

    def draw_sign(self, sign: Sign) -> Box | None:
        """Draw one sign where a lateral view shows it; gives its box."""
        canvas, x, y = self.canvas, self.canvas.x, self.canvas.y
        rng = np.random.default_rng([sign.seed, 37])
        if sign.finding == "Cardiomegaly":
            return canvas.box(-0.62, 0.85, 0.35, 1.8)
        if sign.finding == "Pleural Effusion":
            rim = float(self.dome[0, np.argmin(np.abs(x[0] - 0.5))])
            level = (
                np.float32(rim - FLUID_HEIGHT[sign.grade])
                - np.float32(0.14) * np.clip((x - np.float32(0.2)) / np.float32(0.4), 0, 1.2) ** 2
            )
            fluid = ramp((y - level) / np.float32(0.05)) * self.cavity
            canvas.density += fluid * np.maximum(np.float32(0.66) - canvas.density, 0)
            self.clear *= 1 - fluid
            return canvas.box(-0.5, rim - FLUID_HEIGHT[sign.grade] - 0.2, 0.65, rim + 0.05)
        if sign.finding == "Edema":
            haze = np.exp(-((x - 0.02) ** 2 + (y - np.float32(0.98)) ** 2) / np.float32(0.25)).astype(np.float32)
            canvas.density += np.float32(0.06 + 0.05 * sign.grade) * haze * self.lung
            return canvas.box(-0.45, 0.5, 0.5, 1.45)
        blob = {
            "Consolidation": (0.26, 0.20),
            "Pneumonia": (0.26, 0.14),
            "Lung Opacity": (0.30, 0.09),
            "Lung Lesion": (0.08, 0.20),
        }
        if sign.finding not in blob:
            return None
        radius, amount = blob[sign.finding]
        radius *= 0.7 + 0.2 * sign.grade
        cx, cy = rng.uniform(-0.15, 0.35), DEPTH[sign.zone] + rng.normal(0, 0.05)
        box = canvas.box(cx - 1.3 * radius, cy - 1.3 * radius, cx + 1.3 * radius, cy + 1.3 * radius)
        part, px, py = canvas.part(box)
        r = np.sqrt((px - np.float32(cx)) ** 2 + (py - np.float32(cy)) ** 2) / np.float32(radius)
        ragged = sign.finding != "Lung Lesion"
        cloud = clouds(rng, r.shape[0], r.shape[1], max(4, round(0.1 * canvas.px_per_unit)), 2) * np.float32(
            0.22 if ragged else 0.02
        )
        patch = ramp((1 - r) / np.float32(1.0 if ragged else 0.35) + cloud) * ramp((np.float32(1.28) - r) * 6)
        canvas.density[part] += patch * np.float32(amount * (0.7 + 0.15 * sign.grade)) * self.lung[part]
        return box
