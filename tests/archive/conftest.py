"""Small archives to test on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hilum.archive import Archive


def drawn(number: int) -> np.ndarray:
    """The pixels of test image `number`: random, of a size of its own."""
    generator = np.random.default_rng(number)
    return generator.integers(0, 256, (int(generator.integers(1, 40)), int(generator.integers(1, 40))), dtype=np.uint8)


def image_rows(first: int, n: int, **columns: list) -> pa.Table:
    """Rows of test images `first` to `first + n`; patient p0 has images 0 and 1, p1 has 2 and 3, and so on."""
    numbers = range(first, first + n)
    images = [drawn(i) for i in numbers]
    rows = {
        "image_id": [f"i{i}" for i in numbers],
        "study_id": [f"s{i}" for i in numbers],
        "patient_id": [f"p{i // 2}" for i in numbers],
        "height": [image.shape[0] for image in images],
        "width": [image.shape[1] for image in images],
        "pixels": [image.tobytes() for image in images],
    }
    return pa.table(rows | columns)


@pytest.fixture(name="drawn")
def _drawn() -> Callable[[int], np.ndarray]:
    return drawn


@pytest.fixture(name="image_rows")
def _image_rows() -> Callable[..., pa.Table]:
    return image_rows


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.create(tmp_path / "archive")


@pytest.fixture
def filled(archive: Archive) -> Archive:
    """Ten images in two commits."""
    archive.add_images(image_rows(0, 6, view=["pa", "lateral"] * 3))
    archive.add_images(image_rows(6, 4, view=["ap"] * 4, age_years=[1, 20.5, 40, 90]))
    return archive
