"""How well the nearest neighbors are the right ones: Recall@K and mean rank of a text, Precision@K of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hilum.errors import EvaluationError

BATCH = 1024  # images at once, so that a gallery of many texts fits in memory


@dataclass(frozen=True)
class TextRetrieval:
    """How the images' own texts were found among all.

    Attributes:
        recall: K -> share of images whose own text is among the K nearest.
        mean_rank: of the own text, from 1.
        ranks: (N,) of each image, from 1.
        gallery: how many different texts there are.
        duplicates: how many of the N texts are copies of an earlier one.
    """

    recall: dict[int, float]
    mean_rank: float
    ranks: np.ndarray
    gallery: int
    duplicates: int


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
    if not len(texts) or not len(texts) == len(image_vectors) == len(text_vectors):
        raise EvaluationError(
            f"{len(image_vectors)} images, {len(text_vectors)} text vectors, {len(texts)} texts; expected as many."
        )
    number: dict[str, int] = {}
    own = np.array([number.setdefault(text, len(number)) for text in texts])
    first = np.array([texts.index(text) for text in number]) if len(number) < len(texts) else np.arange(len(texts))
    gallery = text_vectors[first]
    ranks = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), BATCH):
        rows = slice(start, start + BATCH)
        cosines = image_vectors[rows] @ gallery.T  # (n, G)
        mine = np.take_along_axis(cosines, own[rows, None], axis=1)
        ranks[rows] = 1 + (cosines > mine).sum(axis=1)
    recall = {k: float((ranks <= k).mean()) for k in at}
    return TextRetrieval(recall, float(ranks.mean()), ranks, len(number), len(texts) - len(number))


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
