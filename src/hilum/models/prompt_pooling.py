"""Several prompts of one class: three ways to make one similarity of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from hilum.errors import UsageError

# embedding: the prompts' unit vectors are averaged and the average normalized (CheXzero).
# mean: the similarities are averaged (CXR-CLIP); as a product with the average that is not normalized.
# max: the most similar prompt counts (GLoRIA).
Pool = Literal["embedding", "mean", "max"]
POOLS: tuple[Pool, ...] = get_args(Pool)


def pooled_similarity(image_vectors: np.ndarray, prompts: Sequence[np.ndarray], pool: Pool = "embedding") -> np.ndarray:
    """How similar each image is to each class.

    Args:
        image_vectors: (N, D) unit rows.
        prompts: of each of C classes, (P, D) unit rows; P may differ.
        pool: see above.

    Returns:
        (N, C) float32.

    Raises:
        UsageError: an unknown `pool`, or a class without prompts.

    Example:
        >>> prompts = [np.array([[1.0, 0.0], [0.0, 1.0]])]
        >>> [round(float(pooled_similarity(np.array([[1.0, 0.0]]), prompts, pool)[0, 0]), 3) for pool in POOLS]
        [0.707, 0.5, 1.0]
    """
    if pool not in POOLS:
        raise UsageError(f"prompts pooled by {pool!r}; expected one of {', '.join(POOLS)}.")
    if any(not len(vectors) for vectors in prompts):
        raise UsageError("a class has no prompts; give each at least one.")
    if pool == "max":
        columns = [(image_vectors @ vectors.T).max(axis=1) for vectors in prompts]
        return (
            np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((len(image_vectors), 0), np.float32)
        )
    means = np.array([vectors.mean(axis=0) for vectors in prompts]).reshape(len(prompts), image_vectors.shape[1])
    if pool == "embedding":
        means = means / np.linalg.norm(means, axis=1, keepdims=True)
    return (image_vectors @ means.T).astype(np.float32)


def pooled_columns(similarities: np.ndarray, counts: Sequence[int], pool: Pool) -> np.ndarray:
    """Similarities to single prompts (N, P) as similarities to classes (N, C): `counts` prompts of each class, in order.

    Raises:
        UsageError: `pool` is "embedding", which needs the prompts' vectors, or unknown; or a class without prompts.
    """
    if pool not in ("mean", "max"):
        raise UsageError(f"prompts pooled by {pool!r}, which needs one vector a prompt; expected mean or max.")
    if any(count < 1 for count in counts):
        raise UsageError("a class has no prompts; give each at least one.")
    parts = np.split(similarities, np.cumsum(counts)[:-1], axis=1)
    return np.stack([part.mean(axis=1) if pool == "mean" else part.max(axis=1) for part in parts], axis=1)
