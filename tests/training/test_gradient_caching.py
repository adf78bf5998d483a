"""A batch encoded in parts gives the gradients of the batch at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric

from hilum.archive import Archive
from hilum.methods import find_method
from hilum.methods.method import Method, Share
from hilum.training.step import Step, backward
from hilum.training.stopwatch import Stopwatch

CPU = torch.device("cpu")
SMALL = [
    "tower=vit",
    "side_px=64",
    "canvas_px=64",
    "patch_px=16",
    "vision_width=64",
    "vision_layers=1",
    "text_layers=1",
]


@pytest.fixture
def method() -> Method:
    torch.manual_seed(0)
    entry = find_method("chexzero")
    assert entry.method is not None
    return entry.method(entry.recipe.resolve([*SMALL, "text_width=64", "augment=none"], tiny=True))


def gradients(method: Method, archive: Path, chunk: int | None) -> tuple[float, dict[str, torch.Tensor]]:
    import numpy as np

    share = Share(Archive.open(archive))
    batch = method.read(method.collect(share, "train"), np.arange(12), None)
    fabric = Fabric(accelerator="cpu", devices=1)
    module = fabric.setup(Step(method))
    method.zero_grad(set_to_none=True)
    losses, _ = backward(module, batch, fabric, Stopwatch(CPU), chunk)
    return float(losses["loss"]), {name: p.grad.clone() for name, p in method.named_parameters()}


@pytest.mark.parametrize("chunk", [1, 5, 12])
def test_gradients_in_parts_equal_those_at_once(method: Method, small_archive: Path, chunk: int) -> None:
    loss, whole = gradients(method, small_archive, None)
    in_parts, parts = gradients(method, small_archive, chunk)
    assert in_parts == pytest.approx(loss, abs=1e-6)
    for name, gradient in whole.items():
        assert torch.allclose(parts[name], gradient, atol=1e-6, rtol=1e-4), name


def test_running_averages_are_updated_once(small_archive: Path) -> None:
    torch.manual_seed(0)
    entry = find_method("chexzero")
    assert entry.method is not None
    recipe = entry.recipe.resolve(["side_px=64", "canvas_px=64", "vision_width=8", "text_layers=1"], tiny=True)
    with_norm = entry.method(recipe)
    counters = [b for name, b in with_norm.named_buffers() if name.endswith("num_batches_tracked")]
    gradients(with_norm, small_archive, 4)
    assert {int(c) for c in counters} == {3}
