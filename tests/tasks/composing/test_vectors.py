"""Texts are embedded once for each model: in the corpus, in the archive, or beside the table."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.tasks.composing.oracle import Oracle

from hilum.archive import Archive
from hilum.archive.lock import write_lock
from hilum.tasks.composing import Corpus, vectors


@pytest.fixture
def archive(disks: Path, tmp_path: Path) -> Archive:
    return Archive.open(shutil.copytree(disks, tmp_path / "archive"))


def test_an_archive_keeps_text_vectors_for_the_next_process(archive: Archive) -> None:
    first, again = Oracle(), Oracle()
    rows = Corpus.of_archive(archive).vectors(first)
    assert first.read == len(rows) == 6
    assert np.array_equal(Corpus.of_archive(Archive.open(archive.path)).vectors(again), rows)
    assert again.read == 0
    Corpus.of_archive(archive, whole=True).vectors(again)
    assert again.read == 4, "only what is new"
    other = Oracle("other")
    Corpus.of_archive(archive).vectors(other)
    assert other.read == 6, "another model's vectors are its own"


def test_a_corpus_embeds_once_and_a_restricted_one_not_at_all(archive: Archive) -> None:
    oracle, corpus = Oracle(), Corpus.of_archive(archive, keep=False)
    assert corpus.vectors(oracle) is corpus.vectors(oracle)
    assert np.array_equal(corpus.only([3, 0]).vectors(oracle), corpus.vectors(oracle)[[3, 0]])
    assert oracle.read == 6
    assert not (archive.path / "embeddings").exists(), "keep=False leaves nothing"


def test_an_archive_that_another_process_writes_is_no_error(archive: Archive) -> None:
    with write_lock(archive.path), ThreadPoolExecutor(1) as other:
        rows = other.submit(lambda: Corpus.of_archive(Archive.open(archive.path)).vectors(Oracle())).result()
    assert len(rows) == 6
    assert not (archive.path / "embeddings").exists()


def test_a_table_keeps_them_in_a_file_beside_it(tmp_path: Path) -> None:
    table = tmp_path / "reports.csv"
    table.write_text("report\nLeft effusion. No pneumothorax.\n")
    first, again = Oracle(), Oracle()
    rows = Corpus.of_table(table).vectors(first)
    kept = tmp_path / f"reports.csv.{first.fingerprint}.safetensors"
    assert kept.is_file()
    assert np.array_equal(Corpus.of_table(table).vectors(again), rows)
    assert again.read == 0
    kept.write_bytes(b"damaged")
    assert np.array_equal(Corpus.of_table(table).vectors(again), rows)
    assert again.read == 2, "made anew"


def test_a_run_that_is_stopped_goes_on_from_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "BATCH", 2)
    monkeypatch.setattr(vectors, "COMMIT_TEXTS", 2)
    table = tmp_path / "reports.csv"
    table.write_text("report\nLeft effusion. Right effusion. No effusion. Left pneumothorax. No pneumothorax.\n")

    def stop(done: int, all_: int) -> None:
        assert all_ == 5
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Corpus.of_table(table).vectors(Oracle(), stop)
    again = Oracle()
    assert len(Corpus.of_table(table).vectors(again)) == 5
    assert again.read == 1
