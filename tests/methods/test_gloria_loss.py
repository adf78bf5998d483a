"""GLoRIA's losses equal the loop over sentences, in one process and in two, and keep little."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.methods.two_processes import run_two
from torch import Tensor

from hilum.methods import word_matching
from hilum.methods.gloria_loss import global_contrast, local_contrast
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.word_matching import pack_words, text_matches, word_matches
from hilum.models.gloria_similarity import local_similarity, word_cosines

LENGTHS = torch.tensor([3, 7, 3, 1, 9, 7])


def features(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.norm() * b.norm())


def loop(regions: Tensor, words: Tensor, lengths: Tensor, t1: float, t2: float, t3: float, mean: bool) -> Tensor:
    """Section 3.4 of the paper, one image, one sentence and one word at a time: scores (B, M)."""
    rows = []
    for image in regions:  # (D, R)
        row = []
        for sentence, length in zip(words, lengths.tolist(), strict=True):
            products = torch.stack([image.T @ sentence[:, t] for t in range(length)])  # (T, R)
            over_words = products.exp() / products.exp().sum(dim=0)
            total = torch.zeros((), dtype=regions.dtype)
            for t in range(length):
                weights = (t1 * over_words[t]).exp()
                found = image @ (weights / weights.sum())
                total = total + (t2 * cosine(sentence[:, t], found)).exp()
            row.append(t3 * (total / length if mean else total).log())
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize("aggregation", ["sum", "mean"])
def test_the_local_loss_and_its_gradients_equal_the_loop(aggregation: Any) -> None:
    ours, theirs = (
        [features(6, 5, 12, seed=0).requires_grad_(), features(6, 5, 11, seed=1).requires_grad_()] for _ in range(2)
    )
    found = local_contrast(*ours, LENGTHS, attention=2.0, match=3.0, sharpness=1.5, aggregation=aggregation)
    scores = loop(*theirs, LENGTHS, 2.0, 3.0, 1.5, aggregation == "mean")
    truth = torch.arange(6)
    expected = F.cross_entropy(scores, truth), F.cross_entropy(scores.T, truth)
    assert torch.allclose(torch.stack(found), torch.stack(expected), atol=1e-12)
    (found.to_text + 0.3 * found.to_image).backward()
    (expected[0] + 0.3 * expected[1]).backward()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-12)


@pytest.mark.parametrize("block", [1, 200, 1 << 20])
def test_the_gradient_of_matches_is_that_of_finite_differences(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_matching, "_BLOCK", {"cpu": block})
    regions, words = features(3, 4, 5, seed=2).requires_grad_(), features(3, 4, 6, seed=3).requires_grad_()

    def matched(regions: Tensor, words: Tensor) -> Tensor:
        packed = pack_words(words, torch.tensor([2, 6, 3]))
        return text_matches(word_matches(regions, packed, 4.0), packed, 5.0)

    assert torch.autograd.gradcheck(matched, (regions, words))


def test_matches_in_training_are_those_of_the_model_in_use() -> None:
    regions, words = features(4, 5, 12, seed=4), features(6, 5, 9, seed=5)
    there = torch.arange(9) < LENGTHS[:, None]
    packed = pack_words(words, LENGTHS)
    ours = text_matches(word_matches(regions, packed, 4.0), packed, 5.0)
    in_use = word_cosines(regions, words, there, 4.0).masked_fill(~there, -torch.inf)
    assert torch.allclose(ours, (5 * in_use).exp().sum(dim=2).log())
    assert torch.allclose(local_similarity(regions, words, LENGTHS - 1)[:, LENGTHS == 1], torch.zeros(4, 1).double())


def test_what_stands_behind_a_sentence_does_not_matter() -> None:
    regions, words = features(6, 5, 12, seed=6), features(6, 5, 9, seed=7)
    other = words.clone()
    for sentence, length in zip(other, LENGTHS.tolist(), strict=True):
        sentence[:, length:] = math.nan
    assert local_contrast(regions, words, LENGTHS) == local_contrast(regions, other, LENGTHS)


@pytest.mark.parametrize("empty", ["regions", "words"])
def test_features_of_length_zero_give_finite_gradients(empty: str) -> None:
    given = {"regions": features(6, 5, 12, seed=8), "words": features(6, 5, 9, seed=9)}
    given[empty][1] = 0
    given = {name: value.float().requires_grad_() for name, value in given.items()}
    sum(local_contrast(**given, lengths=LENGTHS)).backward()
    assert all(value.grad.isfinite().all() for value in given.values())


def test_large_products_do_not_overflow() -> None:
    regions, words = 100 * features(6, 5, 12, seed=10).float(), 100 * features(6, 5, 9, seed=11).float()
    assert all(loss.isfinite() for loss in local_contrast(regions, words, LENGTHS))


def test_the_global_loss_equals_the_loop() -> None:
    images, texts = features(5, 3, seed=12), features(5, 3, seed=13)
    cosines = [[math.exp(10 * cosine(i, t).item()) for t in texts] for i in images]
    to_text = -sum(math.log(cosines[i][i] / sum(cosines[i])) for i in range(5)) / 5
    to_image = -sum(math.log(cosines[i][i] / sum(row[i] for row in cosines)) for i in range(5)) / 5
    assert [float(x) for x in global_contrast(images, texts)] == pytest.approx([to_text, to_image])


def losses_here(ranks: Ranks) -> dict[str, Any]:
    names = {"images": (6, 5), "texts": (6, 5), "regions": (6, 5, 12), "words": (6, 5, 9)}
    rows = {
        name: ranks.own(features(*shape, seed=20 + i).float()).clone().requires_grad_()
        for i, (name, shape) in enumerate(names.items())
    }
    lengths = ranks.own(LENGTHS)  # the longest sentences of the two processes differ
    whole = global_contrast(rows["images"], rows["texts"], ranks=ranks)
    local = local_contrast(rows["regions"], rows["words"], lengths, ranks=ranks)
    loss = sum(whole) + sum(local)
    loss.backward()
    return {"losses": [float(x.detach()) for x in (*whole, *local)], **{n: r.grad for n, r in rows.items()}}


def test_two_processes_with_half_a_batch_give_the_losses_and_gradients_of_one() -> None:
    one = losses_here(ALONE)
    two = run_two(losses_here)
    mean = [(a + b) / 2 for a, b in zip(*(r["losses"] for r in two), strict=True)]
    assert mean == pytest.approx(one["losses"], abs=1e-5)
    for name in ("images", "texts", "regions", "words"):
        assert torch.allclose(torch.cat([r[name] for r in two]) / 2, one[name], atol=1e-5)


def test_memory_kept_for_the_backward_pass_grows_linearly_with_the_sentences() -> None:
    def kept(texts: int) -> int:
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        regions = features(4, 8, 50, seed=0).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            word_matches(regions, pack_words(features(texts, 8, 10, seed=1), torch.full((texts,), 10)), 4.0)
        return total

    constant = kept(0 + 4) - (kept(8) - kept(4))
    assert kept(16) - constant == 4 * (kept(4) - constant)
    assert (
        kept(16) < 3.2 * 16 * 10 * 4 * 50
    )  # less than the loop keeps: three such blocks, and words as wide as features
