"""Every patient has one split, the same on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilum.archive import Archive, assign_splits, hashed_split, patients_in_two_splits
from hilum.errors import ArchiveError

Rows = Callable[..., pa.Table]


# Written down once: a change here would move patients of existing archives between training and test.
EXPECTED = ["train", "train", "train", "train", "val", "train", "train", "test", "test", "train"]


def test_hashed_splits_are_the_same_on_every_machine() -> None:
    assert [hashed_split(f"patient-{i}") for i in range(10)] == EXPECTED
    assert [hashed_split(f"patient-{i}", seed=1) for i in range(10)] != EXPECTED


def test_hashed_splits_meet_their_fractions() -> None:
    counts = Counter(hashed_split(f"p{i}", seed=7) for i in range(20_000))
    assert counts["train"] == pytest.approx(12_000, rel=0.03)
    assert counts["val"] == pytest.approx(4_000, rel=0.05)
    assert counts["test"] == pytest.approx(4_000, rel=0.05)


@given(patient=st.text(), seed=st.integers(0, 9))
def test_a_fraction_of_zero_gets_nobody(patient: str, seed: int) -> None:
    assert hashed_split(patient, seed, {"train": 0.5, "val": 0.0, "test": 0.5}) in ("train", "test")
    assert hashed_split(patient, seed, {"test": 1.0}) == "test"


@pytest.mark.parametrize("fractions", [{"train": 0.5}, {"train": 1.2, "val": -0.2}, {"training": 1.0}])
def test_fractions_that_make_no_sense_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(ArchiveError, match="sum to 1"):
        hashed_split("p", fractions=fractions)


def test_official_splits_win_over_given_ones_and_the_rest_is_hashed(archive: Archive, image_rows: Rows) -> None:
    archive.add_images(image_rows(0, 10, split=["train"] * 4 + [None] * 6))
    counts = assign_splits(archive, {"p0": "Testing", "p2": "valid", "stranger": "train"}, seed=3)
    splits = dict(zip(*(archive.images()[c].to_pylist() for c in ("patient_id", "split")), strict=True))
    assert splits["p0"] == "test"
    assert splits["p1"] == "train"
    assert splits["p2"] == "val"
    assert splits["p3"] == hashed_split("p3", 3)
    assert counts == Counter(splits.values())
    assert archive.images()["split"].null_count == 0


def test_the_rest_can_be_left_without_a_split(filled: Archive) -> None:
    assert assign_splits(filled, {"p1": "train"}, rest="leave") == {"train": 1}
    assert filled.images(where="split IS NULL").num_rows == 8


def test_assigning_twice_changes_nothing(filled: Archive) -> None:
    first = assign_splits(filled)
    version = filled._tables["images"].version
    assert assign_splits(filled) == first
    assert filled._tables["images"].version == version


def test_a_patient_given_two_splits_is_found_and_refused_until_decided(archive: Archive, image_rows: Rows) -> None:
    archive.add_images(image_rows(0, 4, split=["train", "test", "val", "val"]))
    assert patients_in_two_splits(archive) == {"p0": ["test", "train"]}
    with pytest.raises(ArchiveError, match="patient p0 has images in test and train"):
        assign_splits(archive)
    assign_splits(archive, {"p0": "train"})
    assert patients_in_two_splits(archive) == {}
    assert archive.images()["split"].to_pylist() == ["train", "train", "val", "val"]


def test_an_unknown_split_name_is_refused(filled: Archive) -> None:
    with pytest.raises(ArchiveError, match="patient p0: split is 'holdout'; expected one of train, val, test"):
        assign_splits(filled, {"p0": "holdout"})
