"""MedAug's negatives by view: slots of the queue that show the query's own view are the hard ones.

Vu et al. 2021, arXiv 2102.10663, and the released code. Pure functions on logits and on what is known about
queries and slots. A frontal and a lateral image are easy to tell apart, so a lateral slot teaches a frontal query little.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hilum.errors import TrainingError
from hilum.methods.patient_pairs import FRONTAL, LATERAL, UNKNOWN, Policy

NOTHING = float("-inf")
_NAMES = {FRONTAL: "frontal", LATERAL: "lateral"}


class Facts(NamedTuple):
    """Whom images show and how, as int64 of one shape: (N,) for a batch, (K,) for a queue, -1 in empty slots."""

    patient: Tensor
    study: Tensor
    laterality: Tensor


class Mixing(NamedTuple):
    """How negatives are synthesized: column c mixes the entries `first[c]` and `second[c]` of a sample of n slots.

    Attributes:
        share: (n,) weight of the first, in [0, 1].
        first: (n,) int64, a permutation.
        second: (n,) int64, another.
    """

    share: Tensor
    first: Tensor
    second: Tensor


def easy(queries: Facts, slots: Facts) -> Tensor:
    """(N, K) bool: the slot shows another view than the query. Nothing is easy where a view is unknown."""
    one, other = queries.laterality[:, None], slots.laterality[None]
    return (one != other) & (one != UNKNOWN) & (other != UNKNOWN)


def positives(queries: Facts, slots: Facts, policy: Policy) -> Tensor:
    """(N, K) bool: the slot holds an image that the policy would pair with the query, so it is no negative of it.

    For MedAug's own policy, same patient and same study: both are equal.
    """
    found = queries.patient[:, None] == slots.patient
    same_study = queries.study[:, None] == slots.study
    known = (queries.laterality[:, None] != UNKNOWN) & (slots.laterality != UNKNOWN)
    same_view = queries.laterality[:, None] == slots.laterality
    if policy.same_study:
        found &= same_study
    if policy.different_study:
        found &= ~same_study
    if policy.same_laterality:
        found &= known & same_view
    if policy.different_laterality:
        found &= known & ~same_view
    return found


def without(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits (N, 1 + K) with the negatives under `mask` (N, K) left out: -inf."""
    return torch.cat([logits[:, :1], logits[:, 1:].masked_fill(mask, NOTHING)], dim=1)


def reweighted(queries: Facts, slots: Facts, hard_share: float) -> Tensor:
    """Factors on the terms of the softmax's sum, so that hard negatives make up `hard_share` of their weight.

    With e the share of easy slots: (1 - hard_share) / e for each easy one, 1 + (e - (1 - hard_share)) / (1 - e) for each
    hard one. The mean is 1. Where a query has no easy or no hard slot, all are 1.

    Returns:
        (N, 1 + K); 1 for the positive.
    """
    is_easy = easy(queries, slots)
    share = is_easy.float().mean(dim=1, keepdim=True)  # (N, 1)
    of_easy, of_hard = (1 - hard_share) / share, 1 + (share - (1 - hard_share)) / (1 - share)
    weights = torch.where(is_easy, of_easy, of_hard)
    weights = torch.where((share == 0) | (share == 1), torch.ones_like(weights), weights)
    return torch.cat([torch.ones_like(share), weights], dim=1)


def thinned(slots: Facts, hard_share: float, draws: torch.Generator) -> Tensor:
    """Slots to leave out, for frontal and for lateral queries: easy ones at random, until `hard_share` are hard.

    Paper: a fixed count of frontal slots, for one queue length. Here: of any queue, for both views.

    Returns:
        (2, K) bool on the CPU.
    """
    views = slots.laterality.cpu()
    left_out = torch.zeros(2, len(views), dtype=torch.bool)
    for own, other in ((FRONTAL, LATERAL), (LATERAL, FRONTAL)):
        of_other = (views == other).nonzero()[:, 0]
        keep = round((len(views) - len(of_other)) * (1 - hard_share) / hard_share)
        left_out[own, of_other[torch.randperm(len(of_other), generator=draws)[keep:]]] = True
    return left_out


