"""A WordPiece vocabulary learned from reports, the same on every run.

The trainer of the tokenizers library breaks ties by hash order, so two runs over the same reports disagree; a labeler
trained twice with one seed would then differ. This one merges the most frequent neighboring pieces, as byte-pair
encoding does (Sennrich et al. 2016), with ties broken by spelling.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise

CONTINUED = "##"


def learn_wordpieces(words: Mapping[str, int], size: int, min_frequency: int = 2) -> list[str]:
    """The pieces: every character that occurs, then merged pieces, most frequent first.

    Args:
        words: how often each word occurs.
        size: at most so many pieces (characters are always kept).
        min_frequency: of a pair of pieces to be merged.

    Example:
        >>> learn_wordpieces({"lung": 5, "lungs": 3}, size=9)
        ['##g', '##n', '##s', '##u', 'l', '##ng', '##ung', 'lung', 'lungs']
    """
    spelled = sorted(words)
    pieces = [[word[0], *(CONTINUED + letter for letter in word[1:])] for word in spelled]
    counts = [words[word] for word in spelled]
    found = sorted({piece for word in pieces for piece in word})
    frequency: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for number, word in enumerate(pieces):
        for pair in pairwise(word):
            frequency[pair] += counts[number]
            where[pair].add(number)
    queue = [(-count, pair) for pair, count in frequency.items()]
    heapq.heapify(queue)
    known = set(found)
    while queue and len(found) < size:
        count, pair = heapq.heappop(queue)
        if -count != frequency[pair]:  # an entry from before a merge nearby
            continue
        if -count < min_frequency:
            break
        merged = pair[0] + pair[1].removeprefix(CONTINUED)
        if merged not in known:
            known.add(merged)
            found.append(merged)
        changed: set[tuple[str, str]] = set()
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
    return found


def _merge(word: list[str], pair: tuple[str, str], merged: str) -> list[str]:
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
