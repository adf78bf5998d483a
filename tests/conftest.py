"""Shared test settings: where real data may lie, and one torch thread a worker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HILUM_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

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
