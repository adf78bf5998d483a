"""A small archive, a tiny untrained model, and a server over both that is asked without a network."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import make_small_archive

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from hilum.web import Settings, create_app

TOKEN = "a-token-for-tests-0123456789"
HOST = "127.0.0.1:8420"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
MARKUP = "<script>alert('x')</script><img src=x onerror=alert(1)>"


def tiny_clip(folder: Path) -> Path:
    """A model folder: random towers of image and text, 32 numbers, 32-pixel images."""
    import torch

    from hilum.models import Architecture, ClipTokenizer, DualEncoder, Model, Squash, Text, Vision

    torch.manual_seed(0)
    vision = Vision(image_size=32, layers=1, width=32, patch_size=16, head_width=16)
    encoder = DualEncoder(
        Architecture(embed_dim=32, vision=vision, text=Text(context_length=32, width=32, heads=2, layers=1))
    )
    model = Model(encoder, Squash(canvas_px=32), ClipTokenizer(context_length=32), {"name": "tiny"}, device="cpu")
    return model.save(folder)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("web-model") / "tiny")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """96 disks with reports and labels, embedded; do not write to it."""
    from hilum.tasks import embed

    path = make_small_archive(tmp_path_factory.mktemp("web") / "archive", labels=True)
    embed(model_folder, path)
    return path


@pytest.fixture
def own_archive(embedded: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to, move and delete."""
    return Path(shutil.copytree(embedded, tmp_path / "own"))


def client_of(settings: Settings, **more: object) -> TestClient:
    return TestClient(create_app(settings), base_url=f"http://{HOST}", raise_server_exceptions=False, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def visitor(embedded: Path, model_folder: Path) -> Iterator[TestClient]:
    """A client that has brought the token; the server stays open for the module."""
    with client_of(Settings(embedded, (model_folder,), token=TOKEN), headers=BEARER) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(embedded: Path, model_folder: Path) -> Iterator[TestClient]:
    """A client without the token."""
    with client_of(Settings(embedded, (model_folder,), token=TOKEN), follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="session")
def png() -> bytes:
    """A radiograph-like picture as PNG."""
    yy, xx = np.mgrid[:160, :128]
    pixels = (110 + 90 * ((xx - 40) ** 2 + (yy - 80) ** 2 < 22**2)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
