"""The frontal picture while it is being drawn: canvas, borders, and the two lungs as masks."""

from __future__ import annotations

import numpy as np

from hilum.sources.phantom.anatomy import Anatomy, Outline, Pose
from hilum.sources.phantom.canvas import Canvas, Plane, ramp
from hilum.sources.phantom.signs import Sign

SIDES = ("right", "left")
UNITS_HIGH = 2.62  # body units from the upper to the lower edge of a film


class Scene:
    """What the parts of a frontal drawing share."""

    def __init__(self, anatomy: Anatomy, pose: Pose, signs: tuple[Sign, ...], side_px: int) -> None:
        self.anatomy, self.pose, self.signs = anatomy, pose, signs
        wide, high = (1.0, 0.86) if pose.is_portable else (0.9, 1.0)
        height, width = round(side_px * high), round(side_px * wide)
        per_unit = pose.zoom * min(width / 2.42, height / (2.36 if pose.is_portable else UNITS_HIGH))
        apex_y = ((0.115 if pose.is_portable else 0.145) + pose.shift_y) * height
        self.canvas = Canvas(height, width, per_unit, width * (0.5 + pose.shift_x), apex_y)
        self.outline = Outline(anatomy, pose, signs)
        self.away = np.abs(self.canvas.x)  # (1, W) distance from the midline
        self.half = {"right": self.canvas.x < 0, "left": self.canvas.x >= 0}
        rows = self.canvas.y[:, 0]
        self.wall = self.outline.wall(rows)[:, None]  # (H, 1)
        self.inner = {side: self.outline.mediastinum(side, rows)[:, None] for side in SIDES}
        right, left = (self.outline.diaphragm(side, self.canvas.x) for side in SIDES)
        self.dome = right + (left - right) * ramp(self.canvas.x / np.float32(0.5))  # (1, W)
        self.lungs = self._lungs()
        self.clear = np.ones_like(self.lungs)  # share of the vessels that is still seen
        self.air = self.lungs.copy()  # what fluid and consolidation leave of the lungs
        self.blurred_vessels = 0.0

    def _lungs(self) -> Plane:
        """(H, W) share of air in the beam, 0 to 1: both lungs."""
        y, away = self.canvas.y, self.away
        lungs = np.zeros((self.canvas.height, self.canvas.width), np.float32)
        top = self.outline.apex(self.canvas.x)
        middle = int(np.clip(round(self.canvas.center_x_px), 0, self.canvas.width))
        for side, columns in (("right", slice(0, middle)), ("left", slice(middle, None))):
            near = away[:, columns]
            lung = ramp((near - self.inner[side]) * np.float32(1 / 0.028))
            lung *= ramp((self.wall - near) * np.float32(1 / 0.035))
            lung *= ramp((self.dome[:, columns] - y) * np.float32(1 / 0.022))
            lung *= ramp((y - top[:, columns]) * np.float32(1 / 0.04))
            lungs[:, columns] = lung
        return lungs

    def rng(self, *words: int) -> np.random.Generator:
        """A generator of its own for one part, so that adding a sign leaves the other parts as they were."""
        return np.random.default_rng([self.pose.seed, *words])
