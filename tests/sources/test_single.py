"""One image goes into an archive under an id made of its pixels, once, and with nobody's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hilum.archive import Archive
from hilum.sources.single import add_single


def test_an_image_is_added_once_at_the_archive_s_size(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "archive", longer_side_px=50)
    pixels = np.random.default_rng(0).integers(0, 255, (100, 80), np.uint8)
    name, added = add_single(archive, pixels, view="pa", sex="F", age_years=61.0, pixel_spacing_mm=0.2)
    assert added
    assert add_single(archive, pixels) == (name, False)
    (row,) = archive.images().to_pylist()
    assert (row["image_id"], row["height"], row["width"], row["view"], row["split"]) == (name, 50, 40, "pa", None)
    assert row["pixel_spacing_mm"] == 0.4
    assert archive.studies()["study_id"].to_pylist() == [name]
    other, _ = add_single(archive, 255 - pixels)
    assert other != name
