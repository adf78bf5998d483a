"""Exact neighbors equal the obvious sort, and rankings are fused as the formula says."""

from __future__ import annotations

import numpy as np
import pytest

from hilum.tasks.search.fusion import reciprocal_rank_fusion
from hilum.tasks.search.vectors import ExactVectors, best


@pytest.mark.parametrize("share", [None, 0.05, 0.6])
@pytest.mark.parametrize("k", [1, 7, 500])
def test_exact_neighbors_equal_a_whole_sort(share: float | None, k: int) -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(size=(300, 5)).round(1).astype(np.float32)  # rounded, so that some tie
    query = rng.normal(size=5).astype(np.float32)
    allowed = None if share is None else rng.random(300) < share
    places, cosines = ExactVectors(units).nearest(query, k, allowed)
    scores = units @ query
    order = [i for i in np.lexsort((np.arange(300), -scores)).tolist() if allowed is None or allowed[i]]
    assert places.tolist() == order[:k]
    assert np.allclose(cosines, scores[places])


def test_ties_at_the_last_place_go_to_the_earlier() -> None:
    assert best(np.array([0.2, 0.5, 0.2, 0.9, 0.2]), 3)[0].tolist() == [3, 1, 0]
    assert best(np.zeros(4), 2)[0].tolist() == [0, 1]
    assert len(best(np.zeros(0), 2)[0]) == 0


def test_ranks_are_fused_as_the_formula_says() -> None:
    fused = dict(reciprocal_rank_fusion([["a", "b", "c"], ["c", "d"]]))
    assert fused == {"a": 1 / 61, "b": 1 / 62, "c": 1 / 63 + 1 / 61, "d": 1 / 62}
    assert [thing for thing, _ in reciprocal_rank_fusion([["a", "b", "c"], ["c", "d"]])] == ["c", "a", "b", "d"]
