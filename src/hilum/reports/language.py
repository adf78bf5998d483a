"""A cheap test whether a report is written in English: its share of small words."""

from __future__ import annotations

import re

_SMALL = frozenset(
    ["the", "of", "and", "no", "is", "are", "in", "with", "or", "to", "there", "has", "have", "was", "not", "for", "without", "at", "on", "which", "be", "a", "an", "as", "by", "from", "this", "that", "seen", "normal", "clear", "stable", "unremarkable", "within", "limits", "chest", "heart", "lung", "lungs", "left", "right", "small", "acute"]
)
# Small words of other languages of the Latin alphabet (Spanish, Portuguese, French, German, Italian, Dutch).
_FOREIGN = frozenset(
    ["el", "los", "las", "de", "del", "y", "sin", "con", "se", "en", "por", "una", "un", "es", "não", "sem", "com", "da", "do", "dos", "das", "em", "uma", "na", "nas", "le", "les", "des", "et", "sans", "avec", "du", "dans", "une", "est", "il", "lo", "gli", "di", "della", "nel", "con", "senza", "der", "die", "das", "und", "ohne", "keine", "kein", "mit", "im", "von", "ist", "sind", "nicht", "den", "het", "een", "van", "geen", "en", "la", "ne", "au", "aux", "pas"]
)
_WORD = re.compile(r"[^\W\d_]+")
_ENOUGH = 4  # words; shorter texts are given the benefit of the doubt
_ASCII_SHARE = 0.5


def is_english(cleaned: str, says_something: bool) -> bool:
    """False for a text that is surely not English.

    Args:
        cleaned: the report in lower case.
        says_something: whether the vocabulary found anything in it; then only strong signs count.

    Example:
        >>> is_english("no hay derrame pleural en la base", True)
        False
    """
    if cleaned.isascii() and says_something and len(cleaned) > 400:
        sample = cleaned[:400]
    else:
        sample = cleaned[:2000]
    words = _WORD.findall(sample)
    if len(words) < _ENOUGH:
        return sum(word.isascii() for word in words) >= len(words) * _ASCII_SHARE
    english = sum(word in _SMALL for word in words)
    foreign = sum(word in _FOREIGN for word in words)
    if foreign > english:
        return False
    if not sample.isascii() and sum(word.isascii() for word in words) < len(words) * _ASCII_SHARE:
        return False
    return True
