"""A contact sheet shows each image once, in order, and says what it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hilum.tasks.search import Search, contact_sheet, texts_of
from hilum.tasks.search.sheet import EDGE_PX, GAP_PX, HEAD_PX, TILE_PX, _wrapped


def opened(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L"))


@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_each_image_has_its_place(search: Search, count: int) -> None:
    hits = search.by_text("Left effusion", k=count) if count else []
    sheet = opened(contact_sheet(search.archive, hits, "Left effusion", texts=texts_of(search.archive, ["s3"])))
    for number, hit in enumerate(hits):
        top = HEAD_PX + number // 5 * (sheet.shape[0] - HEAD_PX - 30) // (-(-count // 5))
        left = EDGE_PX + number % 5 * (TILE_PX + GAP_PX)
        tile = sheet[top : top + TILE_PX, left : left + TILE_PX].astype(float)
        pixels = np.asarray(Image.fromarray(search.archive.pixels([hit.row])[0]))
        assert abs(tile[88:168, 96:160] - pixels).mean() < 4  # centered, at its own size
    assert sheet.shape[1] >= 620


def test_the_image_asked_with_comes_first_in_a_frame(search: Search) -> None:
    pixels = search.archive.pixels([3])[0]
    hits = search.by_image(pixels, k=2)
    with_it = opened(contact_sheet(search.archive, hits, "like", asked=pixels))
    without = opened(contact_sheet(search.archive, hits, "like"))
    assert with_it.shape[1] > without.shape[1]
    assert with_it[HEAD_PX, EDGE_PX + 40] > without[HEAD_PX, EDGE_PX + 40]


def test_long_reports_are_cut_and_the_cut_is_marked() -> None:
    lines = _wrapped("word " * 200, 3)
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert _wrapped("short", 3) == ["short"]
    assert _wrapped("x" * 400, 3)[0].endswith("…")


def test_texts_are_those_of_the_policy_and_quotes_do_no_harm(search: Search) -> None:
    assert texts_of(search.archive, ["s3", None, "o'neill"]) == {"s3": "Left effusion. No pneumothorax."}
    assert texts_of(search.archive, []) == {}
