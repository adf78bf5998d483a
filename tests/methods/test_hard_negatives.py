"""Negatives by view: masks, factors and further columns are those of a loop over queries and slots."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from torch import Tensor

from hilum.errors import TrainingError
from hilum.methods import hard_negatives as hard
from hilum.methods.hard_negatives import Facts, Mixing
from hilum.methods.moco import contrast, first_is_right
from hilum.methods.patient_pairs import FRONTAL, LATERAL, UNKNOWN, Policy

N, K, D, TAU = 6, 40, 5, 0.2
QUERY_VIEWS = [FRONTAL, LATERAL, FRONTAL, UNKNOWN, LATERAL, FRONTAL]


@pytest.fixture
def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def queries(draws: torch.Generator) -> Facts:
    return Facts(*(torch.randint(0, high, (N,), generator=draws) for high in (4, 3)), torch.tensor(QUERY_VIEWS))


@pytest.fixture
def slots(draws: torch.Generator) -> Facts:
    """30 frontal slots, 9 lateral ones, 1 of unknown view, in random order."""
    views = torch.tensor([FRONTAL] * 30 + [LATERAL] * 9 + [UNKNOWN])[torch.randperm(K, generator=draws)]
    return Facts(*(torch.randint(0, high, (K,), generator=draws) for high in (4, 3)), views)


@pytest.fixture
def vectors(draws: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and queue, of length one."""
    rows = [F.normalize(torch.randn(n, D, generator=draws), dim=1) for n in (N, N, K)]
    return rows[0], rows[1], rows[2].T


@pytest.fixture
def logits(vectors: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return contrast(*vectors, TAU)


def test_easy_slots_show_another_known_view(queries: Facts, slots: Facts) -> None:
    easy = hard.easy(queries, slots)
    for n in range(N):
        for k in range(K):
            views = {int(queries.laterality[n]), int(slots.laterality[k])}
            assert bool(easy[n, k]) == (views == {FRONTAL, LATERAL})


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(same_study=True),
        Policy(different_study=True),
        Policy(same_study=True, different_laterality=True),
        Policy(same_laterality=True),
    ],
)
def test_positives_are_what_the_policy_would_pair(queries: Facts, slots: Facts, policy: Policy) -> None:
    found = hard.positives(queries, slots, policy)
    assert found.any()
    for n in range(N):
        for k in range(K):
            (patient, study, view), (patient_k, study_k, view_k) = (
                [int(part[i]) for part in facts] for facts, i in ((queries, n), (slots, k))
            )
            known = UNKNOWN not in (view, view_k)
            expected = patient == patient_k
            expected &= not policy.same_study or study == study_k
            expected &= not policy.different_study or study != study_k
            expected &= not policy.same_laterality or (known and view == view_k)
            expected &= not policy.different_laterality or (known and view != view_k)
            assert bool(found[n, k]) == expected


def test_empty_slots_are_nobody_s_positive() -> None:
    empty = Facts(*(torch.full((4,), -1) for _ in range(3)))
    queries = Facts(torch.tensor([3, 0]), torch.tensor([1, 0]), torch.tensor([FRONTAL, LATERAL]))
    assert not hard.positives(queries, empty, Policy(same_study=True)).any()
    assert hard.easy(queries, empty).all(), "left out by lateral-only, as released"


