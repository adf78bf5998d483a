"""A WordPiece vocabulary learned from reports, the same on every run: a labeler trained twice with one seed must not differ."""

from __future__ import annotations

from collections.abc import Mapping

from hilum.reports.byte_pairs import Pair, learn_merges

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
    found = dict.fromkeys(sorted({piece for word in pieces for piece in word}))
    if len(found) < size:
        for pair in learn_merges(pieces, [words[word] for word in spelled], _joined, min_frequency):
            found[_joined(pair)] = None  # a piece that two pairs make counts once
            if len(found) >= size:
                break
    return list(found)


def _joined(pair: Pair) -> str:
    return pair[0] + pair[1].removeprefix(CONTINUED)
