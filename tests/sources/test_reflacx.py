"""REFLACX: certainties of several readers in three phases with different findings."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError, UsageError
from hilum.sources import ingest

A, B, C = (("10000032", "50414267", "aaaaaaaa-1"), ("11000183", "51967845", "bbbbbbbb-1"), ("12000000", "5", "cc-1"))
IDS = "id,split,eye_tracking_data_discarded,image,dicom_id,subject_id,image_size_x,image_size_y"


def row(reading: str, split: str, place: tuple[str, str, str], *values: object) -> str:
    subject, study, image = place
    path = f"physionet.org/files/mimic-cxr/2.0.0/files/p{subject[:2]}/p{subject}/s{study}/{image}.dcm"
    return ",".join(map(str, (reading, split, False, path, image, subject, 2544, 3056, *values)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "reflacx"
    for seed, (subject, study, image) in enumerate((A, B)):
        write_picture(root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}" / f"{image}.jpg", seed)
    main = root / "main_data"
    (main / "P102R000001").mkdir(parents=True)
    (main / "P102R000001" / "transcription.txt").write_text("enlarged heart. \n")
    one = f"{IDS},Atelectasis,Enlarged cardiac silhouette,Mass,Nodule,Pleural effusion,Support devices\n"
    one += row("P101R000001", "train", A, 2, 5, 0, 0, 4, 1) + "\n"
    one += row("P102R000001", "train", A, 3, 3, 0, 4, 0, True) + "\n"
    one += row("P103R000001", "train", A, 4, 0, 0, 0, 0, False) + "\n"
    (main / "metadata_phase_1.csv").write_text(one)
    two = f"{IDS},Acute fracture,Groundglass opacity,Lung nodule or mass,Pleural abnormality,Pulmonary edema\n"
    two += row("P201R000001", "test", B, 0, 3, 1, 5, 2) + "\n" + row("P202R000001", "test", B, 5, 1, 1, 5, 2) + "\n"
    two += row("P202R000002", "test", C, 5, 1, 1, 5, 2) + "\n"
    (main / "metadata_phase_2.csv").write_text(two)
    return root


def test_readers_are_joined_by_majority_and_a_tie_is_uncertain(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "reflacx", root)
    assert found.has("reflacx-aaaaaaaa-1") == {"Atelectasis", "Cardiomegaly", "Support Devices"}
    assert {"Lung Lesion", "Pleural Abnormality", "Pleural Effusion"} <= found.has("reflacx-aaaaaaaa-1", "negative")
    assert found.has("reflacx-bbbbbbbb-1") == {"Pleural Abnormality"}
    assert found.has("reflacx-bbbbbbbb-1", "uncertain") == {"Fracture", "Ground-Glass Opacity"}
    assert found.has("reflacx-bbbbbbbb-1", "negative") == {"Lung Lesion", "Edema"}
    assert any("divided evenly" in note for note in found.summary.notes)


def test_certainty_and_agreement_can_be_set(root: Path, tmp_path: Path) -> None:
    surer = enter(tmp_path / "a", "reflacx", root, certainty="4")
    assert "Atelectasis" in surer.has("reflacx-aaaaaaaa-1", "negative")
    any_of_them = enter(tmp_path / "b", "reflacx", root, readers="any")
    assert {"Nodule", "Lung Lesion", "Pleural Effusion", "Pleural Abnormality"} <= any_of_them.has("reflacx-aaaaaaaa-1")
    assert enter(tmp_path / "c", "reflacx", root, readers="all").has("reflacx-aaaaaaaa-1") == set()
    with pytest.raises(UsageError, match="certainty is '9'"):
        ingest("reflacx", root, tmp_path / "d", certainty="9")


def test_patient_split_and_dictation_are_kept(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "reflacx", root)
    assert found.column("split") == {"reflacx-aaaaaaaa-1": "train", "reflacx-bbbbbbbb-1": "test"}
    assert found.column("patient_id")["reflacx-aaaaaaaa-1"] == "mimic-10000032"
    assert found.reports() == {"reflacx-50414267": "enlarged heart.", "reflacx-51967845": None}
    assert "not there: metadata_phase_3.csv" in found.summary.notes


def test_an_impossible_certainty_rejects_the_image(root: Path, tmp_path: Path) -> None:
    table = root / "main_data" / "metadata_phase_2.csv"
    table.write_text(table.read_text().replace(",0,3,1,5,2", ",0,7,1,5,2"))
    assert enter(tmp_path / "a", "reflacx", root).summary.rejected == {"unknown_label": 1}


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    (root / "files").rename(tmp_path / "files-away")
    with pytest.raises(SourceError, match="Source 'reflacx' takes its images from there"):
        ingest("reflacx", root, tmp_path / "a")
    with pytest.raises(SourceError, match=r"lacks metadata_phase_1\.csv"):
        ingest("reflacx", tmp_path / "files-away", tmp_path / "a")
