"""Test images that pretraining has seen are found, told and left out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hilum.archive import Archive
from hilum.studies import Store, load_study, run_cells
from hilum.studies.inputs import open_dataset, open_model
from hilum.studies.seen import seen_in_pretraining
from tests.conftest import make_small_archive
from tests.studies.conftest import SETTINGS


def copied(source: Path, place: Path, rows: list[int], split: str, of: str = "disks", prefix: str = "") -> Path:
    """An archive of some of another's images, in one split."""
    table = Archive.open(source).images(["image_id", "study_id", "patient_id", "view", "height", "width", "pixels"])
    some = table.drop_columns(["row"]).take(rows)
    ids = pa.array([prefix + one for one in some["image_id"].to_pylist()])
    some = some.set_column(0, "image_id", ids)
    some = some.append_column("split", pa.array([split] * len(rows))).append_column(
        "source", pa.array([of] * len(rows))
    )
    Archive.create(place).add_images(some)
    return place


def seen(study_file: Path, pretrained_on: str) -> tuple[tuple[str, ...], str]:
    study_file.write_text(SETTINGS.replace('folder = "ours"', f'folder = "ours"\npretrained_on = ["{pretrained_on}"]'))
    study = load_study(study_file)
    opened = open_model(study.models[0], Store(study_file.parent / "out"))
    found = seen_in_pretraining(opened, open_dataset(study.datasets[0]))
    return found.image_ids, " | ".join(found.warnings)


def test_images_are_found_by_id_and_by_pixels(study_file: Path, made: Path) -> None:
    # Rows 20 to 23 are of the split test, rows 0 to 3 of train.
    copied(made / "archive", study_file.parent / "same", [0, 1, 20, 21], "train")
    assert seen(study_file, "same")[0] == ("i20", "i21")
    copied(made / "archive", study_file.parent / "renamed", [0, 22], "val", of="elsewhere", prefix="x")
    ids, warnings = seen(study_file, "renamed")
    assert ids == ("i22",)
    assert "1 of 16 test images were seen" in warnings


def test_images_that_pretraining_only_tested_on_were_not_seen(study_file: Path, made: Path) -> None:
    copied(made / "archive", study_file.parent / "tested", [20, 21], "test")
    assert seen(study_file, "tested")[0] == ()


def test_validation_images_may_be_seen(study_file: Path, made: Path) -> None:
    copied(made / "archive", study_file.parent / "chosen", list(range(24, 48)), "val")
    whole = Archive.open(made / "archive").images(["row", "split"]).to_pylist()
    tested = {f"i{image['row']}" for image in whole if image["split"] == "test"}
    assert set(seen(study_file, "chosen")[0]) <= tested


def test_they_are_left_out_of_the_cell_and_counted(study_file: Path, made: Path) -> None:
    copied(made / "archive", study_file.parent / "same", [20, 21, 22], "train")
    text = SETTINGS.replace('folder = "ours"', 'folder = "ours"\npretrained_on = ["same"]')
    study_file.write_text(text)
    store = Store(study_file.parent / "out")
    records = {record.cell.name: record for record in run_cells(load_study(study_file), store)}
    ours, base = records["disks~ours~probe~1~0"], records["disks~base~probe~1~0"]
    assert ours.made["images"]["test"] == 13
    assert base.made["images"]["test"] == 16
    assert any("3 of 16 test images were seen in pretraining" in one for one in ours.remarks)
    study_file.write_text("exclude_seen = false\n" + text)
    records = {record.cell.name: record for record in run_cells(load_study(study_file), store)}
    assert records["disks~ours~probe~1~0"].made["images"]["test"] == 16


def relabeled_source(made: Path, place: Path, source: str) -> Path:
    """The archive of disks as if it came from a named dataset."""
    make_small_archive(place, labels=True)
    whole = Archive.open(made / "archive")
    table = whole.images(["image_id", "study_id", "patient_id", "height", "width", "pixels", "split"]).drop_columns(
        ["row"]
    )
    other = Archive.create(place.with_name(source))
    other.add_images(table.append_column("source", pa.array([source] * len(table))))
    other.add_labels(whole.labels())
    return place.with_name(source)


def test_known_overlaps_are_warned_of(study_file: Path, made: Path) -> None:
    siim = relabeled_source(made, study_file.parent / "plain", "siim")
    study_file.write_text(
        SETTINGS.replace('archive = "archive"', f'archive = "{siim.name}"').replace(
            'folder = "ours"', 'folder = "ours"\npretrained_on = ["nih"]'
        )
    )
    study = load_study(study_file)
    found = seen_in_pretraining(
        open_model(study.models[0], Store(study_file.parent / "out")), open_dataset(study.datasets[0])
    )
    assert any("SIIM-ACR's images were taken from ChestX-ray14" in one for one in found.warnings)
    assert found.image_ids == ()


def test_a_name_that_is_neither_source_nor_archive_is_a_missing_cell(study_file: Path) -> None:
    study_file.write_text(SETTINGS.replace('folder = "ours"', 'folder = "ours"\npretrained_on = ["chexprt"]'))
    records = run_cells(load_study(study_file), Store(study_file.parent / "out"))
    reasons = [record.reason for record in records if record.cell.model == "ours"]
    assert all("'chexprt' is neither a source nor an archive. Did you mean 'chexpert'" in reason for reason in reasons)
    assert [record.status for record in records] == ["missing", "missing", "done", "done"]


@pytest.mark.parametrize("name", ["nih", "phantom"])
def test_the_names_of_sources_are_known(study_file: Path, name: str) -> None:
    assert seen(study_file, name)[0] == ()


def test_what_a_model_says_of_its_own_pretraining_counts(study_file: Path, made: Path) -> None:
    same = copied(made / "archive", study_file.parent / "same", [0, 20], "train")
    study_file.write_text(SETTINGS)
    study = load_study(study_file)
    opened = open_model(study.models[0], Store(study_file.parent / "out"))
    for model in opened.members:
        model.provenance |= {"archives": [str(same), "/no/longer/there"], "sources": ["disks"]}
    found = seen_in_pretraining(opened, open_dataset(study.datasets[0]))
    assert found.image_ids == ("i20",)
    assert any("cannot be told" in one and "/no/longer/there" in one for one in found.warnings)
