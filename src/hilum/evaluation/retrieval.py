"""How well the nearest neighbors are the right ones: Recall@K and mean rank of a text, Precision@K of a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hilum.errors import EvaluationError

CELLS = 1 << 26  # cosines at once (0.25 GB), so that a gallery of any size fits in memory


@dataclass(frozen=True)
class TextRetrieval:
    """How the queries' own partners were found among all.

    Attributes:
        recall: K -> share of queries whose partner is among the K nearest.
        mean_rank: of the partner, from 1.
        ranks: (Q,) of each query, from 1.
        gallery: how many different texts, or images, there are to be found.
        duplicates: how many of the N texts are copies of an earlier one.
    """

    recall: dict[int, float]
    mean_rank: float
    ranks: np.ndarray
    gallery: int
    duplicates: int


def merged(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Equal texts as one: (N,) the number of each text, and (G,) where each different one stands first.

    Example:
        >>> [part.tolist() for part in merged(["a", "b", "a"])]
        [[0, 1, 0], [0, 1]]
    """
    number: dict[str, int] = {}
    first = []
    numbers = np.empty(len(texts), np.int64)
    for place, text in enumerate(texts):
        if text not in number:
            number[text] = len(number)
            first.append(place)
        numbers[place] = number[text]
    return numbers, np.array(first, np.int64)


def text_retrieval(
    image_vectors: np.ndarray, text_vectors: np.ndarray, texts: Sequence[str], at: Sequence[int] = (1, 5, 10)
) -> TextRetrieval:
    """Find each image's own text among all different texts, by cosine.

    Equal texts are one text, with the vector of its first occurrence: without that, an image could miss its text because of a
    copy. A text that is as near as the own one does not push it back.

    Args:
        image_vectors: (N, D) unit rows.
        text_vectors: (N, D) unit rows, row i the text of image i.
        texts: N texts.
        at: which K.

    Raises:
        EvaluationError: the three differ in length, or there are none.

    Example:
        >>> found = text_retrieval(np.eye(2), np.eye(2)[::-1], ["left", "right"], at=[1, 2])
        >>> found.recall, found.mean_rank
        ({1: 0.0, 2: 1.0}, 2.0)
    """
    _require_as_many(image_vectors, text_vectors, texts)
    own, first = merged(texts)
    gallery = text_vectors[first]
    ranks = np.empty(len(texts), np.int64)
    for rows in _blocks(len(texts), len(gallery)):
        cosines = image_vectors[rows] @ gallery.T  # (n, G)
        mine = np.take_along_axis(cosines, own[rows, None], axis=1)
        ranks[rows] = 1 + (cosines > mine).sum(axis=1)
    return _retrieval(ranks, at, len(first), len(texts) - len(first))


def image_retrieval(
    image_vectors: np.ndarray, text_vectors: np.ndarray, texts: Sequence[str], at: Sequence[int] = (1, 5, 10)
) -> TextRetrieval:
    """Find an image of each different text among all images, by cosine.

    A text that several images have (a study's views, or copies of a report) is asked once, and the nearest of its images
    counts; the others do not push it back.

    Args:
        image_vectors: (N, D) unit rows.
        text_vectors: (N, D) unit rows, row i the text of image i.
        texts: N texts.
        at: which K.

    Returns:
        `ranks` has an entry for each different text, in order of first occurrence.

    Raises:
        EvaluationError: the three differ in length, or there are none.

    Example:
        >>> image_retrieval(np.eye(3), np.eye(3)[[1, 1, 2]], ["a", "a", "b"]).ranks.tolist()
        [1, 1]
    """
    _require_as_many(image_vectors, text_vectors, texts)
    own, first = merged(texts)
    ranks = np.empty(len(first), np.int64)
    for rows in _blocks(len(first), len(image_vectors)):
        cosines = text_vectors[first[rows]] @ image_vectors.T  # (n, N)
        is_mine = own[None, :] == np.arange(len(first))[rows, None]
        nearest = np.where(is_mine, cosines, -np.inf).max(axis=1, keepdims=True)
        ranks[rows] = 1 + ((cosines > nearest) & ~is_mine).sum(axis=1)
    return _retrieval(ranks, at, len(image_vectors), len(texts) - len(first))


def precision_at(scores: np.ndarray, relevant: np.ndarray, at: int) -> np.ndarray:
    """The share of each query's nearest candidates that are relevant (ConVIRT: of the query's class).

    Args:
        scores: (Q, N), larger is nearer; ties keep the candidates' order.
        relevant: (Q, N) bool.
        at: how many of the nearest.

    Returns:
        (Q,) float64.

    Raises:
        EvaluationError: fewer candidates than `at`, or shapes that differ.

    Example:
        >>> precision_at(np.array([[0.9, 0.1, 0.5]]), np.array([[True, True, False]]), at=2)
        array([0.5])
    """
    if scores.shape != relevant.shape or not 0 < at <= scores.shape[1]:
        raise EvaluationError(f"precision at {at} of scores {scores.shape} and relevance {relevant.shape}.")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :at]
    return np.take_along_axis(relevant.astype(bool), order, axis=1).mean(axis=1)


def nearest(queries: np.ndarray, candidates: np.ndarray, k: int, leave_out: np.ndarray | None = None) -> np.ndarray:
    """The k nearest candidates of each query by cosine, nearest first; ties keep the candidates' order.

    Args:
        queries: (Q, D) unit rows.
        candidates: (N, D) unit rows.
        k: how many, at most N (N - 1 where one is left out).
        leave_out: (Q,) the candidate that is the query itself.

    Returns:
        (Q, k) places.
    """
    found = np.empty((len(queries), k), np.int64)
    for rows in _blocks(len(queries), len(candidates)):
        cosines = queries[rows] @ candidates.T
        if leave_out is not None:
            np.put_along_axis(cosines, leave_out[rows, None], -np.inf, axis=1)
        if k < cosines.shape[1] // 4:
            least = -np.partition(-cosines, k - 1, axis=1)[:, k - 1 : k]
            cosines = np.where(cosines >= least, cosines, -np.inf)
        found[rows] = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return found


def _retrieval(ranks: np.ndarray, at: Sequence[int], gallery: int, duplicates: int) -> TextRetrieval:
    recall = {k: float((ranks <= k).mean()) for k in at}
    return TextRetrieval(recall, float(ranks.mean()), ranks, gallery, duplicates)


def _require_as_many(images: np.ndarray, vectors: np.ndarray, texts: Sequence[str]) -> None:
    if not len(texts) or not len(texts) == len(images) == len(vectors):
        raise EvaluationError(
            f"{len(images)} images, {len(vectors)} text vectors, {len(texts)} texts; expected as many."
        )


def _blocks(queries: int, candidates: int) -> Iterator[slice]:
    step = max(1, CELLS // max(candidates, 1))
    return (slice(start, min(start + step, queries)) for start in range(0, queries, step))
