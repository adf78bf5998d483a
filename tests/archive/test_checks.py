"""`check` finds what is wrong, and only that."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from hilum.archive import Archive, Problem, check, looks_inverted

Rows = Callable[..., pa.Table]


def frontal(seed: int, side: int = 120) -> np.ndarray:
    """A crude frontal radiograph: dark air and lungs, bright body, spine brighter still, a little noise."""
    frame = np.full((side, side), 20.0)
    at = lambda *parts: tuple(slice(int(a * side), int(b * side)) for a, b in parts)  # noqa: E731
    frame[at((0.15, 1), (0.06, 0.94))] = 170
    frame[at((0, 0.2), (0.4, 0.6))] = 170
    frame[at((0.2, 0.75), (0.12, 0.42))] = 60
    frame[at((0.2, 0.75), (0.58, 0.88))] = 60
    frame[at((0.1, 1), (0.46, 0.54))] = 210
    return np.clip(frame + np.random.default_rng(seed).normal(0, 12, frame.shape), 0, 255).astype(np.uint8)


def add(archive: Archive, images: list[np.ndarray], **columns: list) -> None:
    names = [f"i{i}" for i in range(len(images))]
    rows = {
        "image_id": names,
        "study_id": [f"s{i}" for i in range(len(images))],
        "patient_id": [f"p{i}" for i in range(len(images))],
        "height": [image.shape[0] for image in images],
        "width": [image.shape[1] for image in images],
        "pixels": [image.tobytes() for image in images],
        "view": ["pa"] * len(images),
    }
    archive.add_images(pa.table(rows | columns))
    studies = rows["study_id"]
    archive.add_studies(pa.table({"study_id": studies, "report": ["Lungs are clear."] * len(studies)}))


def found(archive: Archive) -> dict[str, Problem]:
    return {problem.kind: problem for problem in check(archive)}


@pytest.fixture
def clean(archive: Archive) -> Archive:
    add(archive, [frontal(seed) for seed in range(6)], split=["train"] * 3 + ["test"] * 3)
    said = {"study_id": ["s1"], "image_id": ["i1"], "finding": ["Edema"], "value": ["positive"], "said_by": ["x"]}
    archive.add_labels(pa.table(said))
    return archive


def test_a_clean_archive_has_no_problems(clean: Archive) -> None:
    seen: list[tuple[int, int]] = []
    assert check(clean, lambda done, total: seen.append((done, total))) == []
    assert seen[-1] == (6, 6)


def test_an_empty_archive_has_no_problems(archive: Archive) -> None:
    assert check(archive) == []


def test_a_patient_in_two_splits_is_found(archive: Archive) -> None:
    images = [frontal(seed) for seed in range(4)]
    add(archive, images, patient_id=["p0", "p0", "p1", "p1"], split=["train", "test", "val", "val"])
    (problem,) = check(archive)
    assert (problem.kind, problem.count) == ("patient_in_two_splits", 1)
    assert problem.examples == ("p0 (test, train)",)


def test_images_without_a_split_are_no_leak(archive: Archive) -> None:
    add(archive, [frontal(0), frontal(1)], patient_id=["p0", "p0"], split=["train", None])
    assert check(archive) == []


def test_the_same_pixels_under_two_ids_are_found(archive: Archive) -> None:
    add(
        archive,
        [frontal(0), frontal(1), frontal(0), frontal(2), frontal(1)],
        split=["train", "val", "test", "val", "val"],
    )
    problem = found(archive)["duplicate_images"]
    assert problem.count == 2
    assert set(problem.examples) == {"i0 = i2", "i1 = i4"}
    assert "(1 of them in two splits)" in problem.what


def test_studies_without_reports_are_found(clean: Archive) -> None:
    clean.add_studies(pa.table({"study_id": ["blank", "none"], "report": ["  \n", None]}))
    problem = found(clean)["study_without_report"]
    assert problem.count == 2
    assert problem.examples == ("blank", "none")


def test_images_without_studies_and_labels_without_either_are_found(clean: Archive, image_rows: Rows) -> None:
    clean.add_images(image_rows(50, 2))
    said = {"study_id": ["s1", "s50", "lost"], "image_id": ["i1", "gone", None], "finding": ["Edema"] * 3}
    clean.add_labels(pa.table(said | {"value": ["positive"] * 3, "said_by": ["y"] * 3}))
    problems = found(clean)
    assert problems["image_without_study"].examples == ("i50", "i51")
    assert problems["label_without_image"].examples == ("gone",)
    assert problems["label_without_study"].examples == ("lost",)


def test_constant_images_are_found_whatever_their_gray(archive: Archive) -> None:
    nearly = np.full((50, 40), 128, np.uint8)
    nearly[3, 4] = 131
    add(archive, [frontal(0), np.zeros((50, 40), np.uint8), nearly, frontal(1)])
    problem = found(archive)["constant_image"]
    assert problem.examples == ("i1", "i2")


def test_inverted_frontal_images_are_found_and_lateral_ones_left(archive: Archive) -> None:
    images = [frontal(0), 255 - frontal(1), 255 - frontal(2), frontal(3), 255 - frontal(4)]
    add(archive, images, view=["pa", "ap", "lateral", "ap_supine", "unknown"])
    problem = found(archive)["inverted_looking_image"]
    assert problem.examples == ("i1",)
    assert "PhotometricInterpretation" in problem.next_step


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (9, 9)])
def test_the_inversion_test_takes_any_shape(shape: tuple[int, int]) -> None:
    looks_inverted(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def test_the_inversion_test_ignores_brightness_and_contrast() -> None:
    for seed in range(10):
        dim = (frontal(seed) // 4 + 90).astype(np.uint8)
        assert not looks_inverted(dim)
        assert looks_inverted(255 - dim)


@pytest.mark.realdata
def test_real_frontal_radiographs_look_upright_and_their_negatives_inverted(real_data: Path) -> None:
    images = [np.asarray(Image.open(p).convert("L")) for p in sorted((real_data / "nih_small").rglob("*.png"))]
    with (real_data / "covid_cxr" / "metadata.csv").open(encoding="utf-8") as stream:
        frontal_files = [row["filename"] for row in csv.DictReader(stream) if row["view"] in ("PA", "AP", "AP Supine")]
    images += [np.asarray(Image.open(real_data / "covid_cxr" / "images" / name).convert("L")) for name in frontal_files]
    assert len(images) > 700
    upright, negative = sum(map(looks_inverted, images)), sum(looks_inverted(255 - image) for image in images)
    assert upright <= 0.005 * len(images)
    assert negative >= 0.995 * len(images)
