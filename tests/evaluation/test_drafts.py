"""Drafts are measured as the definitions say, by patient, beside baselines, and never made of the own report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from hilum.archive import Archive
from hilum.errors import EvaluationError
from hilum.evaluation.draft_metrics import label_codes, measure_drafts
from hilum.evaluation.drafts import FREQUENT, NEAREST, RANDOM, SELECTED, WHOLE, evaluate_drafts
from hilum.evaluation.results import read_csv
from hilum.findings import CHEXPERT_NAMES
from hilum.reports import RuleLabeler
from hilum.tasks.composing import NOTICE, Corpus
from tests.conftest import make_small_archive
from tests.tasks.composing.oracle import Oracle

REFERENCES = [
    "Left effusion. No pneumothorax.",
    "Mild edema.",
    "No acute process.",
    "Possible pneumonia. Left effusion.",
]
DRAFTS = ["Right effusion.", "Mild edema. Small effusion.", "No acute process.", "Pneumonia."]
PATIENTS = ["a", "a", "b", "c"]


def measured(drafts: dict[str, list[str]], **settings: object):
    rows = measure_drafts(
        REFERENCES, drafts, PATIENTS, RuleLabeler(), {"same_length": lambda texts: np.array([[len(t), 1.0] for t in texts])},
        dataset="here", replicates=50, **settings,
    )  # fmt: skip
    return {(row.model, row.finding, row.metric): row for row in rows}


def test_label_metrics_equal_scikit_learn_with_uncertain_and_blank_absent() -> None:
    rows = measured({"ours": DRAFTS})
    gold, said = ((label_codes(RuleLabeler(), texts) == 1) for texts in (REFERENCES, DRAFTS))
    for average in ("macro", "micro"):
        theirs = f1_score(gold, said, average=average, zero_division=0)
        assert rows["ours", average, "label_f1"].value == pytest.approx(theirs)
    for name, score in (("label_precision", precision_score), ("label_recall", recall_score)):
        assert rows["ours", "macro", name].value == pytest.approx(score(gold, said, average="macro", zero_division=1))
    assert rows["ours", "Pneumonia", "label_f1"].value == 0.0, "the reference only doubts it"
    effusion = rows["ours", "Pleural Effusion", "label_f1"]
    assert (effusion.value, effusion.n, effusion.n_positive) == (0.5, 4, 2)


def test_what_neither_says_is_missing_with_a_reason() -> None:
    row = measured({"ours": DRAFTS})["ours", "Fracture", "label_f1"]
    assert (row.value, row.low, row.note) == (None, None, "neither the references nor the drafts say it")


def test_vectors_are_compared_by_cosine_and_equal_texts_are_one() -> None:
    rows = measured({"ours": REFERENCES, "other": DRAFTS})
    assert rows["ours", "report", "same_length"].value == pytest.approx(1.0)
    assert rows["ours", "report", "bleu_4"].value == pytest.approx(1.0)
    assert rows["ours", "micro", "label_f1"].value == 1.0
    apart = rows["ours - other", "micro", "label_f1"]
    assert apart.value == pytest.approx(1.0 - rows["other", "micro", "label_f1"].value)
    assert apart.note.startswith("paired difference, p = ")


def test_patients_are_drawn_with_all_their_studies() -> None:
    together = measured({"ours": ["Mild edema."] * 4})["ours", "report", "bleu_1"]
    apart = measure_drafts(
        REFERENCES, {"ours": ["Mild edema."] * 4}, list("abcd"), RuleLabeler(), {}, dataset="here", replicates=50
    )
    single = next(row for row in apart if row.metric == "bleu_1")
    assert together.value == single.value
    assert (together.low, together.high) != (single.low, single.high)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"in numbers \[1, 4\]"):
        measured({"ours": ["one"]})


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive.open(make_small_archive(tmp_path_factory.mktemp("disks") / "archive"))


def test_a_model_that_sees_drafts_right_and_better_than_the_baselines(disks: Archive, tmp_path: Path) -> None:
    found = evaluate_drafts(Oracle(), disks, replicates=100, out=tmp_path / "results.csv")
    assert found.studies == found.patients == 16
    assert found.drafts[WHOLE] == [f"{reference} " for reference in found.references]
    assert found.get(WHOLE, "micro", "label_f1").value == 1.0
    assert found.get(WHOLE, "report", "bleu_4").value == pytest.approx(1.0)
    for baseline in (RANDOM, FREQUENT):
        row = found.get(f"{SELECTED} - {baseline}", "micro", "label_f1")
        assert row.low is not None
        assert row.low > 0
    assert len(set(found.drafts[FREQUENT])) == 1
    assert found.remarks[0] == NOTICE
    assert read_csv(tmp_path / "results.csv")[0].model == SELECTED
    assert {row.finding for row in found.results} == {"macro", "micro", "report", *CHEXPERT_NAMES}


def test_the_same_seed_gives_the_same_numbers(disks: Archive) -> None:
    once, again, other = (evaluate_drafts(Oracle(), disks, replicates=20, seed=seed) for seed in (3, 3, 4))
    assert once.results == again.results
    assert once.drafts[RANDOM] != other.drafts[RANDOM]
    assert once.drafts[NEAREST] == other.drafts[NEAREST]


def test_no_way_gives_a_study_its_own_report(tmp_path: Path) -> None:
    """Four reports, each of one patient: every draft must be of the three others."""
    archive = Archive.open(make_small_archive(tmp_path / "archive", count=4))
    corpus = Corpus.of_archive(archive)
    found = evaluate_drafts(Oracle(), archive, corpus, split="train", replicates=5)
    for way in (WHOLE, RANDOM, FREQUENT):
        assert all(a.strip() != b for a, b in zip(found.drafts[way], found.references, strict=True)), way
    for way in (SELECTED, NEAREST):  # "No effusion." was written about others as well, "Left effusion." was not
        assert all(b.split(".")[0] not in a for a, b in zip(found.drafts[way], found.references, strict=True)), way


def test_a_neural_labeler_adds_its_own_similarity(disks: Archive) -> None:
    class Labeler(RuleLabeler):
        def embed(self, texts: list[str]) -> np.ndarray:
            return np.array([[len(text), 1.0] for text in texts])

    found = evaluate_drafts(Oracle(), disks, labeler=Labeler(), replicates=5)
    assert found.get(WHOLE, "report", "labeler_similarity").value == pytest.approx(1.0, abs=1e-3)


def test_a_split_without_reports_is_named(tmp_path: Path) -> None:
    archive = Archive.open(make_small_archive(tmp_path / "archive", count=8))
    with pytest.raises(EvaluationError, match=r"no study of the split 'test' has a report.*\(splits: train\)"):
        evaluate_drafts(Oracle(), archive)
