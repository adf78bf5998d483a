"""A cheap test whether a report is written in English: its share of small and known words."""

from __future__ import annotations

import re
from collections.abc import Callable

# fmt: off
_SMALL = frozenset((
    "the", "of", "and", "no", "is", "are", "in", "with", "or", "to", "there", "has", "have", "was", "not", "for", "without",
    "at", "on", "which", "be", "a", "an", "as", "by", "from", "this", "that", "seen", "normal", "clear", "stable",
    "unremarkable", "within", "limits", "chest", "heart", "lung", "lungs", "left", "right", "small", "acute", "disease",
    "study", "negative", "size", "nad", "mild", "lower", "upper", "lobe", "line", "tube",
))
# Small words of other languages in the Latin alphabet (Spanish, Portuguese, French, German, Italian, Dutch).
_FOREIGN = frozenset((
    "el", "los", "las", "de", "del", "y", "sin", "con", "se", "por", "una", "un", "es", "não", "sem", "com", "da", "do",
    "dos", "das", "em", "uma", "na", "nas", "le", "les", "des", "et", "sans", "avec", "du", "dans", "une", "est", "il",
    "lo", "gli", "di", "della", "nel", "senza", "der", "die", "und", "ohne", "keine", "kein", "mit", "im", "von", "ist",
    "sind", "nicht", "den", "het", "een", "van", "geen", "en", "la", "ne", "au", "aux", "pas", "niet", "torace", "tórax",
    "si", "al", "nella", "nei", "os", "ao", "hay",
))
# fmt: on
_WORD = re.compile(r"[^\W\d_]+")
_READ = 1500  # characters looked at
_ASCII_SHARE = 0.5
_FEW = 6  # words
_KNOWN_SHARE = 0.2  # of words that are small English ones or in the vocabulary
_KNOWN_SHARE_OF_FEW = 0.3


NOT_ENGLISH, NO_KNOWN_WORD = "not English", "no known word"


def why_unread(cleaned: str, knows: Callable[[str], bool] = lambda word: False) -> str:
    """Why a text cannot be read as an English report, or "" where it can.

    Signs are the small words of other languages, another script, and hardly a word that is known.

    Args:
        cleaned: the report in lower case.
        knows: whether a word is one that reports are read with.

    Example:
        >>> why_unread("no hay derrame pleural en la base"), why_unread("the lungs are clear")
        ('not English', '')
    """
    words = [word for word in _WORD.findall(cleaned[:_READ]) if word.strip("x")]
    if not words:
        return ""
    english = sum(word in _SMALL for word in words)
    if sum(word in _FOREIGN for word in words) > english:
        return NOT_ENGLISH
    if sum(word.isascii() for word in words) < len(words) * _ASCII_SHARE:
        return NOT_ENGLISH
    few = len(words) < _FEW
    needed = len(words) * (_KNOWN_SHARE_OF_FEW if few else _KNOWN_SHARE)
    if english >= needed or english + sum(knows(word) for word in words if word not in _SMALL) >= needed:
        return ""
    return NO_KNOWN_WORD if few and cleaned.isascii() else NOT_ENGLISH


def is_english(cleaned: str, says_something: bool = False) -> bool:
    """Whether a labeler without a vocabulary should read a text; where it found something, only plain signs against count.

    Example:
        >>> is_english("no hay derrame pleural en la base"), is_english("the lungs are clear")
        (False, True)
    """
    return why_unread(cleaned, lambda word: says_something) != NOT_ENGLISH
