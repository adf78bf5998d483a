"""Heatmaps drawn: over the image, and beside it with a scale."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hilum.errors import UsageError
from hilum.tasks.explaining.heatmap import Heatmap

if TYPE_CHECKING:  # matplotlib is loaded when something is drawn, and not with the room
    from matplotlib.figure import Figure

COLORS = "inferno"  # even steps of lightness, and told apart by people who see colors differently
STRENGTH = 0.6  # of the color where the map is highest; the radiograph stays to be seen
UNSEEN = 0.35  # brightness that is left where the model never looked
LEAST_SIDE_PX = 512  # smaller images are enlarged in a figure
UNITS = {
    "words": "fit of words and region",
    "attention": "attention, 1 = even",
    "gradient": "evidence for the phrase",
    "patches": "cosine of patch and phrase",
    "rollout": "attention, 1 = even",
}


def overlay(pixels: np.ndarray, heatmap: Heatmap, strength: float = STRENGTH) -> np.ndarray:
    """The image with the heatmap over it.

    The color grows out of nothing: where the map is lowest, the radiograph is as it was. What the model never saw is darkened.

    Args:
        pixels: (H, W) uint8 gray, the image that was explained.
        heatmap: of the same shape.
        strength: of the color where the map is highest, in [0, 1].

    Returns:
        (H, W, 3) uint8.

    Raises:
        UsageError: the map is of another image's shape.
    """
    from matplotlib import colormaps

    if pixels.shape != heatmap.values.shape:
        raise UsageError(
            f"the heatmap is {heatmap.values.shape}, the image {pixels.shape}; draw it over its own image."
        )
    shares = heatmap.shares
    unseen = np.isnan(shares)
    shares = np.where(unseen, 0, shares)
    color = colormaps[COLORS](shares)[..., :3] * 255  # (H, W, 3)
    opacity = (strength * _opacity(shares))[..., None]
    gray = np.where(unseen, pixels * UNSEEN, pixels)[..., None]
    return np.rint(gray * (1 - opacity) + color * opacity).astype(np.uint8)


def layer(heatmap: Heatmap, strength: float = STRENGTH) -> np.ndarray:
    """The colors of `overlay` alone, to be laid over the image by whoever shows it: (H, W, 4) uint8, opacity last."""
    from matplotlib import colormaps

    shares = heatmap.shares
    unseen = np.isnan(shares)
    shares = np.where(unseen, 0, shares)
    color = np.where(unseen[..., None], 0, colormaps[COLORS](shares)[..., :3])
    opacity = np.where(unseen, 1 - UNSEEN, strength * _opacity(shares))
    return np.rint(np.concatenate([color, opacity[..., None]], axis=-1) * 255).astype(np.uint8)


def figure(pixels: np.ndarray, heatmap: Heatmap, model_name: str, image_name: str = "", dpi: int = 76) -> bytes:
    """The image, the image with the heatmap over it, and the scale, with what was asked and what it is for: a PNG.

    Args:
        pixels: (H, W) uint8 gray, the image that was explained.
        heatmap: of the same shape.
        model_name: as shown.
        image_name: as shown; "" leaves it out.
        dpi: an image is 4.4 inches high.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = pixels.shape
    enlarged = max(1.0, LEAST_SIDE_PX / max(height, width))
    size = (round(width * enlarged), round(height * enlarged))
    shown = [Image.fromarray(one).resize(size, Image.Resampling.BICUBIC) for one in (pixels, overlay(pixels, heatmap))]
    high = 4.4  # inches of an image
    wide = high * width / height
    margin, gap, bar, top, bottom = 0.25, 0.12, 0.85, 0.78, 0.62
    whole = (2 * margin + 2 * wide + 2 * gap + bar, top + high + bottom)
    fig = Figure(figsize=whole, facecolor="#101214")
    FigureCanvasAgg(fig)
    for place, image in enumerate(shown):
        left = margin + place * (wide + gap)
        ax = fig.add_axes((left / whole[0], bottom / whole[1], wide / whole[0], high / whole[1]))
        ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
        ax.set_axis_off()
    _scale(fig, heatmap, ((margin + 2 * (wide + gap)) / whole[0], bottom / whole[1], 0.14 / whole[0], high / whole[1]))

    def say(x: float, y: float, text: str, points: float, color: str) -> None:
        fig.text(x / whole[0], y / whole[1], text, fontsize=points, color=color, va="baseline")

    say(margin, whole[1] - 0.36, f"“{_short(heatmap.phrase, 60)}”", 14, "#F2F2F2")
    against = f", against {_short(heatmap.against, 40)}" if heatmap.against else ""
    say(margin, whole[1] - 0.62, f"{_way(heatmap)}{against}   score {heatmap.score:+.3f}", 9.5, "#B8BCC2")
    say(margin, 0.36, f"{model_name}{'   ' + image_name if image_name else ''}", 9, "#B8BCC2")
    say(margin, 0.15, "Research use only. Shows where a model looked, not where disease is.", 9, "#E0B050")
    out = io.BytesIO()
    fig.savefig(out, format="png", dpi=dpi, facecolor=fig.get_facecolor(), metadata={"Software": None})
    return out.getvalue()


def _opacity(shares: np.ndarray) -> np.ndarray:
    """From nothing where the map is lowest, full from the middle on."""
    return np.clip(shares * 2, 0, 1)


def _scale(fig: Figure, heatmap: Heatmap, where: tuple[float, float, float, float]) -> None:
    """The color scale as it looks over middle gray."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    steps = np.linspace(0, 1, 256)
    opacity = (STRENGTH * _opacity(steps))[:, None]
    colors = 0.45 * (1 - opacity) + colormaps[COLORS](steps)[:, :3] * opacity
    blended = LinearSegmentedColormap.from_list("over gray", list(map(tuple, colors)))
    span = Normalize(heatmap.low, heatmap.high if heatmap.high > heatmap.low else heatmap.low + 1)
    bar = fig.colorbar(ScalarMappable(span, blended), cax=fig.add_axes(where))
    bar.outline.set_visible(False)
    bar.set_label(UNITS.get(heatmap.how, heatmap.how), color="#B8BCC2", fontsize=9)
    bar.ax.tick_params(colors="#B8BCC2", labelsize=8, width=0.5)


def _way(heatmap: Heatmap) -> str:
    return {
        "words": "words and regions (GLoRIA)",
        "attention": "attention of words to regions (GLoRIA)",
        "gradient": "gradient x activation",
        "patches": "patch-text similarity",
        "rollout": "attention rollout",
    }.get(heatmap.how, heatmap.how)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
