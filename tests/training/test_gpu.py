"""Pretraining on a GPU: every method, and what the CPU's tests cannot see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import make_small_archive

import hilum
from hilum.archive import Archive
from hilum.methods import METHODS
from hilum.sources import ingest
from hilum.sources.phantom import generate
from hilum.training import pretrain

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    generate(folder / "phantoms", patients=60, seed=0, side_px=128, workers=2)
    ingest("phantom", folder / "phantoms", folder / "archive", seed=0)
    return folder / "archive"


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.method is not None])
def test_a_method_trains_and_its_model_gives_the_same_on_the_cpu(
    name: str, precision: str, patients: Path, tmp_path: Path
) -> None:
    settings = ["batch_size=16", "epochs=2", "validate_every=4"]
    losses: list[float] = []
    pretrain(
        name,
        patients,
        tmp_path / "run",
        tiny=True,
        settings=settings,
        precision=precision,
        profiled=True,
        on_step=lambda progress: losses.append(progress.loss),
    )
    assert len(losses) > 4
    assert np.isfinite(losses).all()
    pixels = Archive.open(patients).pixels([0, 1, 2])
    on_gpu, on_cpu = (hilum.Model.load(tmp_path / "run", device=d).embed_images(pixels) for d in ("cuda", "cpu"))
    assert np.abs(on_gpu - on_cpu).max() < 5e-3  # convolutions of 19 bits' precision (TF32)


def test_a_step_is_chosen_by_zero_shot_auroc_on_the_gpu(tmp_path: Path) -> None:
    archive = make_small_archive(tmp_path / "archive", labels=True)
    done = pretrain("chexzero", archive, tmp_path / "run", tiny=True, settings=["batch_size=16", "epochs=2"])
    assert done.selected_by == "val_auroc"


def test_batches_augmented_beside_the_towers_are_those_the_towers_see(patients: Path, tmp_path: Path) -> None:
    """Nothing is learned, so that each step's loss tells of its batch alone: twice the same, to rounding."""
    settings = ["batch_size=16", "epochs=4", "learning_rate=1e-12", "queue=1024", "validate_every=1000"]
    runs: list[list[float]] = []
    for number in range(2):
        losses: list[float] = []
        pretrain(
            "moco-cxr",
            patients,
            tmp_path / str(number),
            tiny=True,
            settings=settings,
            profiled=number == 1,  # asks the GPU's clock after every section: other timing
            on_step=lambda progress, losses=losses: losses.append(progress.loss),  # type: ignore[misc]
        )
        runs.append(losses)
    assert np.allclose(runs[0], runs[1], rtol=1e-3)
