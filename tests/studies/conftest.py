"""A study on disk: two tiny models, an archive of disks, and the file that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import make_small_archive
from tests.tasks.conftest import tiny_model

SETTINGS = """
name = "disks"
adaptations = ["probe"]
fractions = [1.0, 0.5]
baseline = "base"

[[models]]
name = "ours"
folder = "ours"

[[models]]
name = "base"
folder = "base"

[[datasets]]
name = "disks"
archive = "archive"

[statistics]
replicates = 50
least_positives = 4
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and archive; do not write to it, but for features that the archive keeps."""
    place = tmp_path_factory.mktemp("study")
    make_small_archive(place / "archive", labels=True)
    tiny_model(0, "ours").save(place / "ours")
    tiny_model(1, "base").save(place / "base")
    return place


@pytest.fixture
def study_file(made: Path, tmp_path: Path) -> Path:
    """study.toml in a folder of the test's own, with links to models and archive."""
    for name in ("archive", "ours", "base"):
        (tmp_path / name).symlink_to(made / name)
    path = tmp_path / "study.toml"
    path.write_text(SETTINGS)
    return path
