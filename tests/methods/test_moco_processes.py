"""Two processes with half the batch each are one process with the whole batch: losses, gradients, queues."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.methods.two_processes import run_two
from torch import Tensor

from hilum.methods.medaug import MedAug, MedAugMethod, PairViews
from hilum.methods.moco import encode_shuffled
from hilum.methods.moco_cxr import MoCoCXR, MoCoCXRMethod, MomentumContrast, Views
from hilum.methods.ranks import ALONE, Ranks

SIDE, BATCH, STEPS = 32, 8, 3
SMALL: dict[str, Any] = {"tower": "vit-tiny", "init": "random", "side_px": SIDE, "dim": 8, "batch_size": BATCH}
RECIPES = {
    "moco-cxr": MoCoCXR(**SMALL, queue=16, key_momentum=0.5),
    "mask_unfilled": MoCoCXR(**SMALL, queue=32, key_momentum=0.5, mask_unfilled=True),
    "append": MedAug(**SMALL, queue=8, hard_negatives="append", append_share=0.25),
    "synthesize": MedAug(**SMALL, queue=8, hard_negatives="synthesize", append_share=0.25),
    "reweight": MedAug(**SMALL, queue=8, hard_negatives="reweight", hard_share=0.8),
    "lateral-only": MedAug(**SMALL, queue=16, hard_negatives="lateral-only"),
    "subsample": MedAug(**SMALL, queue=8, hard_negatives="subsample"),
}


def batch_of(step: int) -> PairViews:
    """A whole batch: half of it frontal; each partner of the image's patient, in the other view."""
    draws = torch.Generator().manual_seed(step)
    views = torch.randint(0, 256, (BATCH, 2, SIDE, SIDE), dtype=torch.uint8, generator=draws)
    people = torch.randint(0, 3, (BATCH, 2), generator=draws)
    view = torch.arange(BATCH) % 2
    nothing = torch.zeros(BATCH, 1, 1, dtype=torch.uint8), torch.ones(BATCH, 2, dtype=torch.int64)
    facts, other = (torch.cat([people, v[:, None]], dim=1) for v in (view, 1 - view))
    return PairViews(*nothing, views, *nothing, facts, other)


def train_here(ranks: Ranks, name: str) -> dict[str, Any]:
    """A few steps of plain gradient descent, gradients averaged over processes."""
    torch.manual_seed(0)
    recipe = RECIPES[name]
    method: MomentumContrast[Any, Any, Any] = (
        MedAugMethod(recipe) if isinstance(recipe, MedAug) else MoCoCXRMethod(recipe)
    )
    method.train()
    losses, gradients = [], []
    for step in range(STEPS):
        whole = batch_of(step)
        own = BATCH // ranks.world
        batch = whole.part(ranks.rank * own, (ranks.rank + 1) * own)
        if name in ("moco-cxr", "mask_unfilled"):
            batch = Views(batch.pixels, batch.sizes, batch.views)
        method.before_step(step, STEPS, ranks)
        named, rows = method(batch, None, ranks)
        method.zero_grad()
        named["loss"].backward()
        losses.append(float(named["loss"].detach()))
        step_gradients = []
        for parameter in method.query.parameters():
            assert parameter.grad is not None
            gradient = ranks.mean(parameter.grad)
            step_gradients.append(gradient.flatten())
            with torch.no_grad():
                parameter -= 0.1 * gradient
        gradients.append(torch.cat(step_gradients))
        method.after_losses(batch, {k: v.detach() for k, v in rows.items()}, ranks)
    return {"losses": losses, "gradients": gradients, "state": dict(method.state_dict())}


def shuffle_here(ranks: Ranks) -> dict[str, Any]:
    images = ranks.own(torch.arange(8.0)[:, None])
    seen: list[list[float]] = []

    def encode(mixed: Tensor) -> Tensor:
        seen.append(mixed[:, 0].tolist())
        return torch.cat([mixed * 10, mixed.mean().expand(len(mixed), 1)], dim=1)  # a batch statistic

    out = encode_shuffled(encode, images, torch.tensor([7, 6, 2, 5, 1, 3, 4, 0]), ranks)
    return {"own": images, "seen": seen[0], "out": out}


def batch_norm_here(ranks: Ranks) -> dict[str, Any]:
    """The key encoder's first batch statistics after one step, and the mean of this process's own images."""
    torch.manual_seed(0)
    method = MoCoCXRMethod(MoCoCXR(**{**SMALL, "tower": "resnet-tiny", "queue": 8, "key_momentum": 1.0}))
    method.train()
    views = batch_of(0).views
    assert views is not None
    own = ranks.own(views.clone())
    own[:] = 255 if ranks.rank else 0  # the two processes' images differ as much as images can
    counts = torch.full((len(own), 1, 1), 0, dtype=torch.uint8), torch.ones(len(own), 2, dtype=torch.int64)
    method.encode(Views(*counts, own), ranks)
    return {side: getattr(method, side).image_tower.bn1.running_mean.clone() for side in ("query", "key")}


def everything_here(ranks: Ranks) -> dict[str, Any]:
    """All of the above, for starting processes takes longer than what they do."""
    made = {name: train_here(ranks, name) for name in RECIPES}
    return {**made, "shuffled": shuffle_here(ranks), "batch norm": batch_norm_here(ranks)}


@pytest.fixture(scope="module")
def two() -> list[dict[str, Any]]:
    return run_two(everything_here)


@pytest.mark.parametrize("name", RECIPES)
def test_losses_gradients_weights_and_queue_are_those_of_one_process(two: list[dict[str, Any]], name: str) -> None:
    one, (first, second) = train_here(ALONE, name), (process[name] for process in two)
    assert torch.tensor(one["losses"]).unique().numel() == STEPS, "every step differs"
    for step in range(STEPS):
        assert (first["losses"][step] + second["losses"][step]) / 2 == pytest.approx(one["losses"][step], abs=1e-5)
        assert torch.allclose(first["gradients"][step], one["gradients"][step], atol=1e-5)
    for process in (first, second):
        assert process["state"].keys() == one["state"].keys()
        for key, value in one["state"].items():
            assert torch.allclose(process["state"][key], value, atol=1e-5), key
    assert one["state"]["queue.filled"].item() == min(STEPS * BATCH, RECIPES[name].queue)


def test_processes_exchange_images_and_get_their_own_rows_back(two: list[dict[str, Any]]) -> None:
    one, parts = shuffle_here(ALONE), [process["shuffled"] for process in two]
    assert [part["seen"] for part in parts] == [[7, 6, 2, 5], [1, 3, 4, 0]]
    assert torch.equal(torch.cat([part["out"][:, 0] for part in parts]), one["out"][:, 0])
    among = {image: float(torch.tensor(part["seen"]).mean()) for part in parts for image in part["seen"]}
    for part in parts:
        assert part["out"][:, 1].tolist() == [among[image] for image in part["own"][:, 0].tolist()]


def test_the_key_encoder_s_batch_statistics_are_of_images_of_both_processes(two: list[dict[str, Any]]) -> None:
    alike = (two[0]["batch norm"]["key"] - two[1]["batch norm"]["key"]).abs().max()
    apart = (two[0]["batch norm"]["query"] - two[1]["batch norm"]["query"]).abs().max()
    assert apart > 0
    assert alike < apart / 1.5, "queries stay where they are, keys are mixed"
