"""CheXpert: blank cells, -1, age 0, blank AP/PA, and a test set that is listed by study; and its 5x200 subset."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sources.entered import enter, write_picture

from hilum.errors import SourceError, TableError, UsageError
from hilum.findings import CHEXPERT_NAMES
from hilum.sources import ingest

# The order of the files: opacity before lesion is swapped against the labeler's.
COLUMNS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(COLUMNS)


def row(path: str, about: str, release: str = "CheXpert-v1.0-small", **values: str) -> str:
    cells = [values.get(name.replace(" ", "_"), "") for name in COLUMNS]
    return f"{release}/{path},{about},{','.join(cells)}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    home = root / "CheXpert-v1.0-small"
    images = (
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00002/study2/view1_frontal.jpg",
        "train/patient00002/study2/view2_lateral.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
        "test/patient64741/study1/view1_frontal.jpg",
        "test/patient64741/study1/view2_lateral.jpg",
    )
    for seed, name in enumerate(images):
        write_picture(home / name, seed)
    train = [
        HEADER,
        row(images[0], "Female,68,Frontal,AP", No_Finding="1.0", Pleural_Effusion="0.0"),
        row(images[1], "Unknown,0,Frontal,PA", Cardiomegaly="-1.0", Edema="1.0", Lung_Opacity="1.0"),
        row(images[2], "Male,87,Lateral,", Cardiomegaly="-1.0", Edema="1.0"),
        row("train/patient00003/study1/view1_frontal.jpg", "Male,50,Frontal,AP"),
    ]
    (home / "train.csv").write_text("\n".join(train) + "\n")
    zeros = dict.fromkeys((name.replace(" ", "_") for name in COLUMNS), "0.0")
    valid = [HEADER, row(images[3], "Male,73,Frontal,AP", **{**zeros, "Cardiomegaly": "1.0"})]
    (home / "valid.csv").write_text("\n".join(valid) + "\n")
    (root / "test-labels").mkdir()
    study = "CheXpert-v1.0/test/patient64741/study1"
    for name, edema in (("groundtruth", "1"), ("bc4", "0")):
        cells = ["1" if column == "Edema" and edema == "1" else "0" for column in COLUMNS]
        (root / "test-labels" / f"{name}.csv").write_text(f"Study,{','.join(COLUMNS)}\n{study},{','.join(cells)}\n")
    return root


def test_train_keeps_doubt_and_silence_apart(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "chexpert", root)
    one, two = "train/patient00001/study1/view1_frontal.jpg", "train/patient00002/study2/view1_frontal.jpg"
    assert (found.has(one), found.has(one, "negative")) == ({"No Finding"}, {"Pleural Effusion"})
    assert (found.has(two), found.has(two, "uncertain")) == ({"Edema", "Lung Opacity"}, {"Cardiomegaly"})
    assert (two, "Lung Lesion") not in found.said
    assert "1 of 7 images in the tables of CheXpert are not in the folder" in found.summary.notes


def test_sex_age_view_order_and_split_are_read(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "chexpert", root)
    names = sorted(found.images)
    assert [found.images[n]["view"] for n in names] == ["unknown", "lateral", "ap", "pa", "lateral", "ap"]
    assert [found.images[n]["age_years"] for n in names] == [None, None, 68.0, None, 87.0, 73.0]
    assert [found.images[n]["sex"] for n in names] == [None, None, "F", None, "M", "M"]
    assert [found.images[n]["study_order"] for n in names] == [1, 1, 1, 2, 2, 1]
    assert [found.images[n]["split"] for n in names] == ["test", "test", "train", "train", "train", "val"]
    assert found.images[names[3]]["patient_id"] == "chexpert-patient00002"
    assert found.images[names[3]]["study_id"] == found.images[names[4]]["study_id"]


def test_radiologists_label_valid_by_image_and_test_by_study(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "chexpert", root)
    assert found.has("valid/patient64541/study1/view1_frontal.jpg") == {"Cardiomegaly"}
    study = "chexpert-test/patient64741/study1"
    assert (found.has(study), len(found.has(study, "negative"))) == ({"Edema"}, 13)
    assert found.others["reader:chexpert/bc4", study, "Edema"] == "negative"
    assert len(found.others) == 14


def test_the_release_itself_may_be_named(root: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "chexpert", root / "CheXpert-v1.0-small")
    assert found.summary.added == 4  # the labels of the test lie elsewhere
    (root / "CheXpert-v1.0-small" / "valid.csv").unlink()
    again = enter(tmp_path / "b", "chexpert", root)
    assert "valid.csv is not there" in again.summary.notes


def test_a_code_that_is_none_rejects_and_a_strange_path_stops(root: Path, tmp_path: Path) -> None:
    table = root / "CheXpert-v1.0-small" / "train.csv"
    text = table.read_text()
    table.write_text(text.replace("-1.0", "7", 1))
    assert enter(tmp_path / "a", "chexpert", root).summary.rejected == {"unknown_label": 1}
    table.write_text(text.replace("/study1/", "/s1/"))
    with pytest.raises(TableError, match="row 1: 'Path' is"):
        ingest("chexpert", root, tmp_path / "b")
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match=r"lacks train\.csv, valid\.csv and a truth of the test"):
        ingest("chexpert", tmp_path / "none", tmp_path / "c")


def test_5x200_states_exactly_one_finding_and_is_all_test(root: Path, tmp_path: Path) -> None:
    lines = (root / "CheXpert-v1.0-small" / "train.csv").read_text().splitlines()
    (root / "chexpert_5x200.csv").write_text("\n".join([lines[0], lines[2], lines[1]]) + "\n")
    found = enter(tmp_path / "a", "chexpert-5x200", root)
    name = "5x200/train/patient00002/study2/view1_frontal.jpg"
    assert (found.has(name), len(found.has(name, "negative"))) == ({"Edema"}, 4)
    assert (found.images[name]["split"], found.images[name]["patient_id"]) == ("test", "chexpert-patient00002")
    assert found.summary.rejected == {"unknown_label": 1}  # the first shows none of the five


def test_5x200_lives_beside_chexpert_in_one_archive(root: Path, tmp_path: Path) -> None:
    lines = (root / "CheXpert-v1.0-small" / "train.csv").read_text().splitlines()
    (root / "chexpert_8x200.csv").write_text("\n".join([lines[0], lines[2]]) + "\n")
    enter(tmp_path / "a", "chexpert", root)
    assert len(enter(tmp_path / "a", "chexpert-5x200", root).images) == 7


def test_5x200_can_be_drawn_by_the_rule(root: Path, tmp_path: Path) -> None:
    home = root / "CheXpert-v1.0-small"
    with pytest.raises(SourceError, match="--set draw=0"):
        ingest("chexpert-5x200", root, tmp_path / "a")
    with pytest.raises(UsageError, match="expected a seed"):
        ingest("chexpert-5x200", root, tmp_path / "a", draw="x")
    about = "Male,50,Frontal,AP"
    rows = [
        row(f"train/patient1{i:04}/study1/view1_frontal.jpg", about, Edema="1.0", No_Finding="") for i in range(210)
    ]
    rows += [row("train/patient20000/study1/view1_frontal.jpg", about, Edema="1.0", Fracture="1.0")]
    rows += [row("train/patient20001/study1/view2_lateral.jpg", "Male,50,Lateral,", Edema="1.0")]
    (home / "train.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    for number in range(210):
        write_picture(home / f"train/patient1{number:04}/study1/view1_frontal.jpg", side_px=2)
    drawn = ingest("chexpert-5x200", root, tmp_path / "a", draw="0", dry_run=True)
    assert (drawn.added, drawn.notes) == (200, ["drawn from train.csv with seed 0: not the authors' images"])


def test_the_columns_are_the_fourteen_findings() -> None:
    assert set(COLUMNS) == set(CHEXPERT_NAMES)
