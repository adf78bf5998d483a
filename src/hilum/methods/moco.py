"""The parts of momentum contrast: an encoder that follows another, a queue of its keys, the loss over them.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, arXiv 1911.05722, algorithm 1 and
section 3.3. Several methods are made of these parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hilum.errors import RecipeError
from hilum.methods.ranks import ALONE, Ranks

EMPTY = -1  # a fact of a slot that holds no key yet


class Queue(nn.Module):
    """The last K keys, oldest overwritten first, and whole numbers known about each.

    It starts as random unit vectors, as in the original: until K keys have come, the rest of the negatives is noise.

    Attributes:
        keys: (D, K) unit columns.
        pointer: (1,) int64, the slot that is written next.
        filled: (1,) int64, how many slots hold a key.
    """

    keys: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, width: int, slots: int, facts: Sequence[str] = ()) -> None:
        """
        Args:
            width: D.
            slots: K.
            facts: names of further buffers (K,) int64, `EMPTY` where a slot holds no key.
        """
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(width, slots), dim=0))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("filled", torch.zeros(1, dtype=torch.int64))
        self.facts = tuple(facts)
        for name in self.facts:
            self.register_buffer(name, torch.full((slots,), EMPTY, dtype=torch.int64))

    @property
    def slots(self) -> int:
        """K."""
        return self.keys.shape[1]

    def empty(self) -> Tensor:
        """(K,) bool: slots that hold no key yet; they fill from the first on."""
        return torch.arange(self.slots, device=self.keys.device) >= self.filled

    @torch.no_grad()
    def put(self, keys: Tensor, **facts: Tensor) -> None:
        """Write keys over the oldest ones and move on.

        Args:
            keys: (N, D) of all processes, at most K.
            **facts: (N,) int64 for each name of `facts`.
        """
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % self.slots
        self.keys[:, slots] = keys.T.to(self.keys.dtype)
        for name in self.facts:
            self.get_buffer(name)[slots] = facts[name]
        self.pointer.copy_((self.pointer + len(keys)) % self.slots)
        self.filled.copy_((self.filled + len(keys)).clamp(max=self.slots))


class Follower:
    """key <- momentum * key + (1 - momentum) * query, parameters only: each keeps its own batch statistics.

    Args:
        key: changed in place.
        query: of the same architecture.
    """

    def __init__(self, key: nn.Module, query: nn.Module) -> None:
        # Looked up once: a walk through all modules in every step is time that a GPU waits.
        self._keys: list[Tensor] = list(key.parameters())
        self._queries: list[Tensor] = list(query.parameters())

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move by a step; a momentum of 1 leaves the key as it is."""
        torch._foreach_lerp_(self._keys, self._queries, 1 - momentum)


@torch.no_grad()
def encode_shuffled(encode: Callable[[Tensor], Tensor], images: Tensor, order: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Encode each image in some process, so that no process's batch statistics tell which keys belong to its queries.

    Args:
        encode: images to rows; normalization layers in it may use the statistics of the rows they are given.
        images: (N, ...) of this process.
        order: (world * N,) int64, a permutation of all processes' images, the same in each process.
        ranks: the processes.

    Returns:
        This process's rows (N, ...), in the order of `images`.
    """
    mixed = ranks.own(ranks.gather_constant(images)[order])
    rows = ranks.gather_constant(encode(mixed))
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return ranks.own(rows[back])


def contrast(query: Tensor, key: Tensor, queue: Tensor, tau: float) -> Tensor:
    """Similarities of each query with its key and with the queue.

    Args:
        query: (N, D) unit rows.
        key: (N, D) unit rows; row i belongs to row i of `query`.
        queue: (D, K) unit columns.
        tau: softmax temperature.

    Returns:
        (N, 1 + K) logits, the key's first.
    """
    positive = (query * key).sum(dim=1, keepdim=True)  # (N, 1)
    return torch.cat([positive, query @ queue], dim=1) / tau


def first_is_right(logits: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of rows whose first entry is the right one.

    Args:
        logits: (N, 1 + M); -inf leaves an entry out.
        weights: (N, 1 + M) factors on the terms of the softmax's sum; none: 1.

    Returns:
        Scalar: the mean of -l_0 + log(sum_j w_j exp(l_j)).
    """
    if weights is None:
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))
    return (torch.logsumexp(logits + weights.log(), dim=1) - logits[:, 0]).mean()


@torch.no_grad()
def first_among(logits: Tensor, best: int) -> Tensor:
    """Share of rows whose first entry is among the `best` largest."""
    return ((logits[:, 1:] > logits[:, :1]).sum(dim=1) < best).float().mean()


def drawn(seed: int, step: int, what: int) -> torch.Generator:
    """A generator on the CPU for one kind of draw of one step: a run can go on from any step."""
    state = np.random.SeedSequence((seed, step, what)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def check_queue(recipe: str, slots: int, batch_size: int) -> None:
    """Refuse a queue that whole batches do not fill exactly.

    Raises:
        RecipeError: with the nearest lengths, and the nearest batch sizes that divide this one.
    """
    if slots % batch_size == 0:
        return
    below = slots // batch_size * batch_size
    lengths = [str(length) for length in (below, below + batch_size) if length]
    divisors = [n for n in range(2, slots + 1) if slots % n == 0]
    smaller, larger = [n for n in divisors if n < batch_size][-1:], [n for n in divisors if n > batch_size][:1]
    raise RecipeError(
        f"recipe {recipe}: queue={slots} is not a multiple of batch_size={batch_size} (over all devices), so a batch "
        f"would not fit at its end. Give queue={' or '.join(lengths)}, or batch_size={' or '.join(map(str, smaller + larger))}."
    )
