"""BLEU of a set of texts against one reference each (Papineni et al. 2002), as a function of counts that may be resampled.

Words in lower case without punctuation; no smoothing: where no n-gram of a length matches, BLEU of that length is 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hilum.errors import EvaluationError

MOST_WORDS = 4  # n-grams of one to four words
_WORD = re.compile(r"\w+(?:'\w+)?")


def bleu_counts(candidates: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """What BLEU is made of, pair by pair: add rows, or weight them, and give the sum to `bleu`.

    Args:
        candidates: N texts.
        references: N texts, each the one reference of its candidate.

    Returns:
        (N, 10) float64: n-grams matched for n = 1 to 4 (each at most as often as the reference has it), n-grams of the
        candidate for n = 1 to 4, words of the candidate, words of the reference.

    Raises:
        EvaluationError: there are not as many of both.
    """
    if len(candidates) != len(references):
        raise EvaluationError(f"{len(candidates)} texts against {len(references)} references; expected as many.")
    counts = np.zeros((len(candidates), 2 * MOST_WORDS + 2))
    for row, (candidate, reference) in enumerate(zip(candidates, references, strict=True)):
        said, meant = words_of(candidate), words_of(reference)
        for n in range(1, MOST_WORDS + 1):
            ours, theirs = _ngrams(said, n), _ngrams(meant, n)
            counts[row, n - 1] = sum((ours & theirs).values())
            counts[row, MOST_WORDS + n - 1] = sum(ours.values())
        counts[row, -2:] = len(said), len(meant)
    return counts


def bleu(counts: np.ndarray) -> np.ndarray:
    """BLEU-1 to BLEU-4 of summed counts: the geometric mean of the precisions up to n, times the brevity penalty.

    Args:
        counts: (..., 10) sums of rows of `bleu_counts`.

    Returns:
        (..., 4) in [0, 1].

    Example:
        >>> bleu(bleu_counts(["small left effusion"], ["Small left pleural effusion."]).sum(0)).round(3).tolist()
        [0.717, 0.507, 0.0, 0.0]
    """
    matched, possible = counts[..., :MOST_WORDS], counts[..., MOST_WORDS : 2 * MOST_WORDS]
    said, meant = counts[..., -2:-1], counts[..., -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(matched > 0, np.log(matched) - np.log(possible), -np.inf)
        brevity = np.where(said > 0, np.minimum(0.0, 1 - meant / said), -np.inf)
    return np.exp(np.cumsum(logs, axis=-1) / np.arange(1, MOST_WORDS + 1) + brevity)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def _ngrams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
