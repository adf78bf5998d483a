"""The archive of disks, and a model that sees what they show."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import make_small_archive
from tests.tasks.composing.oracle import Oracle


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 disks with reports; vectors may be kept in it."""
    return make_small_archive(tmp_path_factory.mktemp("disks") / "archive")