def test_what_is_left_out_does_not_count(queries: Facts, slots: Facts, logits: Tensor) -> None:
    mask = hard.easy(queries, slots)
    loss = first_is_right(hard.without(logits, mask))
    rows = []
    for n in range(N):
        terms = [math.exp(logits[n, 0])] + [math.exp(logits[n, 1 + k]) for k in range(K) if not mask[n, k]]
        rows.append(-float(logits[n, 0]) + math.log(sum(terms)))
    assert float(loss) == pytest.approx(sum(rows) / N, abs=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_reweighting_gives_hard_negatives_their_share(
    queries: Facts, slots: Facts, logits: Tensor, share: float
) -> None:
    weights = hard.reweighted(queries, slots, share)
    easy = hard.easy(queries, slots)
    assert (weights[:, 0] == 1).all()
    for n in range(N):
        of_hard, all_ = float(weights[n, 1:][~easy[n]].sum()), float(weights[n, 1:].sum())
        assert all_ == pytest.approx(K, rel=1e-5)
        assert of_hard / all_ == pytest.approx(1.0 if QUERY_VIEWS[n] == UNKNOWN else share, rel=1e-5)
    looped = [
        -float(logits[n, 0]) + math.log(sum(float(w) * math.exp(x) for w, x in zip(weights[n], logits[n], strict=True)))
        for n in range(N)
    ]
    assert float(first_is_right(logits, weights)) == pytest.approx(sum(looped) / N, abs=1e-6)


def test_a_queue_of_one_view_is_not_reweighted(queries: Facts) -> None:
    slots = Facts(*(torch.zeros(K, dtype=torch.int64) for _ in range(3)))
    assert (hard.reweighted(queries, slots, 0.9) == 1).all()


def test_thinning_leaves_the_share_of_hard_slots_and_leaves_out_easy_ones_alone(
    slots: Facts, draws: torch.Generator
) -> None:
    left_out = hard.thinned(slots, 0.8, draws)
    for own, other in ((FRONTAL, LATERAL), (LATERAL, FRONTAL)):
        assert (slots.laterality[left_out[own]] == other).all()
        kept = slots.laterality[~left_out[own]]
        n_hard, n_easy = int((kept != other).sum()), int((kept == other).sum())
        assert n_easy == min(int((slots.laterality == other).sum()), round(n_hard * 0.2 / 0.8))
    assert not torch.equal(left_out, hard.thinned(slots, 0.8, draws)), "drawn, not fixed"


def test_a_sample_holds_different_slots_of_one_view_all_equally_probable(slots: Facts, draws: torch.Generator) -> None:
    seen = torch.zeros(K)
    for _ in range(2000):
        chosen = hard.sample(slots, 4, draws)
        for view in (FRONTAL, LATERAL):
            assert len(set(chosen[view].tolist())) == 4
            assert (slots.laterality[chosen[view]] == view).all()
        seen += torch.bincount(chosen.flatten(), minlength=K)
    for view in (FRONTAL, LATERAL):
        assert chisquare(seen[slots.laterality == view].numpy()).pvalue > 1e-3


def test_too_few_slots_of_a_view_are_named_with_what_would_fit(slots: Facts, draws: torch.Generator) -> None:
    with pytest.raises(
        TrainingError, match=r"12 lateral slots are to be appended, the queue of 40 holds 9\. Give append"
    ):
        hard.sample(slots, 12, draws)


def test_a_view_that_the_queue_does_not_hold_has_nothing_appended(draws: torch.Generator, logits: Tensor) -> None:
    slots = Facts(*(torch.zeros(K, dtype=torch.int64) for _ in range(3)))
    chosen = hard.sample(slots, 3, draws)
    assert chosen[LATERAL].tolist() == [-1] * 3
    queries = Facts(torch.zeros(N, dtype=torch.int64), torch.zeros(N, dtype=torch.int64), torch.tensor(QUERY_VIEWS))
    columns = hard.appended(logits, chosen, queries)
    absent = columns.isinf().all(dim=1)
    assert absent.tolist() == [view != FRONTAL for view in QUERY_VIEWS]
    assert columns[~absent].isfinite().all()


def test_appended_columns_repeat_the_slots_of_the_query_s_view(
    queries: Facts, slots: Facts, logits: Tensor, draws: torch.Generator
) -> None:
    chosen = hard.sample(slots, 4, draws)
    positive = hard.positives(queries, slots, Policy(same_study=True))
    positive[0, chosen[FRONTAL][1]] = True
    for left_out in (None, positive):
        columns = hard.appended(logits, chosen, queries, left_out)
        for n, view in enumerate(QUERY_VIEWS):
            for c in range(4):
                slot = int(chosen[min(view, 1)][c])
                gone = view == UNKNOWN or (left_out is not None and bool(left_out[n, slot]))
                assert float(columns[n, c]) == (float("-inf") if gone else float(logits[n, 1 + slot]))


def test_synthesized_negatives_are_the_query_s_similarity_to_the_mixed_unit_vector(
    queries: Facts, slots: Facts, vectors: tuple[Tensor, Tensor, Tensor], logits: Tensor, draws: torch.Generator
) -> None:
    query, _, queue = vectors
    chosen, mixing = hard.sample(slots, 4, draws), hard.draw_mixing(4, draws)
    positive = torch.zeros(N, K, dtype=torch.bool)
    positive[0, chosen[FRONTAL][mixing.second[2]]] = True
    columns = hard.synthesized(logits, queue, chosen, mixing, queries, positive)
    for n, view in enumerate(QUERY_VIEWS):
        for c in range(4):
            first, second = (int(chosen[min(view, 1)][part[c]]) for part in (mixing.first, mixing.second))
            if view == UNKNOWN or positive[n, first] or positive[n, second]:
                assert float(columns[n, c]) == float("-inf")
                continue
            mixed = mixing.share[c] * queue[:, first] + (1 - mixing.share[c]) * queue[:, second]
            assert float(columns[n, c]) == pytest.approx(float(query[n] @ F.normalize(mixed, dim=0)) / TAU, abs=1e-5)
    assert columns[0].isinf().sum() == 2


def test_mixing_permutes(draws: torch.Generator) -> None:
    mixing = hard.draw_mixing(50, draws)
    assert isinstance(mixing, Mixing)
    assert mixing.first.sort().values.tolist() == mixing.second.sort().values.tolist() == list(range(50))
    assert mixing.first.tolist() != mixing.second.tolist()
    assert ((mixing.share >= 0) & (mixing.share < 1)).all()
