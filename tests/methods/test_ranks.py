"""Rows of all processes, and their gradients, are those of one process."""

from __future__ import annotations

from typing import Any

import torch
from tests.methods.two_processes import run_two

from hilum.methods.contrast import symmetric_nce
from hilum.methods.ranks import ALONE, Ranks


def rows(seed: int, count: int = 8) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


def contrast_here(ranks: Ranks) -> dict[str, Any]:
    images, texts = (ranks.own(rows(seed)).clone().requires_grad_() for seed in (0, 1))
    scale = torch.tensor(1.5, requires_grad=True)
    loss = symmetric_nce(images, texts, scale, ranks)
    loss.backward()
    return {"loss": float(loss.detach()), "images": images.grad, "texts": texts.grad, "scale": scale.grad}


def test_two_processes_with_half_a_batch_give_the_loss_and_gradients_of_one() -> None:
    one = contrast_here(ALONE)
    two = run_two(contrast_here)
    assert abs(sum(r["loss"] for r in two) / 2 - one["loss"]) <= 1e-6
    for name in ("images", "texts"):  # averaged over processes, as the loop does with weights
        assert torch.allclose(torch.cat([r[name] for r in two]) / 2, one[name], atol=1e-6)
    assert torch.allclose((two[0]["scale"] + two[1]["scale"]) / 2, one["scale"], atol=1e-6)


def see(ranks: Ranks) -> dict[str, Any]:
    own = ranks.own(torch.arange(6).float())
    return {
        "all": ranks.gather_constant(own),
        "agreed": ranks.agree(torch.tensor([float(ranks.rank)])),
        "mean": ranks.mean(torch.tensor(float(ranks.rank))),
        "truth": ranks.truth(3, torch.device("cpu")),
    }


def test_processes_see_each_other_s_rows_in_order() -> None:
    first, second = run_two(see)
    assert first["all"].tolist() == second["all"].tolist() == [0, 1, 2, 3, 4, 5]
    assert second["agreed"].tolist() == [0.0]
    assert float(first["mean"]) == 0.5
    assert second["truth"].tolist() == [3, 4, 5]
