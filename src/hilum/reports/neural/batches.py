"""Which reports make up each step: decided by seed, stage and epoch alone, so that a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Batches sorted together by length: enough to save padding, few enough to keep every batch a mixture.
_BATCHES_SORTED_TOGETHER = 20


def plan_epoch(
    lengths: Sequence[int], batch_size: int, seed: Sequence[int], weights: np.ndarray | None = None
) -> list[np.ndarray]:
    """Row numbers of each batch of an epoch.

    Args:
        lengths: (N,) tokens of each report.
        batch_size: reports a batch; the last one may be smaller.
        seed: any integers, such as (seed, stage, epoch).
        weights: (N,) draw N reports with replacement, so often; None: every report once.
    """
    chance = np.random.default_rng(list(seed))
    n = len(lengths)
    order = chance.permutation(n) if weights is None else chance.choice(n, size=n, p=weights / weights.sum())
    sizes = np.asarray(lengths)
    batches: list[np.ndarray] = []
    for start in range(0, n, batch_size * _BATCHES_SORTED_TOGETHER):
        block = order[start : start + batch_size * _BATCHES_SORTED_TOGETHER]
        block = block[np.argsort(sizes[block], kind="stable")]
        batches += [block[place : place + batch_size] for place in range(0, len(block), batch_size)]
    return [batches[i] for i in chance.permutation(len(batches))]
