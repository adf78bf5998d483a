"""One ranking out of several."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

K = 60  # of the paper: how little the first places are preferred to the next


def reciprocal_rank_fusion(rankings: Sequence[Sequence[T]], k: int = K) -> list[tuple[T, float]]:
    """Things by the sum of 1 / (k + rank) over the rankings that have them, the largest first.

    Cormack, Clarke & Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
    SIGIR. It needs ranks alone, so that a cosine and a weight of words need no common scale.

    Args:
        rankings: each the best first, nothing twice.
        k: the paper's 60.

    Example:
        >>> [thing for thing, _ in reciprocal_rank_fusion([["a", "b"], ["b", "c"]])]
        ['b', 'a', 'c']
    """
    scores: dict[T, float] = {}
    for ranking in rankings:
        for rank, thing in enumerate(ranking, start=1):
            scores[thing] = scores.get(thing, 0.0) + 1 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
