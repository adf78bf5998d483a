"""S2MTS2's pretraining: many views an image, a growing weight of their spread, a queue that all processes share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.methods.two_processes import run_two

from hilum.archive import Archive
from hilum.errors import RecipeError
from hilum.methods.method import Share
from hilum.methods.moco_cxr import Views
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.s2mts2 import S2MTS2, S2MTS2Method
from hilum.models import Model
from hilum.models.towers_vit import ViT

NO_BATCH_STATISTICS = ViT(image_size=32, patch=16, width=16, layers=1, heads=2, mlp=32)


def small(**settings: Any) -> S2MTS2Method:
    torch.manual_seed(0)
    values = {"side_px": 32, "canvas_px": 40, "dim": 8, "queue": 16, "batch_size": 8, **settings}
    return S2MTS2Method(S2MTS2.model_validate({**S2MTS2.tiny, **values}), NO_BATCH_STATISTICS)


def some_views(count: int, keys: int) -> Views:
    views = torch.randint(256, (count, 1 + keys, 32, 32), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return Views(views[:, 0], torch.full((count, 2), 32), views)


def step_of(ranks: Ranks, compat: bool = False) -> dict[str, Any]:
    method = small(compat=compat, keys=3, queue=16)
    batch = some_views(8, 3)
    mine = Views(*(ranks.own(part) for part in (batch.pixels, batch.sizes, batch.views)))
    for number in range(2):
        method.zero_grad()
        method.before_step(number, 2, ranks)
        losses, rows = method(mine, None, ranks)
        losses["loss"].backward()
        method.after_losses(mine, {k: v.detach() for k, v in rows.items()}, ranks)
    gradients = {name: p.grad for name, p in method.named_parameters() if p.requires_grad}
    return {
        "loss": float(losses["loss"].detach()),
        "gradients": gradients,
        "queue": method.queue.keys,
        "key": rows["keys"],
    }


def right_and_released(ranks: Ranks) -> list[dict[str, Any]]:
    return [step_of(ranks, compat) for compat in (False, True)]


@pytest.fixture(scope="module")
def two_processes() -> list[Any]:
    return run_two(right_and_released)


def test_two_processes_with_half_a_batch_give_the_step_and_queue_of_one(two_processes: list[Any]) -> None:
    one, two = step_of(ALONE), [right for right, _ in two_processes]
    assert sum(r["loss"] for r in two) / 2 == pytest.approx(one["loss"], abs=1e-5)
    for name, gradient in one["gradients"].items():
        assert gradient is not None, name
        assert torch.allclose((two[0]["gradients"][name] + two[1]["gradients"][name]) / 2, gradient, atol=1e-5), name
    for r in two:
        assert torch.allclose(r["queue"], one["queue"], atol=1e-6)


def test_as_released_each_process_keeps_a_queue_of_its_own(two_processes: list[Any]) -> None:
    first, second = (released for _, released in two_processes)
    assert not torch.allclose(first["queue"], second["queue"])


@pytest.mark.parametrize("compat", [False, True])
def test_means_enter_the_queue_as_unit_vectors_or_as_released_shorter(compat: bool) -> None:
    method = small(compat=compat, keys=3)
    batch = some_views(8, 3)
    rows = method.encode(batch)
    method.after_losses(batch, rows)
    means = torch.nn.functional.normalize(rows["keys"], dim=-1).mean(1)
    lengths = method.queue.keys[:, :8].norm(dim=0)
    assert torch.allclose(lengths, means.norm(dim=1) if compat else torch.ones(8), atol=1e-5)
    assert bool((means.norm(dim=1) < 1).all())


def test_the_head_s_first_layer_is_applied_once_and_as_released_twice() -> None:
    images = torch.randn(4, 3, 32, 32)
    for compat in (False, True):
        method = small(compat=compat)
        first, rest = method.query.head[0], method.query.head[1:]
        pooled = method.query.image_tower(images)
        expected = rest(first(first(pooled)) if compat else first(pooled))
        assert torch.equal(method.query.project(images), expected)


def test_the_spread_s_weight_grows_by_epoch_to_its_full_value() -> None:
    recipe = S2MTS2(epochs=4, ratio=2.0)
    assert [recipe.spread_weight(step, 12) for step in range(0, 12)] == [0.5] * 3 + [1.0] * 3 + [1.5] * 3 + [2.0] * 3


def test_the_key_encoder_follows_the_query_by_parameters_alone() -> None:
    method = small(key_momentum=0.9)
    with torch.no_grad():
        for parameter in method.query.parameters():
            parameter.add_(1.0)
    before = [p.clone() for p in method.key.parameters()]
    method.before_step(0, 10)
    for old, key in zip(before, method.key.parameters(), strict=True):
        assert torch.allclose(key, old + 0.1, atol=1e-6)
        assert not key.requires_grad


def test_a_queue_that_batches_do_not_fill_is_refused_before_anything_is_built() -> None:
    with pytest.raises(RecipeError, match="queue=20 is not a multiple of batch_size=8"):
        small(queue=20)


def test_every_image_gives_one_query_and_m_keys_drawn_apart(small_archive: Path) -> None:
    method = small(keys=3)
    examples = method.collect(Share(Archive.open(small_archive)), "train")
    batch = method.read(examples, np.arange(4), np.random.default_rng(0))
    views = method.augment(batch, torch.Generator().manual_seed(0)).views
    assert views.shape == (4, 4, 32, 32)
    assert len({views[0, v].numpy().tobytes() for v in range(4)}) == 4
    fixed = method.read(examples, np.arange(4), None).views
    assert torch.equal(fixed[:, 0], fixed[:, 3])


def test_the_exported_encoder_gives_the_pooled_features_again_from_its_folder(tmp_path: Path) -> None:
    method = small()
    pixels = [np.random.default_rng(i).integers(0, 256, (50, 40)).astype(np.uint8) for i in range(3)]
    model = method.model({"name": "m"}, "cpu")
    model.save(tmp_path / "m")
    features = Model.load(tmp_path / "m", "cpu").features(pixels)
    assert features.shape == (3, 16)
    assert np.array_equal(features, model.features(pixels))
