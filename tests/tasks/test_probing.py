"""Features are the model's, computed once; a probe learns on train, chooses on val, scores val and test, and says what is odd."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import make_small_archive
from tests.tasks.conftest import tiny_model

from hilum.archive import Archive
from hilum.errors import ArchiveBusyError, TableError, UsageError
from hilum.models import Model
from hilum.models.head import Head
from hilum.tasks import examples_of, features, probe
from hilum.tasks.feature_cache import SUFFIX, features_of_squares, key_of
from hilum.tasks.ranking import aurocs


def test_features_are_the_model_s_own_whatever_mode_it_was_left_in(model: Model, labeled_archive: Path) -> None:
    archive = Archive.open(labeled_archive)
    pixels = archive.pixels(range(10))
    expected = model.features(pixels)
    model.encoder.train()
    try:
        squares = model.preprocess.squares(pixels)
        alone = np.concatenate([features_of_squares(model, squares[i : i + 1]) for i in range(10)])
        assert model.encoder.training, "the mode it was in is given back"
    finally:
        model.encoder.eval()
    np.testing.assert_allclose(alone, expected, atol=1e-5)


def test_the_second_use_reads_what_the_first_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, model = Archive.open(make_small_archive(tmp_path / "archive")), tiny_model(1)
    some = features(model, archive, ["i3", "i1"])
    every = features(model, archive)
    assert archive.embedding_keys() == [model.fingerprint + SUFFIX]
    monkeypatch.setattr("hilum.tasks.feature_cache.features_of_squares", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(features(model, tmp_path / "archive", ["i3", "i1", "i3"]), every[[3, 1, 3]])
    np.testing.assert_array_equal(some, every[[3, 1]])


def test_ten_thousand_kept_images_are_read_in_two_seconds(tmp_path: Path) -> None:
    count, model = 10_000, tiny_model()
    archive = Archive.create(tmp_path / "archive")
    ids = [f"i{n}" for n in range(count)]
    names = dict.fromkeys(("image_id", "study_id", "patient_id"), ids)
    sizes = {"height": [1] * count, "width": [1] * count, "pixels": [b"0"] * count}
    archive.add_images(pa.table({**names, **sizes}))
    archive.add_embeddings(key_of(model), ids, np.zeros((count, 2048), np.float32))
    started = time.process_time()
    assert features(model, Archive.open(tmp_path / "archive"), ids[::-1]).shape == (count, 2048)
    assert time.process_time() - started < 2


def test_features_wait_for_another_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive.open(make_small_archive(tmp_path / "archive"))
    add, tries = archive.add_embeddings, []

    def busy_once(*what: object) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ArchiveBusyError("being written")
        return add(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(archive, "add_embeddings", busy_once)
    assert len(features(tiny_model(), archive)) == 96
    assert len(tries) == 2


def test_an_archive_that_cannot_be_written_gives_features_and_keeps_none(tmp_path: Path) -> None:
    place = make_small_archive(tmp_path / "archive")
    model = tiny_model(3)
    found = features(model, Archive.open(f"file://{place}"), ["i3", "i1"])
    assert not Archive.open(place).embedding_keys()
    np.testing.assert_allclose(found, features(model, place, ["i3", "i1"]), atol=1e-5)


def test_an_unknown_image_is_refused(model: Model, labeled_archive: Path) -> None:
    with pytest.raises(UsageError, match=r"no image 'x9' .1 such"):
        features(model, labeled_archive, ["i0", "x9"])


def test_a_probe_tells_bright_disks_from_dark_ones(model: Model, labeled_archive: Path, tmp_path: Path) -> None:
    probed = probe(model, labeled_archive, out=tmp_path / "probe")
    assert {split: len(examples) for split, examples in probed.examples.items()} == {"train": 48, "val": 32, "test": 16}
    assert probed.head.names == ("Pneumothorax", "Pleural Effusion")
    assert aurocs(probed.examples["test"].truth, probed.scores["test"]).tolist() == [1, 1]
    table = probed.table("test")
    assert table.column_names == ["image_id", "study_id", "patient_id", "Pneumothorax", "Pleural Effusion"]
    files = {path.name for path in (tmp_path / "probe").iterdir()}
    assert files == {
        "head.json", "head.safetensors", "scores-val.csv", "scores-test.csv", "truth-val.csv", "truth-test.csv",
    }  # fmt: skip
    again = Head.load(tmp_path / "probe")
    seen = features(model, labeled_archive, probed.examples["test"].image_ids)
    np.testing.assert_array_equal(again.scores(seen), probed.scores["test"])
    assert again.provenance["encoder"]["fingerprint"] == model.fingerprint
    assert again.provenance["part"] == {"fraction": 1.0, "shots": None, "unit": "patient", "seed": 0}


def test_the_founding_study_s_protocol_leaves_validation_alone(model: Model, labeled_archive: Path) -> None:
    probed = probe(model, labeled_archive, "effusion", protocol="cxrlearn")
    assert probed.fit.strengths.tolist() == [0.0327]
    assert probed.head.names == ("Pleural Effusion",)


def test_images_seen_in_pretraining_can_be_left_out(model: Model, labeled_archive: Path) -> None:
    whole = probe(model, labeled_archive)
    seen = whole.examples["test"].image_ids[:3] + whole.examples["train"].image_ids[:5]
    less = probe(model, labeled_archive, exclude=seen)
    assert len(less.examples["test"]) == 13
    assert len(less.examples["train"]) == 43


def relabeled(path: Path, values: list[str | None]) -> Path:
    """The small archive with other labels of one finding, image by image; None: nothing said."""
    archive = Archive.open(make_small_archive(path))
    said = [
        {"study_id": f"s{i}", "image_id": f"i{i}", "finding": "Edema", "value": value, "said_by": "dataset:disks"}
        for i, value in enumerate(values)
        if value
    ]
    archive.add_labels(pa.Table.from_pylist(said))
    return path


def test_one_class_in_train_is_a_named_error(model: Model, tmp_path: Path) -> None:
    archive = relabeled(tmp_path / "archive", ["negative"] * 96)
    with pytest.raises(UsageError, match="nothing to fit among the training images: Edema: no positive among 48"):
        probe(model, archive)


def test_one_class_in_val_is_told(model: Model, tmp_path: Path) -> None:
    splits = Archive.open(make_small_archive(tmp_path / "plain")).images(["split"])["split"].to_pylist()
    values = ["negative" if split == "val" or i % 2 else "positive" for i, split in enumerate(splits)]
    probed = probe(model, relabeled(tmp_path / "archive", values))
    assert any("Edema: one class only among the validation images" in remark for remark in probed.remarks)


def test_a_split_without_labels_is_told_or_refused(model: Model, tmp_path: Path) -> None:
    splits = Archive.open(make_small_archive(tmp_path / "plain")).images(["split"])["split"].to_pylist()
    sides = ["positive" if i % 2 else "negative" for i in range(96)]
    no_test = relabeled(tmp_path / "a", [None if s == "test" else v for s, v in zip(splits, sides, strict=True)])
    assert "no image of the split 'test' has a label" in probe(model, no_test).remarks
    no_train = relabeled(tmp_path / "b", [None if s == "train" else v for s, v in zip(splits, sides, strict=True)])
    with pytest.raises(UsageError, match=r"no image of the split 'train' has a label of 'Edema' \(train: 0, val: 32"):
        probe(model, no_train, "Edema")


def test_a_patient_in_two_splits_is_reported_and_left_as_it_is(model: Model, tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "archive")
    rows = Archive.open(make_small_archive(tmp_path / "plain", labels=True))
    images = rows.images([*[c for c in rows.images().column_names if c != "row"], "pixels"]).drop_columns(["row"])
    patients = ["p0" if p == "p95" else p for p in images["patient_id"].to_pylist()]
    archive.add_images(images.set_column(images.column_names.index("patient_id"), "patient_id", pa.array(patients)))
    archive.add_labels(rows.labels())
    probed = probe(model, archive)
    assert any("1 patients have images in two splits, such as p0 (test and train)" in one for one in probed.remarks)
    assert "p0" in probed.examples["train"].patient_ids
    assert "p0" in probed.examples["test"].patient_ids


def test_a_target_that_the_labels_do_not_state_is_refused_with_a_guess(labeled_archive: Path) -> None:
    with pytest.raises(UsageError, match="dataset:disks says nothing of Cardiomegaly"):
        examples_of(Archive.open(labeled_archive), "cardiomegaly")
    with pytest.raises(UsageError, match="Did you mean 'Pneumothorax'"):
        examples_of(Archive.open(labeled_archive), "pneumothoraxx")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,Edema\nx1,1\nx2,0\n", "none of its 2 ids is in the archive .its first: 'x1'; the archive's: 'i0'"),
        ("image_id,Edema\ni0,normal\ni1,0\n", "row 1: 'Edema' is 'normal'; expected 1 .there., 0"),
        ("image_id,class\ni0,viral\ni1,bacterial\n", "becomes one column of 0 and 1 for each word"),
        ("image_id,Edema\ni0,1\ni0,0\n", "row 2: 'image_id' 'i0' is already in row 1"),
        ("name,Edema\ni0,1\n", "expected a column image_id or study_id, found name, Edema"),
    ],
)
def test_a_table_of_labels_that_cannot_be_used_is_a_named_error(
    labeled_archive: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        examples_of(labeled_archive, labels=tmp_path / "labels.csv")


def test_unknown_ids_in_a_table_of_labels_are_counted(model: Model, labeled_archive: Path, tmp_path: Path) -> None:
    lines = [f"i{i},{i % 2}" for i in range(96)] + ["x1,1", "x2,0"]
    (tmp_path / "labels.csv").write_text("\n".join(["image_id,Edema", *lines]))
    probed = probe(model, labeled_archive, labels=tmp_path / "labels.csv")
    assert any("2 ids are not in the archive, such as 'x1'" in remark for remark in probed.remarks)
    assert aurocs(probed.examples["test"].truth, probed.scores["test"]).tolist() == [1]


def graded(path: Path) -> Path:
    """The small archive with three grades of edema: none where bright, else mild or severe by side."""
    archive = Archive.open(make_small_archive(path))
    said = [
        {"study_id": f"s{i}", "finding": f"Edema Severity {grade}", "value": value, "said_by": "dataset:disks"}
        for i in range(96)
        for grade in range(4)
        for value in ["positive" if grade == (0, 0, 1, 3)[i % 4] else "negative"]
    ]
    archive.add_labels(pa.Table.from_pylist(said))
    return path


def test_grades_are_scored_step_by_step(model: Model, tmp_path: Path) -> None:
    probed = probe(model, graded(tmp_path / "archive"), "edema-severity")
    assert probed.head.task == "ordinal"
    assert probed.head.names == ("Edema Severity 0", "Edema Severity 1", "Edema Severity 3")
    assert probed.table("test").column_names[3:] == ["Edema Severity 1 or more", "Edema Severity 3 or more"]
    assert (np.diff(probed.scores["test"], axis=1) <= 0).all(), "a later step is never more likely"
    truth = probed.examples["test"].table()
    assert "Edema Severity 2 or more" in truth.column_names
    assert any(one.startswith("Edema Severity 2: no training image") for one in probed.remarks)
