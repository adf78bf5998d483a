"""Merges of byte pairs are those of counting anew after each, and do not depend on the run."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice, pairwise

from hilum.reports.byte_pairs import learn_merges


def slowly(words: list[str], counts: list[int], most: int) -> list[tuple[str, str]]:
    """Count all pairs, join the most frequent (the first by spelling of these), and start over."""
    pieces, merges = [list(word) for word in words], []
    while len(merges) < most:
        frequency: Counter[tuple[str, str]] = Counter()
        for word, count in zip(pieces, counts, strict=True):
            for pair in pairwise(word):
                frequency[pair] += count
        if not frequency or max(frequency.values()) < 2:
            break
        best = min(frequency, key=lambda pair: (-frequency[pair], pair))
        merges.append(best)
        for number, word in enumerate(pieces):
            text, joined = list(word), []
            while text:
                if tuple(text[:2]) == best:
                    joined.append("".join(text[:2]))
                    del text[:2]
                else:
                    joined.append(text.pop(0))
            pieces[number] = joined
    return merges


def test_merges_are_those_of_counting_anew_after_each() -> None:
    draws = random.Random(0)
    for _ in range(60):
        words = sorted({"".join(draws.choice("abcd") for _ in range(draws.randint(1, 8))) for _ in range(25)})
        counts = [draws.randint(1, 9) for _ in words]
        assert list(islice(learn_merges(words, counts, "".join), 30)) == slowly(words, counts, 30)
