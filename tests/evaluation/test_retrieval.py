"""Recall@K, mean rank, Precision@K and accuracies of exclusive classes equal the obvious loops."""

from __future__ import annotations

import numpy as np
import pytest

from hilum.errors import EvaluationError
from hilum.evaluation.exclusive import MACRO, MICRO, class_accuracies
from hilum.evaluation.retrieval import image_retrieval, nearest, precision_at, text_retrieval


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_ranks_equal_the_loop_over_different_texts() -> None:
    rng = np.random.default_rng(1)
    images, vectors = unit(40, 6), unit(40, 6, seed=2)
    texts = [f"report {rng.integers(0, 25)}" for _ in range(40)]
    found = text_retrieval(images, vectors, texts, at=(1, 3, 10))
    different = list(dict.fromkeys(texts))
    gallery = np.array([vectors[texts.index(text)] for text in different])
    ranks = []
    for image, text in zip(images, texts, strict=True):
        order = np.argsort(image @ gallery.T)  # ascending, as the released code ranks
        ranks.append(len(different) - int(np.flatnonzero(order == different.index(text))[0]))
    assert found.ranks.tolist() == ranks
    assert found.mean_rank == np.mean(ranks)
    assert found.recall == {k: np.mean(np.array(ranks) <= k) for k in (1, 3, 10)}
    assert (found.gallery, found.duplicates) == (len(different), 40 - len(different))


def test_copies_of_a_text_do_not_count_against_it() -> None:
    images, vectors = np.eye(3), np.eye(3)[[0, 1, 1]]
    found = text_retrieval(images[[0, 1, 1]], vectors, ["a", "b", "b"])
    assert found.recall[1] == 1.0
    assert found.duplicates == 1


def test_precision_equals_the_loop() -> None:
    scores, relevant = np.random.default_rng(0).normal(size=(6, 30)), np.random.default_rng(1).random((6, 30)) < 0.3
    for k in (1, 5, 30):
        expected = [relevant[q][np.argsort(-scores[q])[:k]].mean() for q in range(6)]
        assert precision_at(scores, relevant, k).tolist() == expected


def test_accuracies_are_of_each_class_of_classes_and_of_images() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    got = class_accuracies(scores, ["a", "b", "b", "a"], ["a", "b"])
    assert got == {"a": 1.0, "b": 0.5, MACRO: 0.75, MICRO: 0.75}
    lone = class_accuracies(scores, ["a"] * 4, ["a", "b"])
    assert np.isnan(lone["b"])
    assert lone[MACRO] == lone[MICRO] == 0.75


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(EvaluationError, match="expected as many"):
        text_retrieval(unit(2, 3), unit(2, 3), ["a"])
    with pytest.raises(EvaluationError, match="none of a, b"):
        class_accuracies(np.zeros((1, 2)), ["c"], ["a", "b"])
    with pytest.raises(EvaluationError, match="precision at 5"):
        precision_at(np.zeros((1, 4)), np.zeros((1, 4), bool), 5)


def test_an_image_of_each_text_is_found_as_the_loop_finds_it() -> None:
    rng = np.random.default_rng(3)
    images, vectors = unit(30, 6), unit(30, 6, seed=2)
    texts = [f"report {rng.integers(0, 12)}" for _ in range(30)]
    found = image_retrieval(images, vectors, texts, at=(1, 4))
    ranks = []
    for text in dict.fromkeys(texts):
        cosines = images @ vectors[texts.index(text)]
        own = [i for i, one in enumerate(texts) if one == text]
        nearest_own = max(cosines[i] for i in own)
        ranks.append(1 + sum(cosines[i] > nearest_own for i in range(30) if i not in own))
    assert found.ranks.tolist() == ranks
    assert (found.gallery, found.duplicates) == (30, 30 - len(ranks))
    assert found.recall[4] == np.mean(np.array(ranks) <= 4)


@pytest.mark.parametrize("cells", [1, 50, 1 << 26])
def test_neighbors_in_blocks_equal_a_whole_sort(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hilum.evaluation.retrieval.CELLS", cells)
    candidates = unit(40, 3).round(1)  # some tie
    scores = candidates @ candidates.T
    found = nearest(candidates, candidates, 4, leave_out=np.arange(40))
    np.fill_diagonal(scores, -np.inf)
    assert (found == np.argsort(-scores, axis=1, kind="stable")[:, :4]).all()
    texts = [str(i % 7) for i in range(40)]
    monkeypatch.setattr("hilum.evaluation.retrieval.CELLS", 1 << 26)
    expected = text_retrieval(candidates, candidates, texts).ranks.tolist()
    monkeypatch.setattr("hilum.evaluation.retrieval.CELLS", cells)
    assert text_retrieval(candidates, candidates, texts).ranks.tolist() == expected
