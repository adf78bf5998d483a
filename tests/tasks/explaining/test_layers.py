"""The cells of a tower's map look where its lattice says: a square that is switched on changes them there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tasks.explaining.planted import model_of

from hilum.errors import ModelError
from hilum.models.placement import Placement
from hilum.tasks.explaining.heatmap import onto_image
from hilum.tasks.explaining.layers import evidence_layer, own_modules


def mean_error(tower: str, side_px: int, tries: int = 24) -> tuple[np.ndarray, float]:
    """Mean of (row, column) that the middle of the change lies beside the square's, and a cell's side; in pixels."""
    encoder = own_modules(model_of(tower, side_px).encoder)
    layer = evidence_layer(encoder, side_px)
    seen: list[torch.Tensor] = []
    layer.module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    rng, errors = np.random.default_rng(0), []
    for _ in range(tries):
        off = torch.from_numpy(rng.normal(size=(1, 3, side_px, side_px)).astype(np.float32))
        y, x = (int(v) for v in rng.integers(side_px // 4, side_px * 3 // 4 - 8, 2))
        on = off.clone()
        on[..., y : y + 8, x : x + 8] += 2
        seen.clear()
        with torch.no_grad():
            encoder.encode_images(off)
            encoder.encode_images(on)
        change = (layer.grid(seen[1]) - layer.grid(seen[0])).pow(2).sum(dim=1)[0].numpy()
        full = onto_image(change, layer.lattice, Placement(0, 0, side_px, side_px, side_px), (side_px, side_px))
        weight = np.clip(full - 0.3 * full.max(), 0, None)
        centers = np.arange(side_px) + 0.5
        at = np.array([weight.sum(axis=1) @ centers, weight.sum(axis=0) @ centers]) / weight.sum()
        errors.append(at - [y + 4, x + 4])
    return np.mean(errors, axis=0), layer.lattice.step * side_px


# Even tiles would be half a cell off for the ResNet.
@pytest.mark.parametrize(
    ("tower", "side_px"),
    [
        ("resnet-tiny", 96),
        ("vit-tiny", 64),
        ("vit-tiny", 68),
        ("swin-micro", 64),
        ("clip-vit", 64),
        ("clip-resnet", 96),
    ],
)
def test_a_square_that_is_switched_on_changes_the_map_where_it_lies(tower: str, side_px: int) -> None:
    error, cell_px = mean_error(tower, side_px)
    assert np.abs(error).max() < 0.2 * cell_px


def test_small_images_are_asked_in_an_earlier_stage() -> None:
    model = model_of("resnet-tiny", 48)  # the last stage would have 3 x 3 cells
    assert evidence_layer(model.encoder, 48).module is model.encoder.image_tower.layer3


def test_a_tower_without_known_stages_is_refused() -> None:
    model = model_of("mixer_s32_224", 64)
    model.encoder.image_tower.net.feature_info = []
    with pytest.raises(ModelError, match="do not know which layer"):
        evidence_layer(model.encoder, 64)
