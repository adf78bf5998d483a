"""One image into an archive, without a folder, a name or a report: for pictures that were tried and are to be kept."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hilum.archive import Archive
from hilum.archive.schema import pixels_sha1
from hilum.imaging import resize_longer_side

NAME = "single"


def add_single(
    archive: Archive,
    pixels: np.ndarray,
    *,
    view: str = "unknown",
    sex: str | None = None,
    age_years: float | None = None,
    pixel_spacing_mm: float | None = None,
) -> tuple[str, bool]:
    """Add one image as a study and a patient of its own, in no split, under an id made of its pixels.

    Args:
        archive: open for writing.
        pixels: (H, W) uint8 gray; shrunk to the archive's longer side where it is larger.
        view, sex, age_years: as far as they are known.
        pixel_spacing_mm: between the rows of `pixels`.

    Returns:
        Its image_id, which is its study_id too, and whether it was added: the same pixels are kept once.

    Raises:
        ArchiveBusyError: another process is writing.
    """
    stored = np.ascontiguousarray(resize_longer_side(pixels, archive.manifest.longer_side_px))
    if pixel_spacing_mm is not None:
        pixel_spacing_mm *= pixels.shape[0] / stored.shape[0]
    content = stored.tobytes()
    name = f"{NAME}-{pixels_sha1(content)[:20]}"
    row = {
        "image_id": name,
        "study_id": name,
        "patient_id": name,
        "source": NAME,
        "path": name,
        "view": view,
        "height": stored.shape[0],
        "width": stored.shape[1],
        "pixels": content,
        "pixel_spacing_mm": pixel_spacing_mm,
        "age_years": age_years,
        "sex": sex,
    }
    with archive.writing():
        archive.add_studies(pa.Table.from_pylist([{"study_id": name, "patient_id": name, "source": NAME}]))
        added = archive.add_images(pa.Table.from_pylist([row]))
    return name, bool(added)
