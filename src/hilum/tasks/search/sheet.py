"""A contact sheet: the images found, side by side, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hilum.archive import Archive
from hilum.tasks.search.hits import Hit

TILE_PX, LINE_PX, EDGE_PX, GAP_PX = 256, 17, 20, 12
HEAD_PX, FOOT_PX, LINES = 64, 30, 4  # one line of facts and three of the report
MOST_COLUMNS = 5
GROUND, PANEL, QUIET, PLAIN, ACCENT = (16, 18, 21), (28, 31, 35), (146, 152, 160), (226, 229, 233), (120, 178, 232)
FOOT = "Nearest neighbors, not a reading. Scores rank; they are no probabilities. Research use only."
VIEWS_SHOWN = {"pa": "PA", "ap": "AP", "ap_supine": "AP supine", "lateral": "lateral", "unknown": "view unknown"}


def contact_sheet(
    archive: Archive,
    hits: Sequence[Hit],
    title: str,
    *,
    subtitle: str = "",
    texts: Mapping[str, str] | None = None,
    asked: np.ndarray | None = None,
) -> bytes:
    """Draw found images in order, each with its score, its view, sex and age, and what its report says.

    Args:
        archive: where the pixels are.
        hits: what was found.
        title: what was asked.
        subtitle: of whom and among how many.
        texts: study -> its report's text.
        asked: (H, W) uint8, the image that was asked with; it comes first.

    Returns:
        A PNG of 256 gray levels and a few colors.
    """
    pictures = [] if asked is None else [(asked, ["asked with"], True)]
    for rank, (hit, pixels) in enumerate(zip(hits, archive.pixels([hit.row for hit in hits]), strict=True), start=1):
        said = (texts or {}).get(hit.study_id or "", "")
        pictures.append((pixels, [_facts(rank, hit), *_wrapped(said, LINES - 1)], False))
    columns = max(1, min(MOST_COLUMNS, len(pictures)))
    rows = -(-len(pictures) // columns)
    tile_height = TILE_PX + LINES * LINE_PX + 14
    width = max(2 * EDGE_PX + columns * (TILE_PX + GAP_PX) - GAP_PX, 620)
    height = HEAD_PX + rows * (tile_height + GAP_PX) + FOOT_PX
    sheet = Image.new("RGB", (width, height), GROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((EDGE_PX, 14), _cut(title, 20, width - 2 * EDGE_PX), fill=PLAIN, font=_font(20))
    pen.text((EDGE_PX, 40), _cut(subtitle, 12, width - 2 * EDGE_PX), fill=QUIET, font=_font(12))
    for number, (pixels, lines, is_asked) in enumerate(pictures):
        at = (
            EDGE_PX + number % columns * (TILE_PX + GAP_PX),
            HEAD_PX + number // columns * (tile_height + GAP_PX),
        )
        _draw_tile(sheet, at, pixels, lines, tile_height, is_asked)
    pen.text((EDGE_PX, height - FOOT_PX + 4), FOOT, fill=QUIET, font=_font(12))
    out = io.BytesIO()
    sheet.quantize(128, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _draw_tile(
    sheet: Image.Image, at: tuple[int, int], pixels: np.ndarray, lines: list[str], height: int, is_asked: bool
) -> None:
    pen = ImageDraw.Draw(sheet)
    left, top = at
    pen.rectangle((left, top, left + TILE_PX - 1, top + height - 1), fill=PANEL)
    picture = Image.fromarray(np.asarray(pixels))
    picture.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    pen.rectangle((left, top, left + TILE_PX - 1, top + TILE_PX - 1), fill=(0, 0, 0))
    sheet.paste(picture, (left + (TILE_PX - picture.width) // 2, top + (TILE_PX - picture.height) // 2))
    if is_asked:
        pen.rectangle((left, top, left + TILE_PX - 1, top + height - 1), outline=ACCENT, width=2)
    for line, text in enumerate(lines):
        place = (left + 8, top + TILE_PX + 7 + line * LINE_PX)
        pen.text(place, text, fill=(ACCENT if is_asked else PLAIN) if line == 0 else QUIET, font=_font(12))


def _facts(rank: int, hit: Hit) -> str:
    parts = [f"{rank}.", f"{hit.score:.3f}", VIEWS_SHOWN.get(hit.view, hit.view)]
    person = " ".join(
        part for part in (hit.sex or "", f"{hit.age_years:.0f}" if hit.age_years is not None else "") if part
    )
    parts += [person] if person else []
    parts += [hit.found_by] if "words" in hit.found_by else []
    return _cut("   ".join(parts), 12, TILE_PX - 16)


def _wrapped(text: str, most: int) -> list[str]:
    """A text on at most so many lines of a tile; what is left out is marked."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most:
        count = 1
        while count < len(words) and _length(" ".join(words[: count + 1]), 12) <= TILE_PX - 16:
            count += 1
        line = words if len(lines) == most - 1 else words[:count]
        lines.append(_cut(" ".join(line), 12, TILE_PX - 16))
        words = words[count:]
    return lines


def _cut(text: str, size: int, width: int) -> str:
    """A text that fits a width; what is left out is marked."""
    if _length(text[:width], size) <= width:  # no letter is narrower than a pixel
        return text[:width]
    text = text[:width]
    while text and _length(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _length(text: str, size: int) -> float:
    return float(_font(size).getlength(text))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
