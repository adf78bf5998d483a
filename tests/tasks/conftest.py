"""A tiny untrained model, and a labeled archive of disks that it can tell apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.conftest import make_small_archive

from hilum.models import ImageArchitecture, ImageEncoder, Model, Squash, tower_named


def tiny_model(seed: int = 0, name: str = "tiny") -> Model:
    """Random weights, 128 features, 32-pixel images."""
    torch.manual_seed(seed)
    encoder = ImageEncoder(ImageArchitecture(tower=tower_named("resnet-tiny")))
    return Model(encoder, Squash(canvas_px=32), None, {"name": name}, device="cpu")


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="session")
def labeled_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 disks, bright (Pleural Effusion) or dark (Pneumothorax); 48 train, 32 val, 16 test. Features may be kept in it."""
    return make_small_archive(tmp_path_factory.mktemp("labeled") / "archive", labels=True)
