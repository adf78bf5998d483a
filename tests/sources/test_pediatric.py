"""Pediatric Pneumonia: class by folder, patient by file name, the official test kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError
from hilum.sources import ingest

NAMES = (
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0115-0001-0002.jpeg",
    "train/PNEUMONIA/person1_bacteria_1.jpeg",
    "train/PNEUMONIA/person1_virus_6.jpeg",
    "train/PNEUMONIA/person447_virus_921_1.jpeg",
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "test/NORMAL/IM-0115-0001.jpeg",
    "test/PNEUMONIA/person1_virus_6.jpeg",
)


def dataset(root: Path, names: tuple[str, ...] = NAMES) -> Path:
    for seed, name in enumerate(names):
        write_picture(root / "chest_xray" / name, seed)
    return root


def test_class_and_cause_and_patient_are_read_from_folder_and_name(tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "pediatric", dataset(tmp_path / "p"))
    assert (found.summary.added, found.summary.labels) == (9, 36)
    assert found.has("pediatric-train-person1_bacteria_1") == {"Pneumonia", "Bacterial"}
    assert found.has("pediatric-train-person447_virus_921_1") == {"Pneumonia", "Viral"}
    assert found.has("pediatric-val-NORMAL2-IM-1427-0001") == {"No Finding"}
    patients = found.column("patient_id")
    assert patients["pediatric-train-person1_bacteria_1"] == patients["pediatric-train-person1_virus_6"]
    assert patients["pediatric-train-IM-0115-0001"] == patients["pediatric-train-NORMAL2-IM-0115-0001-0002"]
    assert patients["pediatric-val-person1946_bacteria_4874"] == "pediatric-train-person1946"


def test_the_official_test_is_kept_and_its_patients_are_others(tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "pediatric", dataset(tmp_path / "p"))
    split, patient = found.column("split"), found.column("patient_id")
    test = {image for image in split if image.startswith("pediatric-test-")}
    assert {split[image] for image in test} == {"test"}
    assert {split[image] for image in split.keys() - test} <= {"train", "val"}
    assert not {patient[image] for image in test} & {patient[image] for image in patient.keys() - test}


def test_one_patient_in_nine_of_the_rest_validates(tmp_path: Path) -> None:
    from hilum.sources.pediatric import PediatricPneumonia
    from hilum.sources.splitting import Splitting

    splitting = Splitting(train_val=PediatricPneumonia.train_val)
    drawn = [splitting.of(f"patient-{i}", "train_val") for i in range(3000)]
    assert 0.09 < drawn.count("val") / 3000 < 0.13
    assert "test" not in drawn


def test_without_a_test_folder_patients_are_split_as_usual(tmp_path: Path) -> None:
    names = tuple(f"train/PNEUMONIA/person{i}_bacteria_1.jpeg" for i in range(1, 21))
    found = enter(tmp_path / "a", "pediatric", dataset(tmp_path / "p", names) / "chest_xray")
    assert set(found.column("split").values()) == {"train", "val", "test"}
    assert any("no test folder" in note for note in found.summary.notes)


def test_names_of_the_later_release_are_understood(tmp_path: Path) -> None:
    names = ("train/PNEUMONIA/BACTERIA-1008087-0001.jpeg", "train/NORMAL/NORMAL-1049278-0001.jpeg")
    found = enter(tmp_path / "a", "pediatric", dataset(tmp_path / "p", names))
    assert found.has("pediatric-train-BACTERIA-1008087-0001") == {"Pneumonia", "Bacterial"}
    assert found.has("pediatric-train-NORMAL-1049278-0001") == {"No Finding"}


def test_a_name_without_a_patient_or_in_the_wrong_folder_is_rejected(tmp_path: Path) -> None:
    names = (*NAMES[:2], "train/NORMAL/x.jpeg", "train/NORMAL/person9_virus_1.jpeg")
    found = enter(tmp_path / "a", "pediatric", dataset(tmp_path / "p", names))
    assert found.summary.rejected == {"no_patient": 1, "contradiction": 1}


def test_another_folder_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    write_picture(tmp_path / "p" / "healthy" / "a.png")
    with pytest.raises(SourceError, match="it holds: healthy"):
        ingest("pediatric", tmp_path / "p", tmp_path / "a")


@pytest.mark.realdata
def test_the_real_folders_list_whole(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "pediatric_pneumonia"
    summary = ingest("pediatric", root, tmp_path / "a", dry_run=True)
    assert (summary.added, summary.rejected) == (5232, {})
    found = enter(tmp_path / "b", "pediatric", small_copy(root, tmp_path / "p"))
    assert found.summary.rejected == {}
    assert found.archive.pixels([0])[0].shape == (224, 224)


def small_copy(root: Path, to: Path) -> Path:
    """Every 200th image of train, and val, by links."""
    for folder in ("train", "val"):
        for number, file in enumerate(sorted((root / "chest_xray" / folder).rglob("*.jpeg"))):
            if folder == "val" or number % 200 == 0:
                link = to / "chest_xray" / file.relative_to(root / "chest_xray")
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file)
    return to
