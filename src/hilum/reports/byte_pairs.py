"""Byte-pair encoding learned from words (Sennrich et al. 2016), the same on every run.

The trainers of the tokenizers library break ties by hash order, so two runs over the same reports disagree. Here ties are
broken by spelling.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

Pair = tuple[str, str]


def learn_merges(
    words: Sequence[Sequence[str]], counts: Sequence[int], join: Callable[[Pair], str], min_frequency: int = 2
) -> Iterator[Pair]:
    """The most frequent neighboring pieces, joined one pair after another, for as long as pairs are asked for.

    Args:
        words: each as its first pieces, in an order that does not depend on the run.
        counts: how often each word occurs.
        join: the piece that a pair becomes.
        min_frequency: of a pair to be joined.

    Example:
        >>> list(learn_merges(["lung", "lungs"], [5, 3], "".join))
        [('l', 'u'), ('lu', 'n'), ('lun', 'g'), ('lung', 's')]
    """
    pieces = [list(word) for word in words]
    frequency: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for number, word in enumerate(pieces):
        for pair in pairwise(word):
            frequency[pair] += counts[number]
            where[pair].add(number)
    queue = [(-count, pair) for pair, count in frequency.items()]
    heapq.heapify(queue)
    while queue:
        count, pair = heapq.heappop(queue)
        if -count != frequency[pair]:  # an entry from before a merge nearby
            continue
        if -count < min_frequency:
            return
        yield pair
        merged = join(pair)
        changed: set[Pair] = set()
        for number in where.pop(pair):
            word = pieces[number]
            for old in pairwise(word):
                frequency[old] -= counts[number]
                changed.add(old)
            pieces[number] = word = _merge(word, pair, merged)
            for new in pairwise(word):
                frequency[new] += counts[number]
                where[new].add(number)
                changed.add(new)
        for neighbor in changed - {pair}:
            if frequency[neighbor] > 0:
                heapq.heappush(queue, (-frequency[neighbor], neighbor))
        frequency[pair] = 0


def _merge(word: list[str], pair: Pair, merged: str) -> list[str]:
    joined: list[str] = []
    place = 0
    while place < len(word):
        if place + 1 < len(word) and (word[place], word[place + 1]) == pair:
            joined.append(merged)
            place += 2
        else:
            joined.append(word[place])
            place += 1
    return joined
