"""Phantoms' reports: they name what is there, deny what is not, and vary."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from hilum.sources.phantom import DRAWN, Patient, Sign, wording, write_report
from hilum.sources.phantom.history import Study
from hilum.sources.phantom.reporting import _grammar, _impression, _sentence

# A word that any mention of the finding contains.
CUES = {
    "Enlarged Cardiomediastinum": r"mediastin",
    "Cardiomegaly": r"cardiomegaly|heart|cardiac silhouette",
    "Lung Opacity": r"opaci",
    "Lung Lesion": r"nodul|lesion|mass",
    "Edema": r"edema",
    "Consolidation": r"consolidat",
    "Pneumonia": r"pneumonia",
    "Atelectasis": r"atelecta",
    "Pneumothorax": r"pneumothorax|pleural line",
    "Pleural Effusion": r"effusion",
    "Pleural Other": r"pleural (thickening|scarring)",
    "Fracture": r"fracture",
    "Support Devices": r"pacemaker|pacing|tube|line|drain|intubated|wires|catheter",
}


@pytest.fixture(scope="module")
def told() -> list[tuple[Patient, Study, str]]:
    patients = (Patient.random(1, index) for index in range(200))
    return [(patient, study, write_report(patient, study)) for patient in patients for study in patient.studies]


def impression(report: str) -> str:
    return report.split("IMPRESSION:")[1] if "IMPRESSION:" in report else ""


@pytest.mark.parametrize("finding", DRAWN)
def test_every_template_names_its_finding(finding: str) -> None:
    texts = (
        [t for kind in wording.DEVICES.values() for t in kind]
        if finding == "Support Devices"
        else wording.PRESENT[finding]
    )
    for text in (*texts, *wording.HEDGED_NAMES.get(finding, ())):
        assert re.search(CUES[finding], text, re.I), text


def test_a_report_names_nearly_every_finding_that_is_there(told: list[tuple[Patient, Study, str]]) -> None:
    there, named = Counter(), Counter()
    for _, study, report in told:
        for finding in {sign.finding for sign in study.signs}:
            there[finding] += 1
            named[finding] += bool(re.search(CUES[finding], report, re.I))
    assert all(named[finding] >= 0.85 * there[finding] for finding in DRAWN)
    assert sum(named.values()) < sum(there.values())  # now and then one is left out


def test_normal_studies_claim_nothing(told: list[tuple[Patient, Study, str]]) -> None:
    for _, study, report in told:
        if study.signs or study.before:
            continue
        for sentence in re.split(r"[.\n]\s*", report.split("FINDINGS:")[-1]):
            if any(re.search(CUES[f], sentence, re.I) for f in ("Edema", "Pneumothorax", "Fracture", "Atelectasis")):
                assert re.search(r"\bno\b|normal|intact|clear", sentence, re.I), sentence


def test_reports_deny_hedge_and_compare(told: list[tuple[Patient, Study, str]]) -> None:
    text = " ".join(report for _, _, report in told)
    for word in (
        "No pneumothorax",
        "unchanged",
        "resolved",
        "improved",
        "worsened",
        "new",
        "cannot be excluded",
        "ossible",
        "uestionable",
    ):
        assert word in text, word
    first = " ".join(report for _, study, report in told if study.before is None)
    assert "resolved" not in first


def test_about_one_in_ten_of_the_present_is_hedged(told: list[tuple[Patient, Study, str]]) -> None:
    rng = np.random.default_rng(0)
    from hilum.sources.phantom.reporting import _is_hedged

    signs = [sign for _, study, _ in told for sign in study.signs]
    assert 0.05 < np.mean([_is_hedged(sign, rng) for sign in signs]) < 0.15


def test_sides_are_told_right(told: list[tuple[Patient, Study, str]]) -> None:
    rng = np.random.default_rng(0)
    study = told[0][1]
    for side, other in (("left", "right"), ("right", "left")):
        for finding in ("Pleural Effusion", "Pneumothorax", "Consolidation", "Lung Lesion", "Atelectasis", "Fracture"):
            for _ in range(20):
                text = _sentence(study, Sign(finding, side, 2, "upper"), False, rng, change=0.0)
                assert side in text
                assert other not in text


def test_reports_vary(told: list[tuple[Patient, Study, str]]) -> None:
    impressions = [impression(report).strip() for _, study, report in told if study.signs]
    assert len(set(impressions)) > 0.9 * len(impressions)
    layouts = Counter(("FINDINGS:" in report, "IMPRESSION:" in report) for _, _, report in told)
    assert set(layouts) == {(True, True), (True, False), (False, True)}
    assert layouts[(True, True)] > 0.6 * len(told)


def test_impressions_are_short() -> None:
    patients = [Patient.random(4, index) for index in range(100)]
    lengths = [len(impression(write_report(p, s)).split()) for p in patients for s in p.studies]
    assert np.median(lengths) < 30
    assert max(lengths) < 120


def test_no_template_is_left_open(told: list[tuple[Patient, Study, str]]) -> None:
    for _, _, report in told:
        assert not re.search(r"[{}]|\bNone\b(?!\.| available)|  [a-z]", report), report


@pytest.mark.parametrize(
    ("rough", "smooth"),
    [
        ("there is a small bilateral pleural effusion", "there are small bilateral pleural effusions"),
        ("a layering bilateral pleural effusion is noted", "layering bilateral pleural effusions are noted"),
        ("a extensive opacity in the both lung bases", "an extensive opacity in both lung bases"),
        ("there is a small left pleural effusion", "there is a small left pleural effusion"),
    ],
)
def test_grammar(rough: str, smooth: str) -> None:
    assert _grammar(rough) == smooth


def test_an_empty_study_has_an_impression() -> None:
    study = Study(0, 0, 50, (), None, ())
    assert _impression(study, [], set(), list(DRAWN), np.random.default_rng(0)).endswith(".")
