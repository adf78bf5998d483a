"""From densities to a film: scatter, tone, grain, collimation, and the marks that say it is synthetic."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hilum.sources.phantom.anatomy import Pose
from hilum.sources.phantom.canvas import Canvas, Plane, clouds

MARKER = "SYNTHETIC"


def expose(canvas: Canvas, pose: Pose) -> Plane:
    """(H, W) float32 film in [0, 1] from the canvas's densities."""
    rng = np.random.default_rng([pose.seed, 61])
    height, width = canvas.height, canvas.width
    film = canvas.density
    film += np.float32(0.05 + pose.exposure)  # scatter lifts the blacks
    tone = np.float32(1 + rng.normal(0, 0.04))
    film = np.clip(film * tone, 0, 1.05)
    film = film * (np.float32(1.20) - np.float32(0.28) * film)
    grain = clouds(rng, height, width, 2, 1) * np.float32(0.010) + clouds(rng, height, width, 1, 1) * np.float32(0.007)
    film += grain * (np.float32(1.25) - film)
    np.clip(film, 0.012, 0.985, out=film)
    _collimate(film, rng)
    _mark(film, pose, rng)
    return film


def _collimate(film: Plane, rng: np.random.Generator) -> None:
    """Black unexposed borders on some sides, as wide as the operator left them."""
    height, width = film.shape
    for edge in range(4):
        if rng.random() < 0.45:
            px = int(rng.uniform(0.004, 0.03) * max(height, width))
            rows = slice(None) if edge > 1 else slice(0, px) if edge == 0 else slice(height - px, None)
            columns = slice(None) if edge < 2 else slice(0, px) if edge == 2 else slice(width - px, None)
            film[rows, columns] = 0.0


def _mark(film: Plane, pose: Pose, rng: np.random.Generator) -> None:
    """Burn in the side marker, the view of a portable picture, and that nobody was ever here."""
    height, width = film.shape
    size = max(7, round(0.024 * height))
    margin = round(0.035 * height)
    letter = "R" if rng.random() < 0.5 else "L"
    if pose.view != "lateral":
        x = margin if letter == "R" else width - margin - size
        _burn(film, x, margin, letter, round(size * 1.5))
    else:
        _burn(film, margin, margin, "L", round(size * 1.5))
    if pose.is_portable:
        _burn(film, width // 2 + margin, margin // 2, "AP SUPINE" if pose.view == "ap_supine" else "AP PORTABLE", size)
    _burn(film, margin, height - margin - size, MARKER, size)


def _burn(film: Plane, x: int, y: int, text: str, size: int) -> None:
    font = ImageFont.load_default(size)
    x1, y1 = (int(v) for v in font.getbbox(text)[2:])
    stamp = Image.new("L", (x1 + 2, y1 + 2))
    ImageDraw.Draw(stamp).text((0, 0), text, fill=235, font=font)
    ink = np.asarray(stamp, np.float32) / 255
    x, y = max(0, min(x, film.shape[1] - ink.shape[1])), max(0, min(y, film.shape[0] - ink.shape[0]))
    here = film[y : y + ink.shape[0], x : x + ink.shape[1]]
    here *= np.float32(0.25)  # a dark plate, so that the words stay readable on dense tissue
    np.maximum(here, ink[: here.shape[0], : here.shape[1]] * 0.95, out=here)
