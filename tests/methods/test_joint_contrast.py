"""The closed form equals the loop over keys with covariance matrices written out."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from hilum.methods.joint_contrast import joint_contrast


def unit_rows(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def loop(queries: torch.Tensor, keys: torch.Tensor, negatives: torch.Tensor, tau: float, ratio: float) -> torch.Tensor:
    total = queries.new_zeros(())
    for q, own in zip(queries, keys, strict=True):
        mean = own.mean(0)
        sigma = sum(torch.outer(k - mean, k - mean) for k in own) / len(own)
        scaled = ratio * sigma / tau
        positive = q @ (mean + 0.5 * scaled @ q) / tau
        others = torch.stack([q @ n / tau for n in negatives])
        total = total - positive + torch.logsumexp(torch.cat([positive[None], others]), 0)
        total = total + 0.5 * q @ scaled @ q / tau
    return total / len(queries)


@pytest.mark.parametrize(("keys", "ratio"), [(5, 2.0), (2, 0.02), (1, 2.0), (3, 0.0)])
def test_the_loss_and_its_gradient_are_those_of_the_loop_over_covariances(keys: int, ratio: float) -> None:
    views, negatives = unit_rows(4, keys, 6, seed=1), unit_rows(9, 6, seed=2)
    ours, theirs = (unit_rows(4, 6, seed=3).requires_grad_() for _ in range(2))
    fast = joint_contrast(ours, views, negatives, 0.1, ratio).loss
    slow = loop(theirs, views, negatives, 0.1, ratio)
    assert fast.item() == pytest.approx(slow.item(), abs=1e-12)
    fast.backward()
    slow.backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-12)


def test_the_bound_is_above_the_mean_loss_over_normally_distributed_keys() -> None:
    """Cai et al.: -log E exp is at most E -log, so ratio=1 bounds the expected loss over the keys' distribution from above."""
    query, views, negatives = unit_rows(1, 6, seed=3), unit_rows(1, 5, 6, seed=1), unit_rows(9, 6, seed=2)
    mean, centered = views[0].mean(0), views[0] - views[0].mean(0)
    draws = mean + torch.randn(20_000, 5, generator=torch.Generator().manual_seed(0)).double() @ centered / math.sqrt(5)
    positive = draws @ query[0] / 0.5
    others = torch.logsumexp(negatives @ query[0] / 0.5, 0)
    expected = (torch.logaddexp(positive, others) - positive).mean()
    assert float(joint_contrast(query, views, negatives, 0.5, 1.0).loss) > float(expected)


def test_no_gradient_flows_into_keys_or_queue() -> None:
    query, keys, negatives = (unit_rows(*s, seed=i).requires_grad_() for i, s in enumerate([(4, 6), (4, 3, 6), (9, 6)]))
    joint_contrast(query, keys, negatives, 0.1, 1.0).loss.backward()
    assert query.grad is not None
    assert keys.grad is None
    assert negatives.grad is None
