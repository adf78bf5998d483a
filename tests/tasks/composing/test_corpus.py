"""A corpus holds each text once, knows who wrote it, and keeps an image's own reports out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hilum.archive import Archive
from hilum.errors import ReportError, TableError, UsageError
from hilum.tasks.composing import Corpus, Own
from hilum.tasks.composing.corpus import sentences_of

REPORTS = ["Small left effusion. No pneumothorax.", "no  pneumothorax. Mild edema.", "No pneumothorax."]


def corpus_of(reports: list[str], whole: bool = False) -> Corpus:
    """Report i of study s<i>, patient p<i // 2>."""
    rows = range(len(reports))
    return Corpus._cut("here", reports, [f"s{i}" for i in rows], [f"p{i // 2}" for i in rows], whole, 0, None)


def test_sentences_are_cut_and_numbers_of_lists_dropped() -> None:
    text = "1. Small left pleural\n effusion.\n2. No acute process.\n 3.5. ___."
    assert sentences_of(text) == ["Small left pleural effusion.", "No acute process."]


def test_equal_texts_are_one_in_the_first_spelling() -> None:
    corpus = corpus_of(REPORTS)
    assert corpus.texts == ("Small left effusion.", "No pneumothorax.", "Mild edema.")
    assert corpus.times().tolist() == [1, 3, 1]
    assert corpus_of(REPORTS, whole=True).texts[1] == "no pneumothorax. Mild edema."


def test_texts_of_the_own_patient_are_forbidden_unless_others_wrote_them_too() -> None:
    corpus = corpus_of(REPORTS)
    owned = corpus.owned(Own("s0", "p0"))
    assert owned == {0, 1}, "the study's and the patient's other one"
    assert corpus.forbidden(owned).tolist() == [True, False, True]
    assert corpus.source(1, owned) == "s2", "another patient's, not the own"
    assert corpus.source(1) == "s0"
    assert not corpus.forbidden(corpus.owned(None)).any()


def test_the_own_study_is_kept_out_even_under_another_patient_id() -> None:
    assert corpus_of(REPORTS).owned(Own("s2", "somebody")) == {2}


def test_reports_of_nobody_in_the_own_words_are_kept_out() -> None:
    corpus = Corpus.of_reports(["Mild edema. Small effusion.", "Mild edema.", "Large effusion."])
    owned = corpus.owned(Own("s", "p", frozenset(["mild  edema. small effusion."])))
    assert owned == {0}
    assert corpus.forbidden(owned).tolist() == [False, True, False], "mild edema is also in another report"


def test_the_most_frequent_report_counts_reports_not_spellings() -> None:
    corpus = Corpus.of_reports(["Edema.", "No acute process.", "no acute  process."])
    assert corpus.most_frequent() == "No acute process."
    assert corpus.most_frequent(frozenset([1, 2])) == "Edema."
    assert corpus.most_frequent(frozenset([0, 1, 2])) == ""


def test_only_restricts_the_corpus_and_keeps_sources() -> None:
    smaller = corpus_of(REPORTS).only([2, 1])
    assert smaller.texts == ("Mild edema.", "No pneumothorax.")
    assert smaller.source(0) == "s1"
    assert smaller.forbidden(smaller.owned(Own("s0", "p0"))).tolist() == [True, False]
    with pytest.raises(UsageError, match="text 3 of 3"):
        corpus_of(REPORTS).only([0, 3])


def test_an_archive_gives_the_train_split_s_impressions(disks: Path) -> None:
    corpus = Corpus.of_archive(disks)
    assert set(corpus.texts) == {
        "Left effusion.", "Right effusion.", "Left pneumothorax.", "Right pneumothorax.", "No effusion.", "No pneumothorax.",
    }  # fmt: skip
    images = Archive.open(disks).images(["study_id", "split"]).to_pylist()
    splits = {image["study_id"]: image["split"] for image in images}
    assert {splits[study] for study in corpus.study_ids} == {"train"}
    assert len(Corpus.of_archive(disks, split=None).reports) == 96 > len(corpus.reports) == 48
    assert len(Corpus.of_archive(disks, whole=True)) == 4


def test_an_archive_without_such_words_says_what_it_has(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a")
    archive.add_studies(pa.table({"study_id": ["s"], "patient_id": ["p"], "report": ["x"], "findings": ["Clear."]}))
    with pytest.raises(ReportError, match=r"none of its 1 studies has a report with 'impression'.*--text findings"):
        Corpus.of_archive(archive, split=None)
    with pytest.raises(ReportError, match=r"no study of the split 'train'.*splits: none"):
        Corpus.of_archive(archive)
    assert Corpus.of_archive(archive, split=None, text="findings").texts == ("Clear.",)


@pytest.mark.parametrize(
    ("content", "texts", "study", "patient"),
    [
        ("study_id,patient_id,report\n7,p,Mild edema. Clear.\n8,q,\n", ("Mild edema.", "Clear."), "7", "p"),
        ("study_id,subject_id,impression,findings\n7,9,Mild edema.,Much else.\n", ("Mild edema.",), "7", "9"),
        ('id;report\n7;"FINDINGS: Big. IMPRESSION: Mild edema."\n', ("Mild edema.",), "7", None),
        ("report\nMild edema.\n", ("Mild edema.",), None, None),
    ],
)
def test_tables_as_they_come(
    tmp_path: Path, content: str, texts: tuple, study: str | None, patient: str | None
) -> None:
    (tmp_path / "reports.csv").write_text(content)
    corpus = Corpus.of_table(tmp_path / "reports.csv")
    assert (corpus.texts, corpus.study_ids[0], corpus.patient_ids[0]) == (texts, study, patient)


def test_another_archive_is_a_table_of_reports_too(disks: Path) -> None:
    assert len(Corpus.of_table(disks).reports) == 48


def test_tables_without_reports_are_named(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="which column holds the reports"):
        Corpus.of_table(table)
    table.write_text("report\n___\n")
    with pytest.raises(ReportError, match="none of its 1 reports has words"):
        Corpus.of_table(table)
    with pytest.raises(TableError, match="cannot be read"):
        Corpus.of_table(tmp_path / "absent.csv")


def test_a_study_without_report_gives_no_words_under_any_policy(tmp_path: Path) -> None:
    """Not even its ids, which stand in the same row."""
    archive = Archive.create(tmp_path / "a")
    archive.add_studies(pa.table({"study_id": ["s", "t"], "patient_id": ["p", "q"], "report": [None, "Clear."]}))
    corpus = Corpus.of_archive(archive, split=None, text="whole")
    assert (corpus.texts, corpus.study_ids, corpus.empty) == (("Clear.",), ("t",), 1)
