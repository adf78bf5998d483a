"""Draw docs/images/augmentations.png: one phantom patient's film, and six augmentations of it for each recipe.

Run from the root of the project: python docs/make_augmentation_sheet.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from hilum.imaging import resize_longer_side
from hilum.imaging.augment import PLANS, Pictures, augment, plan
from hilum.sources.phantom import Anatomy, Pose, Sign, draw_frontal

OUT = Path(__file__).parent / "images" / "augmentations.png"
SIDE_PX, TILE_PX, CANVAS_PX, GAP_PX, NAME_PX, HEAD_PX = 224, 112, 384, 4, 116, 22
DRAWS = 6
SAME_AS = {"medaug": "moco-cxr"}  # plans that would give the same row


def film() -> np.ndarray:
    """The film of one patient as an archive keeps it: (H, W) uint8, with an effusion and a side marker."""
    signs = (Sign("Pleural Effusion", "right", 2), Sign("Support Devices", "left", kind="pacemaker"))
    drawn, _ = draw_frontal(Anatomy.random(41), Pose.random("pa", 41), signs, 2 * CANVAS_PX)
    return resize_longer_side(np.rint(drawn * 255).astype(np.uint8), CANVAS_PX)


def row(name: str, picture: np.ndarray, seed: int) -> Image.Image:
    """A plan's name, the film, and its augmentations."""
    tiles = augment(
        Pictures.stack([picture] * DRAWS), plan(name, SIDE_PX), SIDE_PX, torch.Generator().manual_seed(seed)
    )
    board = Image.new("L", (NAME_PX + (DRAWS + 1) * (TILE_PX + GAP_PX), TILE_PX + GAP_PX), 255)
    same = [other for other, one in SAME_AS.items() if one == name]
    text = name.replace("-", "-\n", 1) if len(name) > 12 else name
    draw = ImageDraw.Draw(board)
    draw.multiline_text((4, TILE_PX // 2 - 12), "\n".join([text, *same]), fill=0, font=ImageFont.load_default(14))
    original = Image.fromarray(picture)
    original.thumbnail((TILE_PX, TILE_PX))
    for number, tile in enumerate([original, *(Image.fromarray(t.numpy()).reduce(2) for t in tiles)]):
        left = NAME_PX + number * (TILE_PX + GAP_PX)
        board.paste(0, (left, 0, left + TILE_PX, TILE_PX))
        board.paste(tile, (left + (TILE_PX - tile.width) // 2, (TILE_PX - tile.height) // 2))
    return board


def main() -> None:
    """One row a recipe, saved with few enough gray levels to stay small."""
    picture = film()
    rows = [row(name, picture, seed) for seed, name in enumerate(PLANS) if name not in SAME_AS]
    sheet = Image.new("L", (rows[0].width, HEAD_PX + sum(one.height for one in rows)), 255)
    for text, tiles in (("the film", 0), (f"{DRAWS} augmentations", 1)):
        place = (NAME_PX + tiles * (TILE_PX + GAP_PX), 2)
        ImageDraw.Draw(sheet).text(place, text, fill=0, font=ImageFont.load_default(14))
    for number, one in enumerate(rows):
        sheet.paste(one, (0, HEAD_PX + number * one.height))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(64).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
