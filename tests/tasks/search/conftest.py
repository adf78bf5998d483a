"""An archive of disks, a model that sees what they show, and a search over both."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import make_small_archive

from hilum.archive import Archive
from hilum.models import Model
from hilum.models.model import unit_rows
from hilum.tasks import embed
from hilum.tasks.search import Search

SEEN = ("effusion", "pneumothorax", "left", "right")  # bright, dark, and on which half


class Seeing(Model):
    """Embeds disks as what they are and texts as the words they say; vectors are 7 long, as a model's may be of any length."""

    def __init__(self, fingerprint: str = "seeing") -> None:
        self.name, self.tokenizer, self._fingerprint = "seeing", object(), fingerprint
        self.encoder = SimpleNamespace(embed_dim=len(SEEN))  # type: ignore[assignment]
        self.preprocess = SimpleNamespace(squares=np.stack)  # type: ignore[assignment]
        self.texts_embedded = 0

    def embed_squares(self, squares: np.ndarray) -> np.ndarray:  # type: ignore[override]
        halves = [squares[:, :, :32], squares[:, :, 32:]]
        bright = np.stack([(half > 170).mean(axis=(1, 2)) for half in halves], axis=1)
        dark = np.stack([(half < 55).mean(axis=(1, 2)) for half in halves], axis=1)
        where = bright + dark
        rows = np.stack([bright.sum(1), dark.sum(1), where[:, 0], where[:, 1]], axis=1)
        return (7 * unit_rows(rows)).astype(np.float32)

    def embed_images(self, pixels: Sequence[np.ndarray] | np.ndarray, **_: object) -> np.ndarray:
        stack = np.asarray(pixels)
        return unit_rows(self.embed_squares(stack[None] if stack.ndim == 2 else stack))

    def embed_texts(self, texts: Sequence[str] | str, *, normalize: bool = True, **_: object) -> np.ndarray:
        self.texts_embedded += len(texts)
        said = [[float(word in text.lower().split(". no")[0]) for word in SEEN] for text in texts]
        rows = np.array(said, np.float32).reshape(-1, len(SEEN)) + 1e-3
        return unit_rows(rows) if normalize else 3 * rows


@pytest.fixture
def seeing() -> Seeing:
    return Seeing()


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 labeled, embedded disks: i0, i4, ... dark right; i1 bright right; i2 dark left; i3 bright left. Do not write to it."""
    path = make_small_archive(tmp_path_factory.mktemp("search") / "archive", labels=True)
    embed(Seeing(), path)
    return path


@pytest.fixture
def own_disks(disks: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(disks, tmp_path / "own"))


@pytest.fixture
def search(seeing: Seeing, disks: Path) -> Search:
    return Search(seeing, disks)


@pytest.fixture
def people(tmp_path: Path) -> Callable[..., Archive]:
    """Makes an archive of small images with the facts given, one row an image."""

    def make(*rows: dict[str, object]) -> Archive:
        archive = Archive.create(tmp_path / "people")
        images = [
            {
                "image_id": f"i{i}",
                "study_id": f"s{i}",
                "patient_id": f"p{i}",
                "height": 2,
                "width": 2,
                "pixels": bytes(4),
            }
            | row
            for i, row in enumerate(rows)
        ]
        archive.add_images(pa.Table.from_pylist(images))
        return archive

    return make
