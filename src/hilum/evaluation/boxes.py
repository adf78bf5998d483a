"""Where findings lie in images: boxes from a table, in the pixels of an archive's images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hilum.archive import Archive
from hilum.errors import TableError
from hilum.findings import canonical
from hilum.tables import read_table, require_columns

# Ours, and those of VinDr-CXR.
_SPELLINGS = {"class_name": "finding", "x_min": "x0", "y_min": "y0", "x_max": "x1", "y_max": "y1"}
_COLUMNS = ("image_id", "finding", "x0", "y0", "x1", "y1")


@dataclass(frozen=True, eq=False)
class Boxed:
    """One finding of one image.

    Attributes:
        image_id, patient_id, finding: which.
        row: of the image in its archive.
        shape: (H, W) of the image's stored pixels.
        boxes: (N, 4) x0, y0, x1, y1 in stored pixels, x1 and y1 just outside; all of the finding in the image.
    """

    image_id: str
    patient_id: str
    finding: str
    row: int
    shape: tuple[int, int]
    boxes: np.ndarray

    def mask(self, shape: tuple[int, int] | None = None) -> np.ndarray:
        """(h, w) bool: pixels whose center lies in a box; of another shape, of the image resized to it."""
        height, width = shape or self.shape
        y = (np.arange(height) + 0.5)[:, None] * (self.shape[0] / height)
        x = (np.arange(width) + 0.5)[None] * (self.shape[1] / width)
        inside = np.zeros((height, width), bool)
        for x0, y0, x1, y1 in self.boxes:
            inside |= (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        return inside


def boxed_findings(
    path: str | Path,
    archive: Archive,
    *,
    side_px: int | None = None,
    findings: Sequence[str] | None = None,
    where: str | None = None,
) -> list[Boxed]:
    """The findings of a table of boxes, put on the images of an archive.

    Args:
        path: a table with `image_id`, `finding`, `x0`, `y0`, `x1`, `y1`, or with VinDr-CXR's columns; rows without a box are
            passed over.
        archive: whose images they are.
        side_px: longer side of the images that the boxes were drawn in; default: that of the archive's own.
        findings: which; default all.
        where: which images of the archive.

    Returns:
        One for each image and finding, in the order of the archive and of the table.

    Raises:
        TableError: a column is missing, a box has no area or a corner that is no number, or no image of the table is in the
            archive.
    """
    path = Path(path)
    table = read_table(path, numbers=False)
    table = table.rename_columns([_SPELLINGS.get(name, name) for name in table.column_names])
    require_columns(path, table.column_names, _COLUMNS)
    wanted = None if findings is None else {canonical(name) for name in findings}
    corners: dict[tuple[str, str], list[list[float]]] = {}
    for line, cells in enumerate(zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True), start=2):
        image_id, finding = str(cells[0]), canonical(str(cells[1]))
        if None in cells[2:] or (wanted is not None and finding not in wanted):
            continue
        corners.setdefault((image_id, finding), []).append(_box(path, line, cells[2:]))
    images = archive.images(["row", "image_id", "patient_id", "height", "width"], where=where).to_pylist()
    order = {finding: place for place, finding in enumerate(dict.fromkeys(finding for _, finding in corners))}
    here = {image["image_id"]: image for image in images}
    found = [
        _boxed(here[image_id], finding, np.array(boxes), side_px)
        for (image_id, finding), boxes in corners.items()
        if image_id in here
    ]
    if not found:
        raise TableError(
            f"{path}: none of its {len({image_id for image_id, _ in corners})} images with boxes is among the "
            f"{len(here)} images asked for in {archive.path}. `image_id` must be the archive's own."
        )
    return sorted(found, key=lambda one: (one.row, order[one.finding]))


def _box(path: Path, line: int, cells: Sequence[str]) -> list[float]:
    try:
        x0, y0, x1, y1 = (float(cell) for cell in cells)
    except ValueError:
        raise TableError(f"{path}, line {line}: the box is {', '.join(cells)}; expected four numbers.") from None
    if not (x1 > x0 and y1 > y0):
        raise TableError(
            f"{path}, line {line}: the box x {x0:g} to {x1:g}, y {y0:g} to {y1:g} has no area; expected x0 < x1 and y0 < y1."
        )
    return [x0, y0, x1, y1]


def _boxed(image: dict, finding: str, boxes: np.ndarray, side_px: int | None) -> Boxed:
    shape = (image["height"], image["width"])
    scale = 1.0 if side_px is None else max(shape) / side_px
    return Boxed(image["image_id"], image["patient_id"], finding, image["row"], shape, boxes * scale)
