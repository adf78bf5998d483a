"""Draw docs/images/phantoms.png: what phantoms look like, one picture a finding.

Run from the root of the project: python docs/make_phantom_sheet.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hilum.sources.phantom import Anatomy, Pose, Sign, draw_frontal, draw_lateral

OUT = Path(__file__).parent / "images" / "phantoms.png"
TILE_PX, CAPTION_PX, COLUMNS = 250, 20, 5
PICTURES: tuple[tuple[str, str, tuple[Sign, ...]], ...] = (
    ("no finding, PA", "pa", ()),
    ("no finding, lateral", "lateral", ()),
    ("cardiomegaly, edema (AP)", "ap", (Sign("Cardiomegaly", grade=2), Sign("Edema", "bilateral", 2))),
    ("enlarged cardiomediastinum", "pa", (Sign("Enlarged Cardiomediastinum", grade=2),)),
    ("right effusion", "pa", (Sign("Pleural Effusion", "right", 2),)),
    ("right lower consolidation", "pa", (Sign("Consolidation", "right", 2, "lower", seed=4),)),
    ("left pneumonia", "pa", (Sign("Pneumonia", "left", 3, "lower", seed=5),)),
    ("right upper opacity", "pa", (Sign("Lung Opacity", "right", 3, "upper", seed=2),)),
    ("right atelectasis", "pa", (Sign("Atelectasis", "right", 2, seed=3),)),
    ("left lung lesion", "pa", (Sign("Lung Lesion", "left", 2, "upper", seed=6),)),
    (
        "left pneumothorax, chest tube",
        "pa",
        (Sign("Pneumothorax", "left", 3), Sign("Support Devices", "left", kind="chest tube")),
    ),
    ("right rib fractures", "pa", (Sign("Fracture", "right", 2, seed=9),)),
    ("right pleural thickening", "pa", (Sign("Pleural Other", "right", 3, seed=2),)),
    ("pacemaker", "pa", (Sign("Support Devices", "left", kind="pacemaker"),)),
    (
        "tube and line (supine)",
        "ap_supine",
        (
            Sign("Support Devices", kind="endotracheal tube"),
            Sign("Support Devices", "right", kind="central line", seed=1),
        ),
    ),
)


def tile(number: int, caption: str, view: str, signs: tuple[Sign, ...]) -> Image.Image:
    """One picture with its caption below."""
    draw = draw_lateral if view == "lateral" else draw_frontal
    film, _ = draw(Anatomy.random(40 + number), Pose.random(view, 40 + number), signs, 2 * TILE_PX)
    picture = Image.fromarray(np.rint(film * 255).astype(np.uint8)).reduce(2)
    board = Image.new("L", (TILE_PX, TILE_PX + CAPTION_PX), 0)
    board.paste(picture, ((TILE_PX - picture.width) // 2, (TILE_PX - picture.height) // 2))
    ImageDraw.Draw(board).text((6, TILE_PX + 3), caption, fill=220, font=ImageFont.load_default(12))
    return board


def main() -> None:
    """Put the tiles side by side and save them with few enough gray levels to stay small."""
    rows = -(-len(PICTURES) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * TILE_PX, rows * (TILE_PX + CAPTION_PX)))
    for number, (caption, view, signs) in enumerate(PICTURES):
        place = ((number % COLUMNS) * TILE_PX, number // COLUMNS * (TILE_PX + CAPTION_PX))
        sheet.paste(tile(number, caption, view, signs), place)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(40).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
