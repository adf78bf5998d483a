"""An archive behind a URI is read like a local one, and never written."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from hilum.archive import Archive
from hilum.archive.place import place_of
from hilum.errors import ArchiveError
from hilum.training import pretrain


@pytest.fixture
def remote(small_archive: Path) -> Archive:
    return Archive.open(f"file://{small_archive}")


def test_images_and_reports_are_those_of_the_directory(remote: Archive, small_archive: Path) -> None:
    local = Archive.open(small_archive)
    assert len(remote) == len(local) == 96
    assert remote.images(where="split = 'val'").equals(local.images(where="split = 'val'"))
    assert remote.studies().equals(local.studies())
    rows = [5, 0, 95, 5]
    for ours, theirs in zip(remote.pixels(rows), local.pixels(rows), strict=True):
        assert np.array_equal(ours, theirs)
    assert remote.embedding_keys() == []
    assert remote.size_bytes() > 96 * 80 * 64


def test_a_worker_opens_it_anew(remote: Archive) -> None:
    assert len(pickle.loads(pickle.dumps(remote)).pixels([1])) == 1


def test_writing_is_refused_with_what_to_do(remote: Archive) -> None:
    with pytest.raises(ArchiveError, match=r"hilum reads it and does not write it\. Copy the archive"):
        remote.set_splits({"p0": "test"})


def test_a_row_that_is_not_there_is_named(remote: Archive) -> None:
    with pytest.raises(ArchiveError, match="there is no row 96; rows go from 0 to 95"):
        remote.pixels([0, 96])


def test_no_archive_behind_a_uri_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no such archive"):
        Archive.open(f"file://{tmp_path}/nowhere")


@pytest.mark.parametrize(
    ("given", "uri"),
    [("s3:/bucket/a", "s3://bucket/a"), ("gs://b/a/", "gs://b/a"), ("file:/tmp/a", "file:///tmp/a")],
)
def test_a_uri_survives_pathlib(given: str, uri: str) -> None:
    assert str(place_of(Path(given))) == uri


def test_training_streams_from_a_uri_and_ends_with_the_same_weights(small_archive: Path, tmp_path: Path) -> None:
    settings = ["epochs=1", "batch_size=16", "side_px=64", "canvas_px=64", "vision_width=8", "text_layers=1"]
    for name, archive in (("local", small_archive), ("remote", f"file://{small_archive}")):
        pretrain("chexzero", archive, tmp_path / name, tiny=True, settings=settings)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("local", "remote")]
    assert weights[0] == weights[1]
