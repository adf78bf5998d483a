"""What a stage trains on: reports with rule labels, reports composed of their sentences, reports with expert labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilum.reports.neural.corpus import Silver
from hilum.reports.neural.fit import Examples
from hilum.reports.neural.paraphrase import Paraphraser, sentences_of
from hilum.reports.neural.tokens import ReportTokenizer

# How likely a composed report's sentence is paraphrased, and each of its places changed.
_PARAPHRASED, _CHANGED = 0.3, 0.5


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
        self.sentences = (
            sorted({sentence for text in texts for sentence in sentences_of(text)}) if self.composed else []
        )

    def epoch(self, number: int) -> Examples:
        """All real reports and fresh composed ones."""
        if not self.composed or self.silver is None:
            return Examples(self.ids, self.codes)
        texts = self._compose(np.random.default_rng([self.seed, 1, number]))
        ids, kept = tokenized(texts, self.tokenizer, self.max_tokens)
        codes = self.silver([texts[row] for row in kept])
        # A composed report that was too long is replaced by a real one: every epoch has the same number of steps.
        spare = np.arange(self.composed - len(kept)) % len(self.ids)
        return Examples(
            [*self.ids, *ids, *(self.ids[row] for row in spare)],
            np.concatenate([self.codes, codes, self.codes[spare]]),
        )

    def _compose(self, chance: np.random.Generator) -> list[str]:
        paraphraser = Paraphraser(_CHANGED)
        texts = []
        for _ in range(self.composed):
            many = int(chance.integers(1, self.most_sentences + 1))
            drawn = [self.sentences[place] for place in chance.integers(len(self.sentences), size=many)]
            told = [paraphraser.sentence(s, chance) if chance.random() < _PARAPHRASED else s for s in drawn]
            texts.append(" ".join(told))
        return texts


class GoldExamples:
    """Expert-labeled reports with their paraphrases, and some rule-labeled ones so that what was learned is kept.

    Args:
        texts, codes: the experts' reports and labels.
        variants: of each report, other texts with the same labels (back-translations, say).
        paraphraser: adds one fresh paraphrase of each report to every epoch; None adds none.
        silver: rule-labeled reports to draw from; None: none.
        replay: of these, drawn per expert report.
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
        seed: int = 0,
    ) -> None:
        self.tokenizer, self.max_tokens, self.seed = tokenizer, max_tokens, seed
        pairs = [(text, row) for row, text in enumerate(texts)]
        pairs += [(text, row) for row, others in enumerate(variants) for text in others]
        self.ids, kept = tokenized([text for text, _ in pairs], tokenizer, max_tokens)
        self.too_long = len(pairs) - len(kept)
        self.codes = codes[[pairs[at][1] for at in kept]]
        self.texts, self.text_codes, self.paraphraser = list(texts), codes, paraphraser
        self.silver, self.replayed = silver, round(replay * len(texts)) if silver is not None else 0

    def epoch(self, number: int) -> Examples:
        """All expert reports, a fresh paraphrase of each, and the replayed ones."""
        chance = np.random.default_rng([self.seed, 2, number])
        ids, codes = list(self.ids), [self.codes]
        if self.paraphraser is not None:
            told = [self.paraphraser(text, chance) for text in self.texts]
            # A paraphrase may be longer than a window; its report then stands in for it.
            told = [new if fits else old for new, old, fits in zip(told, self.texts, self._fit(told), strict=True)]
            new_ids, kept = tokenized(told, self.tokenizer, self.max_tokens)
            ids += new_ids
            codes.append(self.text_codes[kept])
        if self.replayed and self.silver is not None:
            rows = chance.integers(len(self.silver.ids), size=self.replayed)
            ids += [self.silver.ids[row] for row in rows]
            codes.append(self.silver.codes[rows])
        return Examples(ids, np.concatenate(codes))

    def _fit(self, texts: Sequence[str]) -> list[bool]:
        return [len(report.windows) == 1 for report in self.tokenizer.reports(texts, self.max_tokens, 0)]


def tokenized(
    texts: Sequence[str], tokenizer: ReportTokenizer, max_tokens: int
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Token ids of the texts that fit one window, and their row numbers."""
    reports = tokenizer.reports(texts, max_tokens, 0)
    kept = [row for row, report in enumerate(reports) if len(report.windows) == 1]
    return [reports[row].windows[0] for row in kept], kept
