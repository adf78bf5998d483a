"""MedMNIST: images out of one NumPy file, one after the other, splits by the names of its arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sources.entered import enter

from hilum.errors import SourceError
from hilum.labelsets import NIH_14
from hilum.sources import ingest


def arrays(side: int, classes: int, **counts: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for split, count in counts.items():
        made[f"{split}_images"] = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
        made[f"{split}_labels"] = (np.arange(count * classes).reshape(count, classes) % 2).astype(np.uint8)
    return made


def test_images_and_labels_enter_as_they_are(tmp_path: Path) -> None:
    made = arrays(28, 1, train=5, val=2, test=3)
    np.savez_compressed(tmp_path / "pneumoniamnist.npz", **made)
    found = enter(tmp_path / "a", "medmnist", tmp_path / "pneumoniamnist.npz", rows_per_commit=2)
    assert (found.summary.added, found.summary.splits) == (10, {"train": 5, "val": 2, "test": 3})
    name = "pneumoniamnist-train-000003"
    assert np.array_equal(found.archive.pixels([found.images[name]["row"]])[0], made["train_images"][3])
    assert found.images[name]["path"] == "pneumoniamnist.npz/train/3"
    assert (found.has(name), found.has("pneumoniamnist-train-000002")) == ({"Pneumonia"}, set())
    again = ingest("medmnist", tmp_path, tmp_path / "a", workers=0)
    assert (again.added, again.already_there) == (0, 10)


def test_chestmnist_states_fourteen_findings_at_any_size(tmp_path: Path) -> None:
    np.savez(tmp_path / "chestmnist_64.npz", **arrays(64, 14, train=2, test=1))
    found = enter(tmp_path / "a", "medmnist", tmp_path, longer_side_px=32)
    image = found.images["chestmnist_64-test-000000"]
    assert (image["height"], image["split"]) == (32, "test")
    assert found.has("chestmnist_64-test-000000") == set(NIH_14[1::2])
    assert found.summary.notes == ["chestmnist_64.npz has no val arrays"]


@pytest.mark.parametrize(
    ("name", "made", "said"),
    [
        ("breastmnist.npz", arrays(8, 1, train=2), "begins with pneumoniamnist or chestmnist"),
        ("pneumoniamnist.npz", arrays(8, 2, train=2), r"train_labels \(2, 2\)"),
        ("pneumoniamnist.npz", {"x_images": np.zeros(2)}, "has no train_images"),
        ("pneumoniamnist.npz", arrays(8, 1, train=2) | {"train_images": np.zeros((2, 8, 8))}, "holds float64"),
        ("pneumoniamnist.npz", arrays(8, 1, train=2) | {"train_labels": np.array([[0], [None]])}, "holds object"),
        ("chestmnist.npz", arrays(8, 14, train=2) | {"train_images": np.zeros((2, 8, 8, 3), np.uint8)}, r"\(N, side, side\)"),
    ],
)  # fmt: skip
def test_other_arrays_are_refused_by_name(tmp_path: Path, name: str, made: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / name, **made)
    with pytest.raises(SourceError, match=said):
        ingest("medmnist", tmp_path / name, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_folder_must_hold_one_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"lacks an \.npz file of MedMNIST; it holds: nothing"):
        ingest("medmnist", tmp_path, tmp_path / "a")
    for name in ("chestmnist", "chestmnist_64"):
        np.savez(tmp_path / name, **arrays(8, 14, train=1))
    with pytest.raises(SourceError, match="name the one to ingest"):
        ingest("medmnist", tmp_path, tmp_path / "a")


@pytest.mark.realdata
def test_the_real_file_enters_whole(real_data: Path, tmp_path: Path) -> None:
    found = enter(tmp_path / "a", "medmnist", real_data / "pneumoniamnist_trainval.npz")
    assert found.summary.splits == {"train": 3882, "val": 524}
    assert found.summary.notes == ["pneumoniamnist_trainval.npz has no test arrays"]
    with np.load(real_data / "pneumoniamnist_trainval.npz") as arrays:
        positives = int(arrays["train_labels"].sum() + arrays["val_labels"].sum())
    assert sum(value == "positive" for value in found.said.values()) == positives
