"""Momentum contrast's parts: the queue, the encoder that follows, the shuffled batch, the loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hilum.errors import RecipeError
from hilum.methods.moco import (
    EMPTY,
    Follower,
    Queue,
    check_queue,
    contrast,
    drawn,
    encode_shuffled,
    first_among,
    first_is_right,
)


def rows(count: int, width: int = 3, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_a_queue_starts_as_noise_of_length_one_and_overwrites_its_oldest_keys() -> None:
    queue = Queue(3, 6, ("patient",))
    assert torch.allclose(queue.keys.norm(dim=0), torch.ones(6))
    assert queue.empty().all()
    assert queue.patient.tolist() == [EMPTY] * 6
    noise = queue.keys.clone()
    seen = []
    for start in (0, 4, 8):
        keys = rows(4, seed=start)
        queue.put(keys, patient=torch.arange(start, start + 4))
        seen.append((queue.pointer.item(), queue.filled.item()))
        if start == 0:
            assert torch.equal(queue.keys[:, :4], keys.T)
            assert torch.equal(queue.keys[:, 4:], noise[:, 4:])
            assert queue.empty().tolist() == [False] * 4 + [True] * 2
    assert seen == [(4, 4), (2, 6), (0, 6)]
    assert queue.patient.tolist() == [6, 7, 8, 9, 10, 11]
    assert torch.equal(queue.keys[:, 2:], rows(4, seed=8).T)


def test_the_follower_moves_by_its_momentum_and_keeps_its_own_batch_statistics() -> None:
    def net(value: float) -> nn.Module:
        made = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        for tensor in (*made.parameters(), made[1].running_mean):
            nn.init.constant_(tensor, value)
        return made

    key, query = net(1.0), net(3.0)
    Follower(key, query).follow(0.75)
    assert all(torch.allclose(p, torch.full_like(p, 1.5)) for p in key.parameters())
    assert key[1].running_mean.tolist() == [1.0, 1.0]
    assert all((p == 3).all() for p in query.parameters())


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_equals_the_loop(weighted: bool) -> None:
    query, key, queue = rows(5, seed=1), rows(5, seed=2), rows(7, seed=3).T
    logits = contrast(query, key, queue, 0.3)
    weights = torch.rand(5, 8, generator=torch.Generator().manual_seed(0)) if weighted else None
    total = 0.0
    for i in range(5):
        terms = [float(query[i] @ key[i]) / 0.3] + [float(query[i] @ queue[:, j]) / 0.3 for j in range(7)]
        factors = weights[i].tolist() if weights is not None else [1.0] * 8
        total += -terms[0] + math.log(sum(w * math.exp(x) for w, x in zip(factors, terms, strict=True)))
    assert float(first_is_right(logits, weights)) == pytest.approx(total / 5, abs=1e-6)


def test_accuracy_is_the_share_of_rows_whose_key_is_among_the_nearest() -> None:
    logits = torch.tensor([[3.0, 1, 2, 0], [1, 2, 0, 0], [0, 1, 2, 3]])
    assert [round(float(first_among(logits, k)), 3) for k in (1, 2, 3, 4)] == [0.333, 0.667, 0.667, 1.0]


def test_draws_depend_on_seed_step_and_what_is_drawn_alone() -> None:
    def numbers(*which: int) -> list[float]:
        return torch.rand(3, generator=drawn(*which)).tolist()

    assert numbers(1, 2, 0) == numbers(1, 2, 0)
    assert len({tuple(numbers(*which)) for which in ((1, 2, 0), (1, 2, 1), (1, 3, 0), (2, 2, 0), (2**61, 2, 0))}) == 5


def test_one_process_encodes_in_any_order_and_gives_back_the_order_it_got() -> None:
    images = torch.arange(6.0)[:, None]
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    seen = []

    def encode(mixed: Tensor) -> Tensor:
        seen.append(mixed[:, 0].tolist())
        return mixed * 10

    assert torch.equal(encode_shuffled(encode, images, order), images * 10)
    assert seen == [[3, 1, 5, 0, 4, 2]]


@pytest.mark.parametrize(
    ("slots", "batch_size", "message"),
    [
        (
            24576,
            20,
            "queue=24576 is not a multiple of batch_size=20 .* Give queue=24560 or 24580, or batch_size=16 or 24",
        ),
        (8, 16, "Give queue=16, or batch_size=8"),
    ],
)
def test_a_queue_that_batches_do_not_fill_is_refused_with_what_would_fit(
    slots: int, batch_size: int, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        check_queue("moco-cxr", slots, batch_size)
    check_queue("moco-cxr", 24576, 16)
