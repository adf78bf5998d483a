"""An offline paraphraser of reports: other words and another order, the same labels.

Four changes, each only where it is safe: synonyms from `paraphrases.toml`, other forms of a plain negation, the order
of a list under one negation, and the order of sentences that do not refer to each other.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

import numpy as np

# "No X.", "There is no X.", "No X is seen.": X may not hold words that make the sentence more than a plain negation.
_PLAIN_NEGATION = re.compile(
    r"(?:there (?:is|are) )?no (?:evidence of |sign of )?(?P<what>[a-z][a-z ,/-]*?)"
    r"(?: (?:is|are) (?:seen|identified|present|noted|visualized|demonstrated))?(?P<end>[.;]?)",
    re.IGNORECASE,
)
_MORE_THAN_PLAIN = re.compile(
    r"\b(but|however|although|though|except|other|than|aside|with|without|which|that|is|are|was|has|have|been|to|if|new|"
    r"change|changes|longer|further|increase|interval|only|not|no|nor|and|may|could|since|from|for|XXXX)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")
# A sentence that points at the one before it stays behind it.
_POINTS_BACK = re.compile(
    r"(this|these|that|those|it|they|which|none|both|such|however|otherwise|also|there (?:is|are) also|"
    r"the (?:same|former|latter)|again|findings?|appearance|likely|possibly|may|correlat\w*|recommend\w*|\d+\.?$)\b",
    re.IGNORECASE,
)


class Paraphraser:
    """Paraphrases reports.

    Args:
        change: how likely each place that could change does.
    """

    def __init__(self, change: float = 0.5) -> None:
        self.change = change

    def __call__(self, text: str, chance: np.random.Generator) -> str:
        """One paraphrase; the text itself where nothing can change."""
        told = [self.sentence(sentence, chance) for sentence in sentences_of(text)]
        return " ".join(self._reordered(told, chance))

    def sentence(self, sentence: str, chance: np.random.Generator) -> str:
        """One sentence in other words."""
        negation = _PLAIN_NEGATION.fullmatch(sentence.strip())
        if negation and not _MORE_THAN_PLAIN.search(negation["what"]) and chance.random() < self.change:
            sentence = _deny(_reorder_list(negation["what"], chance), negation["end"], chance)
        return self._synonyms(sentence, chance)

    def _synonyms(self, sentence: str, chance: np.random.Generator) -> str:
        pattern, groups = _groups()

        def exchange(found: re.Match[str]) -> str:
            if chance.random() >= self.change:
                return found[0]
            group = groups[found[0].lower()]
            other = group[chance.integers(len(group))]
            return other[0].upper() + other[1:] if found[0][0].isupper() else other

        return pattern.sub(exchange, sentence)

    def _reordered(self, told: list[str], chance: np.random.Generator) -> list[str]:
        """Sentences that point back stay behind the sentence they follow."""
        blocks: list[list[str]] = []
        for sentence in told:
            if blocks and _POINTS_BACK.match(sentence):
                blocks[-1].append(sentence)
            else:
                blocks.append([sentence])
        if len(blocks) < 2 or chance.random() >= self.change:
            return told
        return [sentence for place in chance.permutation(len(blocks)) for sentence in blocks[place]]


def sentences_of(text: str) -> list[str]:
    """The sentences of a report, split at a full stop before a capital letter or digit.

    Example:
        >>> sentences_of("No effusion. Heart size is 1.5 times normal.")
        ['No effusion.', 'Heart size is 1.5 times normal.']
    """
    return [part for part in _SENTENCE_END.split(" ".join(text.split())) if part]


def _deny(what: str, end: str, chance: np.random.Generator) -> str:
    several = "," in what or (what.endswith("s") and not what.endswith(("is", "us", "ss")))
    verb = "are" if several else "is"
    forms = (
        f"No {what}{end}",
        f"There {verb} no {what}{end}",
        f"No evidence of {what}{end}",
        f"There is no evidence of {what}{end}",
        f"No {what} {verb} seen{end}",
        f"No {what} {verb} identified{end}",
    )
    return forms[chance.integers(len(forms))]


def _reorder_list(what: str, chance: np.random.Generator) -> str:
    items = [item for item in re.split(r", or |, | or ", what) if item]
    if len(items) < 2 or not what.count(" or "):
        return what
    mixed = [items[place] for place in chance.permutation(len(items))]
    return f"{mixed[0]} or {mixed[1]}" if len(mixed) == 2 else f"{', '.join(mixed[:-1])}, or {mixed[-1]}"


@cache
def _groups() -> tuple[re.Pattern[str], dict[str, list[str]]]:
    """One pattern of all phrases, the longest first, and each phrase's group."""
    tables = tomllib.loads((files("hilum.reports.neural") / "paraphrases.toml").read_text(encoding="utf-8"))
    groups = {phrase: group for table in tables.values() for group in table for phrase in group}
    phrases = sorted(groups, key=lambda phrase: (-len(phrase), phrase))
    return re.compile(r"\b(" + "|".join(map(re.escape, phrases)) + r")\b", re.IGNORECASE), groups
