"""The image that a search is asked with."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.imaging import read_image


def asked_with(archive: Archive, image: str | PathLike[str]) -> tuple[np.ndarray, str | None]:
    """The pixels of an image by its id in the archive, else of a file.

    Args:
        archive: where an id is looked for; a file is shrunk as its images were.
        image: an image_id, or the path of a DICOM, PNG, JPEG or other picture.

    Returns:
        (H, W) uint8, and the image_id of one of the archive.

    Raises:
        UsageError: it is neither.
        ImageError: the file cannot be turned into pixels.
    """
    name = str(image)
    quoted = name.replace("'", "''")
    rows = archive.images(["row"], where=f"image_id = '{quoted}'")["row"].to_pylist()
    if rows:
        return archive.pixels(rows[:1])[0], name
    if not Path(image).exists():
        raise UsageError(
            f"{name}: there is no such file, and no image of the archive has this id. Give the path of a DICOM, PNG or JPEG "
            "file, or an image_id (`hilum search --json` prints them)."
        )
    return read_image(image).shrunk(archive.manifest.longer_side_px).pixels, None
