"""What goes into an archive comes out of it, once, in order."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.archive import Archive
from hilum.archive import archive as archive_module
from hilum.errors import ArchiveError

Rows = Callable[..., pa.Table]
Drawn = Callable[[int], np.ndarray]


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=12),
    per_commit=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
def test_pixels_of_any_size_come_back_as_they_went_in(
    shapes: list[tuple[int, int]], per_commit: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    images = [generator.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive.create(Path(folder) / "a")
        for start in range(0, len(images), per_commit):
            part = images[start : start + per_commit]
            names = [f"i{start + i}" for i in range(len(part))]
            rows = {
                "image_id": names,
                "study_id": names,
                "patient_id": names,
                "height": [image.shape[0] for image in part],
                "width": [image.shape[1] for image in part],
                "pixels": [image.tobytes() for image in part],
            }
            assert archive.add_images(pa.table(rows)) == len(part)
        order = generator.integers(0, len(images), 20)
        for row, pixels in zip(order, Archive.open(Path(folder) / "a").pixels(order), strict=True):
            assert np.array_equal(pixels, images[row])


def test_pixels_keep_the_order_asked_and_allow_repeats(filled: Archive, drawn: Drawn) -> None:
    asked = [9, 0, 3, 3, 7]
    for number, pixels in zip(asked, filled.pixels(np.array(asked)), strict=True):
        assert np.array_equal(pixels, drawn(number))


def test_pixels_are_views_nobody_can_write_through(filled: Archive) -> None:
    (pixels,) = filled.pixels([4])
    assert not pixels.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 1


@pytest.mark.parametrize("row", [-1, 10])
def test_a_row_outside_the_archive_is_refused(filled: Archive, row: int) -> None:
    with pytest.raises(ArchiveError, match=f"no row {row}; rows go from 0 to 9"):
        filled.pixels([0, row])


def test_images_already_there_are_skipped(filled: Archive, image_rows: Rows) -> None:
    assert filled.add_images(image_rows(8, 4)) == 2
    assert Archive.open(filled.path).add_images(image_rows(0, 12)) == 0
    assert filled.images()["image_id"].to_pylist() == [f"i{i}" for i in range(12)]


def test_an_id_repeated_in_one_table_is_added_once(archive: Archive, image_rows: Rows, drawn: Drawn) -> None:
    twice = pa.concat_tables([image_rows(0, 2), image_rows(0, 3)])
    assert archive.add_images(twice) == 3
    assert np.array_equal(archive.pixels([1])[0], drawn(1))


def test_what_another_handle_added_is_not_added_again(archive: Archive, image_rows: Rows) -> None:
    other = Archive.open(archive.path)
    archive.add_images(image_rows(0, 4))
    assert other.add_images(image_rows(2, 4)) == 2
    assert archive.add_images(image_rows(0, 6)) == 0


def test_absent_columns_are_filled(filled: Archive, drawn: Drawn) -> None:
    images = filled.images()
    assert images["sex"].null_count == 10
    assert images["pixels_sha1"][3].as_py() == hashlib.sha1(drawn(3).tobytes()).hexdigest()
    assert "pixels" not in images.column_names


def test_a_filter_gives_rows_that_pixels_understands(filled: Archive, drawn: Drawn) -> None:
    chosen = filled.images(["image_id"], where="view = 'lateral' OR age_years > 30")
    assert chosen.to_pydict() == {"image_id": ["i1", "i3", "i5", "i8", "i9"], "row": [1, 3, 5, 8, 9]}
    for row, pixels in zip(chosen["row"].to_pylist(), filled.pixels(chosen["row"].to_numpy()), strict=True):
        assert np.array_equal(pixels, drawn(row))


def test_pixels_can_be_asked_for_as_a_column(filled: Archive, drawn: Drawn) -> None:
    chosen = filled.images(["pixels"], where="image_id = 'i7'")
    assert chosen["pixels"].to_pylist() == [drawn(7).tobytes()]


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("veiw = 'pa'", "Did you mean 'view'"),
        ("view = 'pa", "Write it like SQL"),
        ("view = pa", "put pa in single quotes"),
    ],
)
def test_a_bad_filter_names_the_columns(filled: Archive, where: str, hint: str) -> None:
    with pytest.raises(ArchiveError, match=hint) as caught:
        filled.images(where=where)
    assert "patient_id" in str(caught.value)


def test_an_unknown_column_is_refused_with_a_suggestion(archive: Archive, image_rows: Rows) -> None:
    with pytest.raises(ArchiveError, match=r"no column 'age'.*Did you mean 'age_years'"):
        archive.add_images(image_rows(0, 2, age=[1, 2]))
    with pytest.raises(ArchiveError, match="no column 'nose'"):
        archive.images(["nose"])


def test_rows_that_contradict_themselves_are_refused(archive: Archive, image_rows: Rows) -> None:
    with pytest.raises(ArchiveError, match=r"row 1 \(i1\).*expected height \* width bytes"):
        archive.add_images(image_rows(0, 2, height=[image_rows(0, 1)["height"][0].as_py(), 99]))
    with pytest.raises(ArchiveError, match="row 1: 'view' is 'oblique'; expected one of pa, ap"):
        archive.add_images(image_rows(0, 2, view=["pa", "oblique"]))
    with pytest.raises(ArchiveError, match=r"row 1 \(i1\): 'pixels_sha1' is abc"):
        archive.add_images(image_rows(0, 2, pixels_sha1=[None, "abc"]))
    with pytest.raises(ArchiveError, match="row 0: 'patient_id' is empty"):
        archive.add_images(image_rows(0, 2, patient_id=[None, "p"]))
    with pytest.raises(ArchiveError, match="column 'pixels' is missing"):
        archive.add_images(image_rows(0, 2).drop_columns(["pixels"]))
    assert len(archive) == 0


def test_a_statement_replaces_the_older_one(archive: Archive) -> None:
    def say(value: str, image: str | None = None, by: str = "rules@1") -> pa.Table:
        rows = {"study_id": ["s1"], "image_id": pa.array([image], pa.string()), "finding": ["Edema"]}
        return pa.table(rows | {"value": [value], "said_by": [by]})

    archive.add_labels(say("positive"))
    archive.add_labels(say("negative", image="i1"))
    archive.add_labels(say("uncertain", by="dataset:nih"))
    archive.add_labels(pa.concat_tables([say("uncertain"), say("not_mentioned")]))
    stored = {(r["image_id"], r["said_by"], r["value"]) for r in archive.labels().to_pylist()}
    assert stored == {
        (None, "rules@1", "not_mentioned"),
        ("i1", "rules@1", "negative"),
        (None, "dataset:nih", "uncertain"),
    }
    assert len(archive.labels(where="image_id IS NULL AND said_by = 'rules@1'")) == 1


def test_reports_that_came_later_are_attached_to_studies_already_there(archive: Archive) -> None:
    ids = {"study_id": ["s0", "s1"], "patient_id": ["p0", "p1"]}
    archive.add_studies(pa.table({**ids, "report": [None, "IMPRESSION: old"], "impression": [None, "old"]}))
    late = pa.table({"study_id": ["s1", "s0", "s9"], "report": ["IMPRESSION: new", "plain", "lost"]})
    sections = pa.array(["new", None, None], pa.string())
    assert archive.update_studies(late.append_column("impression", sections)) == 2
    assert archive.studies(["study_id", "patient_id", "report", "impression"]).to_pylist() == [
        {"study_id": "s0", "patient_id": "p0", "report": "plain", "impression": None},
        {"study_id": "s1", "patient_id": "p1", "report": "IMPRESSION: new", "impression": "new"},
    ]
    with pytest.raises(ArchiveError, match="there is no column 'raport'"):
        archive.update_studies(pa.table({"study_id": ["s0"], "raport": ["x"]}))


def test_a_label_value_outside_the_four_is_refused(archive: Archive) -> None:
    rows = {"study_id": ["s"], "finding": ["Edema"], "value": ["1"], "said_by": ["me"]}
    with pytest.raises(
        ArchiveError, match="'value' is '1'; expected one of positive, negative, uncertain, not_mentioned"
    ):
        archive.add_labels(pa.table(rows))
    with pytest.raises(ArchiveError, match="needs a 'study_id' or an 'image_id'"):
        archive.add_labels(pa.table(rows | {"study_id": pa.array([None], pa.string()), "value": ["positive"]}))


def test_embeddings_come_back_by_fingerprint(archive: Archive) -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    assert archive.embeddings("abc123") is None
    assert archive.add_embeddings("abc123", ["a", "b"], vectors[:2]) == 2
    assert archive.add_embeddings("abc123", ["b", "c", "c", "d"], vectors[[0, 2, 3, 3]]) == 2
    archive.add_embeddings("other", ["a"], vectors[:1, :3])
    stored = archive.embeddings("abc123")
    assert stored is not None
    assert stored.image_ids.tolist() == ["a", "b", "c", "d"]
    assert stored.vectors.dtype == np.float32
    assert np.array_equal(stored.vectors, vectors)
    assert archive.embedding_keys() == ["abc123", "other"]
    assert archive.embedding_shapes() == {"abc123": (4, 8), "other": (1, 3)}


def test_embeddings_that_do_not_fit_are_refused(archive: Archive) -> None:
    archive.add_embeddings("abc", ["a"], np.ones((1, 4)))
    with pytest.raises(ArchiveError, match="vectors of 4 numbers, got 5"):
        archive.add_embeddings("abc", ["b"], np.ones((1, 5)))
    with pytest.raises(ArchiveError, match="'b' is not finite"):
        archive.add_embeddings("abc", ["a", "b"], np.array([[1.0], [np.nan]]))
    with pytest.raises(ArchiveError, match="2 ids with vectors of shape"):
        archive.add_embeddings("abc", ["a", "b"], np.ones((1, 4)))
    with pytest.raises(ArchiveError, match="no fingerprint"):
        archive.add_embeddings("../abc", ["a"], np.ones((1, 4)))


def test_splits_leave_pixels_and_order_alone(filled: Archive, drawn: Drawn) -> None:
    before = {place.name for place in (filled.path / "images.lance" / "data").iterdir()}
    size = filled.size_bytes()
    assert filled.set_splits({"p0": "train", "p3": "test", "stranger": "val"}) == 4
    assert filled.set_splits({"p3": "val"}) == 2
    images = filled.images(["image_id", "split"])
    assert images["image_id"].to_pylist() == [f"i{i}" for i in range(10)]
    assert images["split"].to_pylist() == ["train"] * 2 + [None] * 4 + ["val"] * 2 + [None] * 2
    assert before <= {place.name for place in (filled.path / "images.lance" / "data").iterdir()}
    assert filled.size_bytes() - size < 30_000
    reopened = Archive.open(filled.path)
    for number, pixels in enumerate(reopened.pixels(range(10))):
        assert np.array_equal(pixels, drawn(number))


def test_a_reader_keeps_its_version_until_it_refreshes(filled: Archive, image_rows: Rows, drawn: Drawn) -> None:
    reader = Archive.open(filled.path)
    assert len(reader.images()) == 10
    filled.add_images(image_rows(10, 2))
    filled.set_splits({"p0": "train"})
    assert len(reader) == 10
    assert reader.images()["split"].null_count == 10
    reader.refresh()
    assert len(reader) == 12
    assert reader.images(where="split = 'train'")["row"].to_pylist() == [0, 1]
    assert np.array_equal(reader.pixels([11])[0], drawn(11))


def test_compaction_keeps_rows_and_leaves_readers_alone(
    archive: Archive, image_rows: Rows, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MANY_FILES", 4)
    for first in range(0, 24, 3):
        archive.add_images(image_rows(first, 3))
        archive.add_rejects(pa.table({"path": [f"f{first}"], "reason": ["truncated"]}))
        archive.add_embeddings("abc", [f"i{first}"], np.full((1, 4), first))
    archive.set_splits({"p2": "val"})
    reader = Archive.open(archive.path)
    old = reader.pixels(range(24))
    archive.compact()
    assert len(lance.dataset(archive.path / "images.lance").get_fragments()) == 1
    for handle in (reader, archive, Archive.open(archive.path)):
        assert handle.images()["image_id"].to_pylist() == [f"i{i}" for i in range(24)]
        assert handle.images(where="split = 'val'")["row"].to_pylist() == [4, 5]
        for number, pixels in enumerate(handle.pixels(range(24))):
            assert np.array_equal(pixels, drawn(number))
            assert np.array_equal(old[number], drawn(number))
    assert len(archive.rejects()) == 8
    stored = archive.embeddings("abc")
    assert stored is not None
    assert stored.vectors[:, 0].tolist() == list(range(0, 24, 3))


def test_rows_deleted_by_another_program_leave_the_others_readable(filled: Archive, drawn: Drawn) -> None:
    lance.dataset(filled.path / "images.lance").delete("image_id IN ('i2', 'i7')")
    archive = Archive.open(filled.path)
    archive.set_splits({"p4": "test"})
    left = [0, 1, 3, 4, 5, 6, 8, 9]
    assert archive.images(["image_id"]).to_pydict() == {"image_id": [f"i{i}" for i in left], "row": list(range(8))}
    assert archive.images(["image_id"], "split = 'test'")["row"].to_pylist() == [6, 7]
    for number, pixels in zip(left, archive.pixels(range(8)), strict=True):
        assert np.array_equal(pixels, drawn(number))


def test_a_pickled_archive_keeps_its_version(filled: Archive, image_rows: Rows) -> None:
    reader = Archive.open(filled.path)
    sent = pickle.dumps(reader)
    filled.add_images(image_rows(10, 2))
    filled.add_studies(pa.table({"study_id": ["s0"]}))
    received = pickle.loads(sent)
    assert len(received) == 10
    assert len(received.studies()) == 0
    assert len(received.pixels([9])) == 1


def test_a_spawned_worker_reads_the_archive_it_was_sent(filled: Archive) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (pixels,) = pool.apply(filled.pixels, ([5],))
    assert np.array_equal(pixels, filled.pixels([5])[0])


@pytest.mark.filterwarnings("ignore:lance is not fork-safe")
def test_a_forked_worker_can_go_on_reading_pixels(filled: Archive) -> None:
    expected = filled.pixels([5])[0]
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child stuck in Lance's dead threads ends here
        os._exit(0 if np.array_equal(filled.pixels([5])[0], expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_new_archive_is_empty_everywhere(archive: Archive) -> None:
    assert len(archive) == len(archive.images()) == len(archive.studies()) == len(archive.labels()) == 0
    assert archive.images(["image_id"], "view = 'pa'").column_names == ["image_id", "row"]
    assert archive.pixels([]) == []
    assert archive.embedding_keys() == []
    archive.compact()


def test_settings_are_kept_and_contradictions_named(tmp_path: Path) -> None:
    made = Archive.open_or_create(tmp_path / "a", longer_side_px=224, pseudonymized=True)
    made.update_manifest(sources={"phantom": {"seed": 1}})
    again = Archive.open_or_create(tmp_path / "a", longer_side_px=224)
    assert again.manifest.pseudonymized
    assert again.manifest.sources == {"phantom": {"seed": 1}}
    with pytest.raises(ArchiveError, match="longer_side_px = 224, not 384"):
        Archive.open_or_create(tmp_path / "a", longer_side_px=384)
    with pytest.raises(ArchiveError, match="no setting 'side'"):
        Archive.open_or_create(tmp_path / "a", side=3)
    with pytest.raises(ArchiveError, match="is an archive already"):
        Archive.create(tmp_path / "a")
