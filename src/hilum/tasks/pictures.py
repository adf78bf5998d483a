"""Example radiographs for a report: for each finding the image that a model scores highest."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from hilum.archive import Archive
from hilum.tasks.scoring import ZeroShot


def highest_scored(
    archive: Archive,
    result: ZeroShot,
    findings: Sequence[str] | None = None,
    truth: Mapping[str, Sequence[str]] | None = None,
    side_px: int = 256,
) -> list[tuple[bytes, str]]:
    """The image that scores highest for each finding, each image once.

    Args:
        archive: where the pixels are.
        result: the scores.
        findings: which, default all of the result.
        truth: image id -> findings that are there, for the caption.
        side_px: most of the longer side.

    Returns:
        (PNG bytes, caption) for each finding.
    """
    images = archive.images(["row", "image_id"])
    row_of = dict(zip(images["image_id"].to_pylist(), images["row"].to_pylist(), strict=True))
    shown: set[str] = set()
    pictures = []
    for finding in findings if findings is not None else result.findings:
        scores = result.scores[:, result.findings.index(finding)]
        place = next((int(i) for i in np.argsort(-scores, kind="stable") if result.image_ids[i] not in shown), None)
        if place is None:
            break
        image_id = result.image_ids[place]
        shown.add(image_id)
        caption = f"highest score for {finding}: {scores[place]:.3f}"
        if truth is not None:
            there = ", ".join(truth.get(image_id, ())) or "nothing"
            caption += f". Truth: {there}"
        pictures.append((_png(archive.pixels([row_of[image_id]])[0], side_px), caption))
    return pictures


def _png(pixels: np.ndarray, side_px: int) -> bytes:
    image = Image.fromarray(np.asarray(pixels))
    image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
