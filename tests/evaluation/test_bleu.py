"""BLEU equals the definition, another implementation, and what a person counts."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from hilum.errors import EvaluationError
from hilum.evaluation.bleu import bleu, bleu_counts, words_of

WORDS = ["no", "acute", "small", "left", "right", "effusion", "edema"]


def texts(seed: int, many: int = 30) -> list[str]:
    chance = np.random.default_rng(seed)
    return [" ".join(chance.choice(WORDS, chance.integers(1, 14))) for _ in range(many)]


def loop_bleu(candidates: list[str], references: list[str], most: int) -> float:
    """Papineni et al. 2002, equations as printed, one n-gram at a time."""
    logs = 0.0
    for n in range(1, most + 1):
        matched = possible = 0
        for candidate, reference in zip(candidates, references, strict=True):
            said, meant = candidate.split(), reference.split()
            ours = Counter(tuple(said[i : i + n]) for i in range(len(said) - n + 1))
            theirs = Counter(tuple(meant[i : i + n]) for i in range(len(meant) - n + 1))
            matched += sum(min(count, theirs[gram]) for gram, count in ours.items())
            possible += sum(ours.values())
        logs += math.log(matched / possible) / most
    c, r = (sum(len(text.split()) for text in side) for side in (candidates, references))
    return (1.0 if c > r else math.exp(1 - r / c)) * math.exp(logs)


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_bleu_equals_the_loop(most: int) -> None:
    candidates, references = texts(0), texts(1)
    ours = bleu(bleu_counts(candidates, references).sum(0))[most - 1]
    assert ours == pytest.approx(loop_bleu(candidates, references, most), abs=1e-12)
    assert ours > 0


@pytest.mark.parametrize("most", [1, 4])
def test_bleu_equals_another_implementation(most: int) -> None:
    functional = pytest.importorskip("torchmetrics.functional.text")
    candidates, references = texts(2), texts(3)
    theirs = float(functional.bleu_score(candidates, [[one] for one in references], n_gram=most))
    assert bleu(bleu_counts(candidates, references).sum(0))[most - 1] == pytest.approx(theirs, abs=1e-6)


def test_a_word_counts_no_more_often_than_the_reference_has_it() -> None:
    counts = bleu_counts(["the the the the the the the"], ["The cat is on the mat."])[0]
    assert (counts[0], counts[4]) == (2, 7), "the example of section 2.1 of the paper"


def test_equal_texts_have_one_whatever_their_case_and_marks() -> None:
    same = bleu_counts(["No acute process, today!"], ["no acute process today"]).sum(0)
    assert bleu(same).tolist() == [1.0] * 4
    assert words_of("Dr. O'Neil: T4-T5") == ["dr", "o'neil", "t4", "t5"]


def test_short_drafts_are_punished_and_empty_ones_have_nothing() -> None:
    short = bleu(bleu_counts(["small effusion"], ["small effusion on the left side"]).sum(0))
    assert short[1] == pytest.approx(math.exp(1 - 6 / 2))
    assert bleu(bleu_counts(["", ""], ["edema", "effusion"]).sum(0)).tolist() == [0.0] * 4


def test_weighted_counts_are_a_resample() -> None:
    candidates, references = texts(4, 6), texts(5, 6)
    drawn = [0, 0, 3, 5, 5, 5]
    weights = np.bincount(drawn, minlength=6)
    resampled = bleu_counts([candidates[i] for i in drawn], [references[i] for i in drawn]).sum(0)
    assert np.array_equal(bleu(weights @ bleu_counts(candidates, references)), bleu(resampled))


def test_texts_without_a_reference_are_refused() -> None:
    with pytest.raises(EvaluationError, match="2 texts against 1 references"):
        bleu_counts(["a", "b"], ["a"])
