"""What contradicts and what repeats, sentence by sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from hilum.tasks.composing import Corpus
from hilum.tasks.composing.corpus import sentences_of
from hilum.tasks.composing.saying import Reader, Said, contradiction, first_objection, repetition

READ = Reader().read


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("Small left pleural effusion.", "No pleural effusion."),
        ("No pneumothorax.", "There is a right apical pneumothorax."),
        ("No evidence of pneumonia.", "Possible pneumonia."),
        ("Right lower lobe consolidation.", "Normal chest radiograph."),
        ("Normal chest.", "Mild cardiomegaly."),
        ("No acute cardiopulmonary process.", "Moderate pulmonary edema."),
        ("The lungs are clear.", "Left lower lobe consolidation."),
        ("Left lower lobe consolidation.", "Clear lungs bilaterally."),
    ],
)
def test_contradictions_are_seen_either_way_round(earlier: str, later: str) -> None:
    assert contradiction(READ(earlier), READ(later))
    assert contradiction(READ(later), READ(earlier))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("Small left pleural effusion.", "No pneumothorax."),
        ("Small left pleural effusion.", "Possible right pleural effusion."),
        ("Mild cardiomegaly.", "No acute cardiopulmonary process."),
        ("Right pleural effusion.", "The lungs are clear."),
        ("Normal chest.", "Left PICC line in place."),
        ("Normal chest.", "No pneumothorax."),
        ("Comparison is made with the prior study.", "Moderate edema."),
        ("No acute disease except for atelectasis.", "Small pneumothorax."),
        ("Left base atelectasis.", "Lungs otherwise clear."),
        ("Clear right lung.", "Extensive airspace disease in the left base."),
        ("Small right pleural effusion.", "No acute airspace disease."),
    ],
)
def test_what_can_stand_together_does(earlier: str, later: str) -> None:
    assert contradiction(READ(earlier), READ(later)) == ""


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("Small left pleural effusion.", "There is a small left pleural effusion."),
        ("Small left pleural effusion.", "Moderate-sized left pleural effusion."),
        ("There is extensive pulmonary edema.", "Findings are compatible with marked pulmonary edema."),
        ("Right lower lobe opacity and a right pneumothorax.", "There is a right lower lobe opacity."),
        ("Normal chest radiograph.", "Unremarkable chest."),
        ("No acute findings.", "No acute cardiopulmonary process."),
        ("No pneumothorax.", "There is no evidence of pneumothorax."),
    ],
)
def test_repetitions_are_seen(earlier: str, later: str) -> None:
    assert repetition(READ(earlier), READ(later))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("Small left pleural effusion.", "Small right pleural effusion."),
        ("Right lower lobe consolidation.", "Right upper lobe consolidation."),
        ("Pleural effusion.", "Left pleural effusion."),
        ("Small left pleural effusion.", "Small left pleural effusion and atelectasis."),
        ("No pneumothorax.", "No pleural effusion."),
        ("Small left pleural effusion.", "Comparison is made with the prior study."),
    ],
)
def test_what_adds_something_is_no_repetition(earlier: str, later: str) -> None:
    assert repetition(READ(earlier), READ(later)) == ""


def test_the_reason_names_the_sentence_and_the_finding() -> None:
    kept = [(text, READ(text)) for text in ("Mild edema.", "Small left pleural effusion.")]
    text = "No pleural effusion."
    assert first_objection(kept, text, READ(text)) == (
        'contradicts "Small left pleural effusion.": it says that there is no Pleural Effusion'
    )
    text = "Normal chest."
    assert first_objection(kept, text, READ(text)) == (
        'contradicts "Mild edema.": it says that the chest is normal, and not Edema'
    )
    assert first_objection([], text, READ(text)) == ""


@pytest.mark.realdata
def test_radiologists_hardly_contradict_or_repeat_themselves(real_data: Path) -> None:
    """Impressions of Open-I: a rule that fires on one author's own sentences would throw away good drafts."""
    corpus = Corpus.of_table(real_data / "openi_reports" / "reports.csv")
    read = Reader().read
    reasons = []
    for report in corpus.reports:
        kept: list[tuple[str, Said]] = []
        for text in sentences_of(report):
            reasons.append(first_objection(kept, text, read(text)))
            kept.append((text, read(text)))
    assert len(reasons) > 3000
    assert sum(why.startswith("contradicts") for why in reasons) < 0.015 * len(reasons)
    assert sum(why.startswith("repeats") for why in reasons) < 0.015 * len(reasons)
