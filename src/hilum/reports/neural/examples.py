"""What a stage trains on: reports with rule labels, reports composed of their sentences, reports with expert labels."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np

from hilum.reports.grid import BLANK, NO_FINDING, POSITIVE
from hilum.reports.neural.corpus import RuleSilver, Silver
from hilum.reports.neural.fit import Examples
from hilum.reports.neural.network import HEADS
from hilum.reports.neural.paraphrase import Paraphraser, sentences_of
from hilum.reports.neural.swap import FindingSwapper
from hilum.reports.neural.tokens import ReportTokenizer

# How likely a composed report's sentence is paraphrased.
_PARAPHRASED = 0.3
_PARAPHRASER = Paraphraser()

# Most sentences that an expert-labeled report is joined with.
_JOINED = 3


class SilverExamples:
    """Rule-labeled reports, and new ones composed of their sentences that the rules label on the fly.

    A composed report shows the network the same facts in other company, so that it learns what each sentence says
    and not which reports look alike. It is only possible when labels come from a function.

    Args:
        texts, codes: the reports and their (N, heads) class codes.
        tokenizer, max_tokens: how they are read; reports longer than one window are left out.
        silver: labels new texts; None: no composed reports.
        compose: composed reports per real one.
        most_sentences: of a composed report.
        seed: of what is drawn.
    """

    def __init__(
        self,
        texts: Sequence[str],
        codes: np.ndarray,
        tokenizer: ReportTokenizer,
        max_tokens: int,
        silver: Silver | None = None,
        compose: float = 0.0,
        most_sentences: int = 8,
        seed: int = 0,
    ) -> None:
        self.tokenizer, self.max_tokens, self.seed = tokenizer, max_tokens, seed
        self.silver, self.most_sentences = silver, most_sentences
        self.ids, kept = tokenized(texts, tokenizer, max_tokens)
        self.codes, self.too_long = codes[kept], len(texts) - len(kept)
        self.composed = round(compose * len(kept)) if silver is not None else 0
        # Each sentence once: what is rare in reports is as frequent here as what is common.
        self.sentences = _sentences(texts) if self.composed else []
        self.favored: list[str] = []
        self.swap = 0.0
        self.swapper: FindingSwapper | None = None

    def epoch(self, number: int) -> Examples:
        """All real reports and fresh composed ones."""
        if not self.composed:
            return Examples(self.ids, self.codes)
        made = self._compose(self.composed, np.random.default_rng([self.seed, 1, number]))
        return Examples([*self.ids, *made.ids], np.concatenate([self.codes, made.codes]))

    def draw(self, many: int, chance: np.random.Generator) -> Examples:
        """Some reports, half of them composed where reports are composed at all."""
        made = self._compose(many // 2, chance) if self.composed else Examples([], self.codes[:0])
        rows = chance.integers(len(self.ids), size=many - len(made.ids))
        return Examples([*(self.ids[row] for row in rows), *made.ids], np.concatenate([self.codes[rows], made.codes]))

    def with_sentences_of(self, texts: Sequence[str], swap: float) -> SilverExamples:
        """The same reports, but half of the sentences of composed ones come from `texts`, and in some a finding is swapped.

        Args:
            texts: reports, such as the experts'; what is composed of them is labeled by the rules.
            swap: share of the sentences in which another finding is named; only where labels come from the rules.
        """
        other = copy(self)
        if self.composed:
            other.favored = _sentences(texts)
            if swap and isinstance(self.silver, RuleSilver):
                other.swap = swap
                other.swapper = FindingSwapper(self.silver, [*self.sentences, *other.favored])
        return other

    def some_sentences(self, chance: np.random.Generator, most: int) -> str:
        """One to `most` sentences of any reports, as one text."""
        return " ".join(self._sentence(chance) for _ in range(int(chance.integers(1, most + 1))))

    def _sentence(self, chance: np.random.Generator) -> str:
        pool = self.favored if self.favored and chance.random() < 0.5 else self.sentences
        sentence = pool[chance.integers(len(pool))]
        if self.swapper is not None and chance.random() < self.swap:
            return self.swapper(sentence, chance)
        return _PARAPHRASER.sentence(sentence, chance) if chance.random() < _PARAPHRASED else sentence

    def _compose(self, many: int, chance: np.random.Generator) -> Examples:
        assert self.silver is not None
        texts = [self.some_sentences(chance, self.most_sentences) for _ in range(many)]
        ids, kept = tokenized(texts, self.tokenizer, self.max_tokens)
        codes = self.silver([texts[row] for row in kept])
        # A composed report that was too long is replaced by a real one: every epoch has the same number of steps.
        spare = np.arange(many - len(kept)) % len(self.ids)
        return Examples([*ids, *(self.ids[row] for row in spare)], np.concatenate([codes, self.codes[spare]]))


class GoldExamples:
    """Expert-labeled reports and their variants, and some rule-labeled reports so that what was learned is kept.

    Args:
        texts, codes: the experts' reports and labels.
        variants: of each report, other texts with the same labels (back-translations, say).
        paraphraser: adds one fresh paraphrase of each report to every epoch; None adds none.
        silver: rule-labeled reports to draw from; None: none.
        replay: of these, drawn per expert report.
        join: fresh texts per expert report in which sentences of other reports stand before or behind it. Its labels are
            those of both, joined as mentions are: positive beats uncertain beats negative beats not mentioned.
        seed: of what is drawn.
    """

    def __init__(
        self,
        texts: Sequence[str],
        codes: np.ndarray,
        tokenizer: ReportTokenizer,
        max_tokens: int,
        variants: Sequence[Sequence[str]] = (),
        paraphraser: Paraphraser | None = None,
        silver: SilverExamples | None = None,
        replay: float = 0.0,
        join: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.tokenizer, self.max_tokens, self.seed = tokenizer, max_tokens, seed
        pairs = [(text, row) for row, text in enumerate(texts)]
        pairs += [(text, row) for row, others in enumerate(variants) for text in others]
        self.ids, kept = tokenized([text for text, _ in pairs], tokenizer, max_tokens)
        self.too_long = len(pairs) - len(kept)
        self.codes = codes[[pairs[at][1] for at in kept]]
        self.own_ids, fitting = tokenized(texts, tokenizer, max_tokens)
        self.texts, self.text_codes = [texts[row] for row in fitting], codes[fitting]
        self.paraphraser, self.silver = paraphraser, silver
        self.replayed = round(replay * len(texts)) if silver is not None else 0
        self.joined = round(join * len(self.texts)) if silver is not None and silver.sentences else 0

    def epoch(self, number: int) -> Examples:
        """All expert reports, a fresh paraphrase of each, joined and replayed reports."""
        chance = np.random.default_rng([self.seed, 2, number])
        ids, codes = list(self.ids), [self.codes]
        if self.paraphraser is not None:
            told = [self.paraphraser(text, chance) for text in self.texts]
            self._add(told, self.text_codes, np.arange(len(self.texts)), ids, codes)
        if self.joined:
            rows = chance.integers(len(self.texts), size=self.joined)
            self._add(*self._join(rows, chance), rows, ids, codes)
        if self.replayed and self.silver is not None:
            drawn = self.silver.draw(self.replayed, chance)
            ids += drawn.ids
            codes.append(drawn.codes)
        return Examples(ids, np.concatenate(codes))

    def _add(
        self,
        told: Sequence[str],
        labels: np.ndarray,
        rows: np.ndarray,
        ids: list[tuple[int, ...]],
        codes: list[np.ndarray],
    ) -> None:
        """Append new texts; one that is longer than a window is replaced by its own report, so that no epoch is shorter."""
        made = self.tokenizer.reports(told, self.max_tokens, 0)
        for row, report, label in zip(rows, made, labels, strict=True):
            fits = len(report.windows) == 1
            ids.append(report.windows[0] if fits else self.own_ids[row])
            codes.append((label if fits else self.text_codes[row])[None])

    def _join(self, rows: np.ndarray, chance: np.random.Generator) -> tuple[list[str], np.ndarray]:
        assert self.silver is not None
        assert self.silver.silver is not None
        others = [self.silver.some_sentences(chance, _JOINED) for _ in rows]
        labels = join_codes(self.text_codes[rows], self.silver.silver(others))
        told = []
        for row, other in zip(rows, others, strict=True):
            own = self.paraphraser(self.texts[row], chance) if self.paraphraser else self.texts[row]
            told.append(f"{other} {own}" if chance.random() < 0.5 else f"{own} {other}")
        return told, labels


def join_codes(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N, heads) codes of texts that stand one behind the other; No Finding holds where both say it.

    Example:
        >>> join_codes(np.array([[2, 3, 0, 1] + [0] * 10]), np.array([[3, 1, 2, 0] + [0] * 10]))[0, :4].tolist()
        [3, 1, 2, 1]
    """
    strength = np.array([0, 3, 1, 2])  # of not mentioned, positive, negative, uncertain
    joined = np.where(strength[one] >= strength[other], one, other)
    last = HEADS.index(NO_FINDING)
    joined[:, last] = np.where((one[:, last] == POSITIVE) & (other[:, last] == POSITIVE), POSITIVE, BLANK)
    return joined


def _sentences(texts: Sequence[str]) -> list[str]:
    return sorted({sentence for text in texts for sentence in sentences_of(text)})


def tokenized(
    texts: Sequence[str], tokenizer: ReportTokenizer, max_tokens: int
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Token ids of the texts that fit one window, and their row numbers."""
    reports = tokenizer.reports(texts, max_tokens, 0)
    kept = [row for row, report in enumerate(reports) if len(report.windows) == 1]
    return [reports[row].windows[0] for row in kept], kept
