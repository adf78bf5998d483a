"""A lateral chest radiograph."""

from __future__ import annotations

import numpy as np

from hilum.sources.phantom.anatomy import Anatomy, Pose
from hilum.sources.phantom.canvas import Canvas, Plane, ramp
from hilum.sources.phantom.film import expose
from hilum.sources.phantom.frontal import Boxes
from hilum.sources.phantom.signs import Sign


def draw_lateral(
    anatomy: Anatomy, pose: Pose, signs: tuple[Sign, ...] = (), side_px: int = 512
) -> tuple[Plane, Boxes]:
    """Draw one left lateral radiograph; the sternum is on the left of the picture."""
    height, width = side_px, round(side_px * 0.84)
    canvas = Canvas(height, width, pose.zoom * height / 2.62, width * (0.5 + pose.shift_x), (0.145 + pose.shift_y) * height)
    x, y = canvas.x, canvas.y
    inside = ramp((0.95 - np.abs(x)) / 0.1)
    lung = ramp((0.62 - np.abs(x)) / 0.05) * ramp((1.8 - y) / 0.05) * ramp((y - 0.05) / 0.1)
    canvas.density += 0.6 * inside - 0.3 * lung
    return expose(canvas, pose), []