def sample(slots: Facts, count: int, draws: torch.Generator) -> Tensor:
    """Slots of each view, without replacement: one sample for all frontal queries, one for all lateral ones.

    Args:
        slots: of a full queue.
        count: n, how many of each view.
        draws: on the CPU.

    Returns:
        (2, n) int64 on the CPU, row `FRONTAL` and row `LATERAL`; -1 for a view of which the queue holds none.

    Raises:
        TrainingError: it holds some of a view, but fewer than n.
    """
    views = slots.laterality.cpu()
    chosen = torch.full((2, count), -1, dtype=torch.int64)
    for view, name in _NAMES.items():
        there = (views == view).nonzero()[:, 0]
        if 0 < len(there) < count:
            raise TrainingError(
                f"hard negatives: {count} {name} slots are to be appended, the queue of {len(views)} holds {len(there)}. "
                f"Give append_share={len(there) / len(views) / 2:.3f} or less, or a longer queue."
            )
        if len(there):
            chosen[view] = there[torch.randperm(len(there), generator=draws)[:count]]
    return chosen


def draw_mixing(count: int, draws: torch.Generator) -> Mixing:
    """Random weights and two random permutations of a sample of `count` slots, on the CPU."""
    share = torch.rand(count, generator=draws)
    return Mixing(share, torch.randperm(count, generator=draws), torch.randperm(count, generator=draws))


def appended(logits: Tensor, slots: Tensor, queries: Facts, left_out: Tensor | None = None) -> Tensor:
    """The sampled slots once more, for each query those of its view.

    Args:
        logits: (N, 1 + K), of the positive and the queue.
        slots: (2, n) from `sample`, on the device of the logits.
        queries: of the N rows.
        left_out: (N, K) bool, slots that are no negatives of the query; None: all are.

    Returns:
        (N, n) logits; -inf where left out, and for queries of unknown view.
    """
    own, absent = _of_view(slots, queries, left_out)
    return logits[:, 1:].gather(1, own).masked_fill(absent, NOTHING)


def synthesized(
    logits: Tensor, queue: Tensor, slots: Tensor, mixing: Mixing, queries: Facts, left_out: Tensor | None = None
) -> Tensor:
    """Mixtures of two sampled slots, scaled to length one (Kalantidis et al. 2020, arXiv 2010.01028, their idea).

    Args:
        logits: (N, 1 + K), of the positive and the queue, divided by the temperature.
        queue: (D, K) unit columns.
        slots: (2, n) from `sample`.
        mixing: which are mixed, on the device of the logits.
        queries: of the N rows.
        left_out: (N, K) bool; a mixture of a slot that is no negative is none either.

    Returns:
        (N, n) logits.
    """
    own, absent = _of_view(slots, queries, left_out)
    share = mixing.share
    first, second = own[:, mixing.first], own[:, mixing.second]  # (N, n)
    negatives = logits[:, 1:]
    mixed = share * negatives.gather(1, first) + (1 - share) * negatives.gather(1, second)
    lengths = []
    for sampled in slots.clamp(min=0):
        columns = share * queue[:, sampled[mixing.first]] + (1 - share) * queue[:, sampled[mixing.second]]  # (D, n)
        lengths.append(columns.norm(dim=0))
    mixed = mixed / torch.stack(lengths)[queries.laterality.clamp(FRONTAL, LATERAL)]
    return mixed.masked_fill(absent[:, mixing.first] | absent[:, mixing.second], NOTHING)


def _of_view(slots: Tensor, queries: Facts, left_out: Tensor | None) -> tuple[Tensor, Tensor]:
    """For each query its view's sample (N, n), and which of it (N, n) bool are no negatives."""
    own = slots[queries.laterality.clamp(FRONTAL, LATERAL)]
    absent = (own < 0) | (queries.laterality == UNKNOWN)[:, None]
    own = own.clamp(min=0)
    return own, absent if left_out is None else absent | left_out.gather(1, own)
