"""Stored pixels as PNG and JPEG, and heat layers to lay over them."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import APIRouter, Query
from PIL import Image
from starlette.responses import Response

from hilum.web.desk import Desk, DeskOf

if TYPE_CHECKING:
    from hilum.tasks.explaining import Heatmap

router = APIRouter(tags=["images"])

SIDES = (128, 256)  # of small pictures; the whole one has the archive's own size
JPEG_QUALITY = 85
KEPT_BYTES = 64 << 20

Phrase = Annotated[str, Query(min_length=1, max_length=300, description="A finding or any words.")]
How = Annotated[str, Query(max_length=20, description="auto, words, gradient, patches or rollout.")]
ModelName = Annotated[str | None, Query(max_length=200, description="One of the server's models; default the first.")]


class _Kept:
    """The pictures encoded last, up to so many bytes."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._kept: OrderedDict[object, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> bytes | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def add(self, key: object, content: bytes) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = content
            self._bytes += len(content)
            while self._bytes > self._most:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped)


_small = _Kept(KEPT_BYTES)


@router.get("/api/images/{row}/picture.png", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def picture(desk: DeskOf, row: int) -> Response:
    """An image as it is stored, lossless: 8-bit gray, white is dense."""
    return Response(png_of(desk.archive.pixels(row)), media_type="image/png")


@router.get("/api/images/{row}/small.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def small(desk: DeskOf, row: int, side: Annotated[int, Query(description="128 or 256.")] = 256) -> Response:
    """A small picture of an image, for lists; not for looking closely."""
    snapshot = desk.archive
    side = SIDES[0] if side <= SIDES[0] else SIDES[1]
    key = (id(snapshot), snapshot.stamp, row, side)
    content = _small.get(key)
    if content is None:
        content = jpeg_of(snapshot.pixels(row), side)
        _small.add(key, content)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, no-cache"})


@router.get("/api/images/{row}/heat.png", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def heat(desk: DeskOf, row: int, phrase: Phrase, how: How = "auto", model: ModelName = None) -> Response:
    """Where in an image a model looks for a phrase: a layer of color to lay over it. Not where disease is."""
    return heat_layer(desk, desk.archive.pixels(row), phrase, how, model)


def heat_layer(desk: Desk, pixels: np.ndarray, phrase: str, how: str, model: str | None) -> Response:
    """The layer as a PNG with opacity; headers say how it was made."""
    from hilum.tasks.explaining import explain, layer

    heatmap: Heatmap = explain(desk.models.get(model), pixels, phrase, how=how)
    buffer = io.BytesIO()
    Image.fromarray(layer(heatmap)).save(buffer, "PNG", compress_level=3)
    headers = {"X-Heat-How": heatmap.how, "X-Heat-Score": f"{heatmap.score:.4f}", "X-Heat-Note": _ascii(heatmap.note)}
    return Response(buffer.getvalue(), media_type="image/png", headers=headers)


def png_of(pixels: np.ndarray) -> bytes:
    """(H, W) uint8 as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def jpeg_of(pixels: np.ndarray, side_px: int) -> bytes:
    """(H, W) uint8 as a JPEG whose longer side is at most `side_px`."""
    image = Image.fromarray(pixels)
    image.thumbnail((side_px, side_px), Image.Resampling.BOX, reducing_gap=None)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\n", " ")
