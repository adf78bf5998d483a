"""Phantoms: the pictures, the truth and the files."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hilum.errors import SourceError, UsageError
from hilum.imaging import read_image
from hilum.sources.phantom import (
    DRAWN,
    TRUTH_COLUMNS,
    Anatomy,
    Patient,
    Pose,
    Sign,
    draw,
    draw_frontal,
    draw_lateral,
    generate,
    phantom_study,
    truth_of,
)
from hilum.sources.phantom.devices import KINDS
from hilum.sources.phantom.history import Study

SIDE_PX = 192


def bytes_of(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "world"
    generate(out, patients=12, seed=5, side_px=SIDE_PX, workers=1)
    return out


def some_sign(finding: str, grade: int, side: str, seed: int = 3) -> Sign:
    place = "midline" if finding in ("Cardiomegaly", "Enlarged Cardiomediastinum") else side
    zone = "lower" if finding in ("Lung Opacity", "Lung Lesion", "Consolidation", "Pneumonia") else ""
    kind = "central line" if finding == "Support Devices" else ""
    return Sign(finding, "bilateral" if finding == "Edema" else place, grade, zone, kind, seed)


def change(sign: Sign, view: str = "pa", seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The picture's change by one sign, in brightness, and a mask of the sign's boxes."""
    anatomy, pose = Anatomy.random(seed), Pose.random(view, seed)
    without, _ = draw_frontal(anatomy, pose, (), SIDE_PX)
    film, boxes = draw_frontal(anatomy, pose, (sign,), SIDE_PX)
    inside = np.zeros(film.shape, bool)
    for _, (x0, y0, x1, y1) in boxes:
        inside[y0:y1, x0:x1] = True
    return film - without, inside


