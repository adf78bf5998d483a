"""Shared test settings: where real data may lie, and one torch thread a worker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers of pytest-xdist share the cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HILUM_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from all tests but `pytest -m gpu`: what is compared bit by bit is what a CPU computes."""
    if config.getoption("markexpr", "") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


REAL_DATA = Path(os.environ.get("HILUM_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real radiographs and reports; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA} (set HILUM_REAL_DATA)")
    return REAL_DATA


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of arrays made by the original research code."""
    return GOLDEN


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 96 simple images (a bright or a dark disk, left or right) with reports that say so; do not write to it."""
    return make_small_archive(tmp_path_factory.mktemp("small") / "archive")


def make_small_archive(path: Path, count: int = 96, labels: bool = False) -> Path:
    """Disks on gray with reports: the least that an image-text method can learn."""
    import numpy as np
    import pyarrow as pa

    from hilum.archive import Archive

    rng = np.random.default_rng(0)
    images, studies, said = [], [], []
    yy, xx = np.mgrid[:80, :64]
    for i in range(count):
        bright, left = bool(i % 2), bool(i // 2 % 2)
        center = (20 if left else 44, int(rng.integers(24, 56)))
        disk = (xx - center[0]) ** 2 + (yy - center[1]) ** 2 < 11**2
        pixels = np.clip(rng.normal(110, 12, (80, 64)) + disk * (90 if bright else -90), 0, 255).astype(np.uint8)
        word = "effusion" if bright else "pneumothorax"
        other = "pneumothorax" if bright else "effusion"
        split = ("train", "train", "train", "val", "val", "test")[i // 4 % 6]
        ids = {"study_id": f"s{i}", "patient_id": f"p{i}"}
        image = {
            "image_id": f"i{i}",
            **ids,
            "source": "disks",
            "path": f"{i}.png",
            "view": "pa",
            "height": 80,
            "width": 64,
        }
        images.append({**image, "pixels": pixels.tobytes(), "split": split})
        text = f"{'Left' if left else 'Right'} {word}. No {other}."
        studies.append({**ids, "source": "disks", "report": f"IMPRESSION: {text}", "impression": text})
        values = {"Pleural Effusion": bright, "Pneumothorax": not bright}
        for finding, there in values.items():
            value = "positive" if there else "negative"
            said.append(
                {"study_id": f"s{i}", "image_id": None, "finding": finding, "value": value, "said_by": "dataset:disks"}
            )
    archive = Archive.create(path, text_policy="impression")
    archive.add_images(pa.Table.from_pylist(images))
    archive.add_studies(pa.Table.from_pylist(studies))
    if labels:
        archive.add_labels(pa.Table.from_pylist(said))
    return path
