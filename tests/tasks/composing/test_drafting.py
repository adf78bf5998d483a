"""Drafts are in score order, never the own patient's words, and say what was left out and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import make_small_archive
from tests.tasks.composing.oracle import Oracle

from hilum.archive import Archive
from hilum.errors import ModelError, UsageError
from hilum.models import ImageArchitecture, ImageEncoder, Model, Squash, tower_named
from hilum.tasks.composing import NOTICE, Corpus, asked_image, compose, compose_many, own_of
from hilum.tasks.composing.drafting import joined, ranked

TEXTS = ["Left effusion.", "A left effusion is seen.", "No effusion.", "Right pneumothorax.", "Left pneumothorax."]
LEFT_EFFUSION = np.array([[0.5, 0.1, 0.8, 0.0]], np.float32)


def draft(vector: np.ndarray, corpus: Corpus, **settings: object):
    (found,) = compose_many(vector, [None], Oracle(), corpus, **settings)
    return found


def test_what_repeats_or_contradicts_a_nearer_sentence_is_left_out_with_its_reason() -> None:
    found = draft(LEFT_EFFUSION, Corpus.of_texts(TEXTS), sentences=5)
    scores = [one.score for one in found.sentences]
    assert scores == sorted(scores, reverse=True)
    reasons = {one.text: one.left_out for one in found.sentences}
    assert reasons["Left effusion."] == ""
    assert reasons["A left effusion is seen."] == 'repeats "Left effusion.": says the same of Pleural Effusion'
    assert reasons["No effusion."].startswith('contradicts "Left effusion."')
    assert found.text == " ".join(one.text for one in found.kept)
    assert found.notice == NOTICE
    assert "not a reading" in NOTICE
    assert found.sentences[0].says == {"Pleural Effusion": "positive"}


def test_nothing_further_away_takes_the_place_of_what_is_left_out() -> None:
    found = draft(LEFT_EFFUSION, Corpus.of_texts(TEXTS), sentences=2)
    assert [one.text for one in found.sentences] == TEXTS[:2]
    assert found.text == "Left effusion."


def test_the_original_way_is_argsort_and_join() -> None:
    corpus, oracle = Corpus.of_texts(TEXTS), Oracle()
    order = np.argsort(-(corpus.vectors(oracle) @ LEFT_EFFUSION[0]), kind="stable")[:3]
    found = draft(LEFT_EFFUSION, corpus, sentences=3, way="cxr-repair")
    assert found.text == "".join(TEXTS[place] + " " for place in order)
    assert [one.place for one in found.sentences] == order.tolist()
    assert not any(one.left_out for one in found.sentences)


@pytest.mark.parametrize("normal", [True, False])
def test_select_takes_the_nearest_alone_where_it_says_no_finding(normal: bool) -> None:
    asked: list[str] = []

    def labeler(text: str) -> bool:
        asked.append(text)
        return normal

    found = draft(LEFT_EFFUSION, Corpus.of_texts(TEXTS), sentences=3, way="cxr-repair-select", says_no_finding=labeler)
    assert asked == ["Left effusion. "]
    assert len(found.sentences) == (1 if normal else 3)
    by_rules = draft(LEFT_EFFUSION, Corpus.of_texts(TEXTS), sentences=3, way="cxr-repair-select")
    assert len(by_rules.sentences) == 3, "an effusion is a finding"


def test_equal_scores_keep_the_corpus_order() -> None:
    assert ranked(np.array([0.5, 0.9, 0.5, 0.9])).tolist() == [1, 3, 0, 2]
    assert joined(["a", "b"]) == "a b "


def test_an_image_of_the_archive_never_gets_its_own_patient_s_report(disks: Path) -> None:
    archive, oracle = Archive.open(disks), Oracle()
    corpus = Corpus.of_archive(archive, split=None, whole=True)
    images = archive.images(["image_id", "study_id", "patient_id"]).to_pylist()
    for image in images[:12]:
        own = own_of(archive, image["study_id"], image["patient_id"])
        found = compose(oracle, corpus, asked_image(archive, image["image_id"]).pixels, sentences=4, own=own)
        assert len(found.sentences) == 4
        assert image["study_id"] not in {one.study_id for one in found.sentences}


def test_pixels_of_the_archive_are_recognized_where_nobody_says_whose_they_are(tmp_path: Path) -> None:
    archive, oracle = Archive.open(make_small_archive(tmp_path / "four", count=4)), Oracle()
    corpus = Corpus.of_archive(archive, whole=True)
    for place in range(4):
        pixels = asked_image(archive, f"i{place}").pixels
        for source in (corpus, corpus.only([0, 1, 2, 3])):
            assert compose(oracle, source, pixels).sentences[0].study_id != f"s{place}"
        with_a_mark = pixels.copy()
        with_a_mark[0, 0] ^= 1
        assert compose(oracle, corpus, with_a_mark).sentences[0].study_id == f"s{place}", "the test can fail"


def test_the_own_report_is_kept_out_where_a_table_does_not_say_whose_it_is(disks: Path) -> None:
    archive = Archive.open(disks)
    own = own_of(archive, "s3", "p3")
    corpus = Corpus.of_reports(["Left effusion. No pneumothorax.", "Right effusion."], whole=True)
    found = compose(Oracle(), corpus, asked_image(archive, "i3").pixels, own=own)
    assert found.text == "Right effusion."
    assert "does not say whose its reports are" in found.remarks[0]
    alone = compose(Oracle(), corpus.only([0]), asked_image(archive, "i3").pixels, own=own)
    assert (alone.text, alone.sentences) == ("", ())
    assert any("nothing to draft from" in remark for remark in alone.remarks)


def test_whole_reports_give_one(disks: Path) -> None:
    archive = Archive.open(disks)
    found = compose(Oracle(), Corpus.of_archive(archive, whole=True), asked_image(archive, "i3").pixels)
    assert found.text == "Left effusion. No pneumothorax."
    assert len(found.sentences) == 1


def test_a_draft_as_plain_values_goes_through_json() -> None:
    told = json.loads(json.dumps(draft(LEFT_EFFUSION, Corpus.of_texts(TEXTS)).to_dict()))
    assert told["notice"] == NOTICE
    assert set(told["sentences"][0]) == {"text", "study_id", "score", "says", "place", "left_out"}


def test_calls_that_make_no_sense_are_refused() -> None:
    corpus = Corpus.of_texts(TEXTS)
    with pytest.raises(UsageError, match="0 sentences"):
        draft(LEFT_EFFUSION, corpus, sentences=0)
    with pytest.raises(UsageError, match="expected one of selected, cxr-repair"):
        draft(LEFT_EFFUSION, corpus, way="best")
    torch.manual_seed(0)
    encoder = ImageEncoder(ImageArchitecture(tower=tower_named("resnet-tiny")))
    images_alone = Model(encoder, Squash(canvas_px=32), None, {"name": "tiny"}, device="cpu")
    with pytest.raises(ModelError, match="tiny has no text tower"):
        compose(images_alone, corpus, np.zeros((8, 8), np.uint8))