def test_two_runs_and_two_workers_write_the_same_bytes(world: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", patients=12, seed=5, side_px=SIDE_PX, workers=2)
    assert bytes_of(world) == bytes_of(tmp_path / "again")


def test_a_patient_does_not_depend_on_how_many_there_are(world: Path, tmp_path: Path) -> None:
    generate(tmp_path / "few", patients=3, seed=5, side_px=SIDE_PX, workers=1)
    many = bytes_of(world / "dicom")
    assert bytes_of(tmp_path / "few" / "dicom").items() <= many.items()


def test_another_seed_is_another_world(world: Path, tmp_path: Path) -> None:
    generate(tmp_path / "other", patients=2, seed=6, side_px=SIDE_PX, workers=1)
    assert not set(bytes_of(tmp_path / "other" / "dicom").values()) & set(bytes_of(world / "dicom").values())


def test_every_file_decodes_to_about_the_picture_that_was_drawn(world: Path) -> None:
    checked = 0
    for index in range(12):
        patient = Patient.random(5, index)
        for study in patient.studies:
            folder = world / "dicom" / f"PH005{index:06d}" / f"S{study.number + 1:02d}"
            for number, picture in enumerate(study.pictures):
                film, _ = draw(patient, study, picture, SIDE_PX)
                read = read_image(folder / f"IM{number + 1:04d}.dcm")
                assert read.pixels.shape == film.shape
                assert read.dicom is not None
                assert read.dicom.view == picture.pose.view
                assert np.corrcoef(read.pixels.ravel(), film.ravel())[0, 1] > 0.98
                assert np.abs(read.pixels / 255.0 - film).mean() < 0.12
                checked += 1
    assert checked >= 12


def test_the_truth_tells_every_image_once_and_what_its_signs_say(world: Path) -> None:
    with open(world / "truth" / "truth.csv", encoding="utf-8") as file:
        truth = {row["image_id"]: row for row in csv.DictReader(file)}
    with open(world / "truth" / "signs.csv", encoding="utf-8") as file:
        signs = list(csv.DictReader(file))
    assert len(truth) == len(list((world / "dicom").rglob("*.dcm")))
    assert {row["image_id"] for row in signs} <= set(truth)
    for row in signs:
        assert truth[row["image_id"]][row["finding"]] == "1"
        assert int(row["x0"]) < int(row["x1"]) <= SIDE_PX
        assert int(row["y0"]) < int(row["y1"]) <= SIDE_PX
    frontal = [row for row in truth.values() if row["view"] != "lateral"]
    shown = {(row["image_id"], row["finding"]) for row in signs}
    for row in frontal:
        implied = {"Lung Opacity"} if row["Consolidation"] == "1" or row["Pneumonia"] == "1" else set()
        claimed = {name for name in DRAWN if row[name] == "1"} - implied
        assert all((row["image_id"], name) in shown for name in claimed)


def test_no_finding_is_the_absence_of_all_others() -> None:
    assert truth_of(()) == {name: int(name == "No Finding") for name in TRUTH_COLUMNS}
    for finding in DRAWN:
        assert truth_of([Sign(finding, "left")])["No Finding"] == 0


@pytest.mark.parametrize("view", ["pa", "ap", "ap_supine"])
@pytest.mark.parametrize("finding", DRAWN)
def test_each_sign_changes_the_pixels_in_its_box(finding: str, view: str) -> None:
    difference, inside = change(some_sign(finding, 2, "left"), view)
    assert inside.any()
    amount = np.abs(difference)
    assert amount[inside].mean() > 0.004
    assert amount[inside].mean() > 4 * amount[~inside].mean()


@pytest.mark.parametrize("finding", DRAWN)
def test_a_worse_grade_changes_more(finding: str) -> None:
    if finding == "Support Devices":
        pytest.skip("devices have no grade")
    amounts = [np.abs(change(some_sign(finding, grade, "right"))[0]).sum() for grade in (1, 3)]
    assert amounts[1] > 1.2 * amounts[0]


@pytest.mark.parametrize(
    "finding", sorted(set(DRAWN) - {"Cardiomegaly", "Enlarged Cardiomediastinum", "Edema", "Support Devices"})
)
def test_a_sign_of_the_left_lies_on_the_right_of_the_picture(finding: str) -> None:
    for side, is_right_of_picture in (("left", True), ("right", False)):
        amount = np.abs(change(some_sign(finding, 2, side))[0])
        middle = amount.shape[1] // 2
        right_half = amount[:, middle:].sum() / amount.sum()
        assert (right_half > 0.8) == is_right_of_picture


@pytest.mark.parametrize("kind", KINDS)
def test_devices_are_bright(kind: str) -> None:
    difference, inside = change(Sign("Support Devices", "left", 2, "", kind, 7))
    assert difference[inside].max() > 0.08
    assert difference.min() > -0.05


def test_a_pneumothorax_is_darker_and_an_effusion_brighter() -> None:
    air, inside_air = change(some_sign("Pneumothorax", 3, "right"))
    fluid, inside_fluid = change(some_sign("Pleural Effusion", 3, "right"))
    assert air[inside_air].mean() < -0.01
    assert fluid[inside_fluid].mean() > 0.05


def test_an_ap_picture_shows_a_larger_heart_than_a_pa_picture() -> None:
    from hilum.sources.phantom.anatomy import Outline

    anatomy, at = Anatomy.random(8), np.array([1.5])
    pa = Outline(anatomy, Pose("pa")).mediastinum("left", at)
    ap = Outline(anatomy, Pose("ap")).mediastinum("left", at)
    assert ap[0] > 1.05 * pa[0]


@pytest.mark.parametrize("finding", ["Pleural Effusion", "Consolidation", "Lung Lesion", "Edema"])
def test_a_lateral_view_shows_what_it_can(finding: str) -> None:
    anatomy, pose = Anatomy.random(2), Pose.random("lateral", 2)
    without, _ = draw_lateral(anatomy, pose, (), SIDE_PX)
    film, boxes = draw_lateral(anatomy, pose, (some_sign(finding, 3, "left"),), SIDE_PX)
    (_, (x0, y0, x1, y1)), *_ = boxes
    assert (film - without)[y0:y1, x0:x1].mean() > 0.01


def test_findings_are_neither_rare_nor_everywhere() -> None:
    studies: list[Study] = [study for index in range(500) for study in Patient.random(0, index).studies]
    counts = Counter(name for study in studies for name, value in study.truth.items() if value)
    shares = {name: counts[name] / len(studies) for name in TRUTH_COLUMNS}
    assert 0.22 < shares.pop("No Finding") < 0.38
    assert all(0.06 < share < 0.32 for share in shares.values()), shares
    assert len({sign.side for study in studies for sign in study.signs}) == 4


def test_chronic_signs_stay_and_acute_ones_come_and_go() -> None:
    came = went = 0
    for index in range(120):
        studies = Patient.random(2, index).studies
        for before, after in pairwise(studies):
            lasting = {sign for sign in before.signs if sign.finding in ("Cardiomegaly", "Fracture", "Lung Lesion")}
            assert lasting <= set(after.signs)
            came += len({sign.seed for sign in after.signs} - {sign.seed for sign in before.signs})
            went += len({sign.seed for sign in before.signs} - {sign.seed for sign in after.signs})
    assert came > 20
    assert went > 20


def test_a_study_in_memory_is_pixels_report_and_truth() -> None:
    pixels, report, truth = phantom_study(11, side_px=128)
    assert pixels.dtype == np.uint8
    assert max(pixels.shape) == 128
    assert "SYNTHETIC" in report
    assert list(truth) == list(TRUTH_COLUMNS)


def test_a_picture_scales_with_its_side() -> None:
    anatomy, pose = Anatomy.random(1), replace(Pose.random("pa", 1), seed=1)
    small, _ = draw_frontal(anatomy, pose, (), 128)
    large, _ = draw_frontal(anatomy, pose, (), 256)
    shrunk = large[: small.shape[0] * 2, : small.shape[1] * 2]
    shrunk = shrunk.reshape(small.shape[0], 2, -1, 2)[:, :, : small.shape[1]].mean(axis=(1, 3))
    assert np.corrcoef(shrunk.ravel(), small[:, : shrunk.shape[1]].ravel())[0, 1] > 0.93  # grain differs


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SourceError, match="not empty"):
        generate(tmp_path, patients=1, workers=1)
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"workers": 0}, {"side_px": 8}])
def test_impossible_numbers_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        generate(tmp_path / "x", **wrong)
