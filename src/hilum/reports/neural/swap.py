"""Sentences with one finding named instead of another, some of them with a doubt before it.

A network that saw "possible pneumonia" and "edema" does not know "possible edema". Swapping findings shows it every doubt and
every denial with every finding. The new sentence says something else, so it must be labeled anew, by the rules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilum.reports.grid import NO_FINDING
from hilum.reports.neural.corpus import RuleSilver

# Statements about size and shape ("heart size is normal") make no sense of another finding.
_KEPT = (NO_FINDING, "Enlarged Cardiomediastinum", "Cardiomegaly")

_DOUBTS = ("possible", "probable", "questionable", "suspected", "may represent", "suspicious for", "concerning for")
_DOUBTED = 0.25


class FindingSwapper:
    """Names one finding of a sentence as another.

    Args:
        rules: find where findings are named.
        sentences: where the names of findings are taken from.
    """

    def __init__(self, rules: RuleSilver, sentences: Sequence[str]) -> None:
        self.rules = rules
        names: dict[str, set[str]] = {}
        for sentence in sentences:
            for finding, start, end in self._mentions(sentence):
                names.setdefault(finding, set()).add(sentence[start:end].lower())
        self.names = [sorted(names[finding]) for finding in sorted(names)]

    def __call__(self, sentence: str, chance: np.random.Generator) -> str:
        """The sentence with one finding swapped; itself where it names none that can be."""
        mentions = self._mentions(sentence)
        if not mentions or not self.names:
            return sentence
        _, start, end = mentions[chance.integers(len(mentions))]
        names = self.names[chance.integers(len(self.names))]  # a finding first: rare ones come as often as common ones
        name = names[chance.integers(len(names))]
        if chance.random() < _DOUBTED:
            name = f"{_DOUBTS[chance.integers(len(_DOUBTS))]} {name}"
        return sentence[:start] + (name[0].upper() + name[1:] if start == 0 else name) + sentence[end:]

    def _mentions(self, sentence: str) -> list[tuple[str, int, int]]:
        return [mention for mention in self.rules.mentions(sentence) if mention[0] not in _KEPT]
