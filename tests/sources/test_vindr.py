"""VinDr-CXR: three readers an image, two spellings of Other disease(s), and the competition's boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sources.entered import Entered, enter, write_picture

from hilum.errors import SourceError, TableError, UsageError
from hilum.labelsets import LABEL_SETS
from hilum.sources import ingest

# As the files order and spell them.
COLUMNS = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema",
    "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift",
    "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture",
    "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis",
)  # fmt: skip


def row(ids: str, *positive: str) -> str:
    names = (*COLUMNS, "Other diseases", "No finding")
    return ids + "," + ",".join("1" if name in positive else "0" for name in names)


def header(ids: str, other: str) -> str:
    return ",".join((ids, *COLUMNS, other, "No finding"))


@pytest.fixture
def root(tmp_path: Path, write_dicom: Callable[..., Path]) -> Path:
    root = tmp_path / "vindr"
    for seed, name in enumerate(("train/aa.dicom", "train/bb.dicom", "test/cc.dicom")):
        write_dicom(root / name, image=f"1.{seed}", seed=seed, PatientAge="054Y", PatientSex="M")
    train = [
        header("image_id,rad_id", "Other diseases"),
        row("aa,R9", "Nodule/Mass", "ILD", "Rib fracture"),
        row("aa,R10", "Nodule/Mass", "Other diseases"),
        row("aa,R8", "No finding"),
        row("bb,R9", "No finding"),
        row("bb,R10", "No finding"),
        row("bb,R8", "Enlarged PA"),
    ]
    test = [header("image_id", "Other disease"), row("cc", "Pleural effusion", "Other diseases"), row("dd")]
    (root / "annotations").mkdir()
    (root / "annotations" / "image_labels_train.csv").write_text("\n".join(train) + "\n")
    (root / "annotations" / "image_labels_test.csv").write_text("\n".join(test) + "\n")
    return root


def test_two_of_three_readers_decide(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "vindr", root)
    assert (found.has("aa"), found.has("bb"), found.has("cc")) == (
        {"Lung Lesion"},
        {"No Finding"},
        {"Pleural Effusion", "Other Disease"},
    )
    assert {found.said["aa", name] for name in LABEL_SETS["vindr-27"].classes} == {"positive", "negative"}
    assert found.summary.labels == 3 * 28
    assert not found.others


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        ("any", {"Lung Lesion", "Interstitial Lung Disease", "Rib Fracture", "Other Disease", "No Finding"}),
        ("all", set()),
    ],
)
def test_how_readers_are_joined_can_be_set(root: Path, tmp_path: Path, readers: str, expected: set[str]) -> None:
    assert enter(tmp_path / "a", "vindr", root, readers=readers).has("aa") == expected


def test_each_readers_opinion_is_kept_on_request(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "vindr", root, keep_readers="yes")
    assert found.others["reader:vindr/R9", "aa", "Rib Fracture"] == "positive"
    assert found.others["reader:vindr/R8", "bb", "Enlarged Pulmonary Artery"] == "positive"
    assert {speaker for speaker, *_ in found.others} == {"reader:vindr/R8", "reader:vindr/R9", "reader:vindr/R10"}
    with pytest.raises(UsageError, match="expected yes or no"):
        ingest("vindr", root, tmp_path / "b", keep_readers="maybe")


def test_the_official_test_is_kept_and_headers_are_read(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "vindr", root)
    split = found.column("split")
    assert split["cc"] == "test"
    assert {split["aa"], split["bb"]} <= {"train", "val"}
    assert found.images["aa"]["age_years"] == 54.0
    assert found.images["aa"]["patient_id"] == "vindr-aa"
    assert any(
        note.startswith("1 of 4 images in image_labels_train.csv, image_labels_test.csv")
        for note in found.summary.notes
    )


def competition(tmp_path: Path) -> Entered:
    root = tmp_path / "vinbigdata"
    for seed, name in enumerate(("aa", "bb", "zz")):
        write_picture(root / "train" / f"{name}.png", seed)
    lines = (
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max",
        "aa,Nodule/Mass,8,R9,1,2,3,4",
        "aa,Nodule/Mass,8,R9,5,6,7,8",
        "aa,Nodule/Mass,8,R10,1,2,3,4",
        "aa,ILD,5,R10,1,2,3,4",
        "aa,No finding,14,R8,,,,",
        "bb,No finding,14,R8,,,,",
        "bb,No finding,14,R9,,,,",
        "bb,No finding,14,R10,,,,",
    )
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return enter(tmp_path / "k", "vindr", root)


def test_the_competitions_boxes_become_fourteen_findings(tmp_path: Path) -> None:
    found = competition(tmp_path)
    assert (found.has("aa"), found.has("bb")) == ({"Lung Lesion"}, {"No Finding"})
    assert {name for _, name in found.said} == {*LABEL_SETS["vindr-14"].classes, "No Finding"}
    assert found.summary.skipped == {"image without a label": 1}


def test_what_is_missing_or_strange_is_named(root: Path, tmp_path: Path) -> None:
    table = root / "annotations" / "image_labels_train.csv"
    table.write_text(table.read_text().replace("aa,R9,0", "aa,R9,x"))
    with pytest.raises(TableError, match="row 1: 'Aortic enlargement' is 'x'"):
        ingest("vindr", root, tmp_path / "a")
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match=r"lacks annotations/image_labels_train\.csv"):
        ingest("vindr", tmp_path / "none", tmp_path / "a")
