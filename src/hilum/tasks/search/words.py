"""Exact words in reports: which studies have them all, the most telling first.

Every word must be there, as it is written but for capitals; so must every phrase in double quotes, its words in a row, whatever
blanks or marks stand between them. What is asked for is the word, not the finding: `pneumothorax` finds "no pneumothorax" too,
`"no pneumothorax"` only that. The archive's index of words answers where there is one (`hilum index`), else all reports are read.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive import Archive, ReportWords
from hilum.errors import UsageError

K1, B = 1.2, 0.75  # Robertson & Zaragoza 2009, section 3.5: how soon repeats stop counting, how much length counts
LONGEST, MOST_TERMS = 500, 20
_TERM = re.compile(r'"([^"]*)"|(\S+)')
_EDGE = r"[^\pL\pN]"  # what may stand beside a word


def terms_of(words: str) -> list[list[str]]:
    """The words and phrases asked for, each as its words.

    Example:
        >>> terms_of('tube "no acute fracture"')
        [['tube'], ['no', 'acute', 'fracture']]

    Raises:
        UsageError: there is no word, or too many.
    """
    if len(words) > LONGEST:
        raise UsageError(f"the words are {len(words):,} characters long; at most {LONGEST} are read.")
    if words.count('"') % 2:
        raise UsageError(f"words {words!r}: a phrase has no closing double quote.")
    cut = [re.findall(r"[^\W_]+", phrase or word) for phrase, word in _TERM.findall(words)]  # "follow-up" is a phrase
    terms = [term for term in cut if term]
    if not terms:
        raise UsageError(f"words {words!r}: there is no word in it. For example: --words 'tube \"no pneumothorax\"'")
    if len(terms) > MOST_TERMS:
        raise UsageError(f"{len(terms)} words and phrases; at most {MOST_TERMS} are looked for.")
    return terms


class Reports:
    """The reports of an archive, read at the first question and kept. May be read from several threads.

    Args:
        archive: whose reports.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._index = ReportWords(archive)
        self._is_indexed = self._index.is_usable
        self._read: tuple[pa.Array, pa.Array] | None = None

    def _texts(self) -> tuple[pa.Array, pa.Array]:
        if self._read is None:
            studies = self._archive.studies(["study_id", "report", "findings", "impression"]).combine_chunks()
            sections = [pc.fill_null(studies[name], "") for name in ("findings", "impression")]
            texts = pc.coalesce(studies["report"], pc.binary_join_element_wise(*sections, "\n"))
            self._read = studies["study_id"].combine_chunks(), texts.combine_chunks()
        return self._read

    def with_words(self, words: str) -> tuple[pa.Array, np.ndarray]:
        """The studies whose report has all of the words, and their BM25 weights; the heaviest first.

        Without an index the weights leave out how rare a word is: every result has every word.
        """
        terms = terms_of(words)
        if self._is_indexed:
            return self._index.find(terms)
        ids, texts = self._texts()
        found = np.arange(len(ids))
        counts: list[np.ndarray] = []
        for term in terms:
            if not len(found):
                break
            here = texts.take(pa.array(found)) if counts or len(found) < len(texts) else texts
            count = _count(here, term)
            found, counts = found[count > 0], [*(one[count > 0] for one in counts), count[count > 0]]
        if not len(found):
            return ids.slice(0, 0), np.zeros(0)
        lengths = pc.utf8_length(texts.take(pa.array(found))).to_numpy().astype(float)
        weights = _bm25(np.array(counts, float), lengths)
        order = np.lexsort((found, -weights))
        return ids.take(pa.array(found[order])), weights[order]


def _count(texts: pa.Array, term: list[str]) -> np.ndarray:
    """How often a word or phrase stands in each text."""
    # Looking for the letters is several times as fast as a pattern, and leaves few texts to look at closely.
    maybe = np.flatnonzero(pc.match_substring(texts, term[0], ignore_case=True).to_numpy(zero_copy_only=False))
    counts = np.zeros(len(texts), np.int64)
    # Arrow's patterns are RE2's: they take linear time whatever is asked.
    pattern = rf"(?i)(?:^|{_EDGE})" + rf"{_EDGE}+".join(map(re.escape, term)) + rf"(?:$|{_EDGE})"
    counts[maybe] = pc.count_substring_regex(texts.take(pa.array(maybe)), pattern).to_numpy(zero_copy_only=False)
    return counts


def _bm25(counts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(T, N) counts of T terms in N texts to (N,) weights; lengths against the mean of those that have the words."""
    damped = K1 * (1 - B + B * lengths / max(lengths.mean(), 1))
    return (counts * (K1 + 1) / (counts + damped)).sum(axis=0)
