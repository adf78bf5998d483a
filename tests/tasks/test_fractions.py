"""Parts are nested, seeded and drawn by patient; a part too small to learn from is refused with one that would do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import UsageError
from hilum.labelsets import LabelSet
from hilum.tasks.fractions import Part, draw
from hilum.tasks.targets import Examples


def examples(n: int = 400, positives: float = 0.3, classes: bool = False) -> Examples:
    rng = np.random.default_rng(1)
    truth = (rng.random((n, 2)) < positives).astype(float)
    target = LabelSet("two", "multi-label", ("a", "b"))
    if classes:
        truth, target = rng.integers(0, 3, n).astype(float), LabelSet("three", "multi-class", ("x", "y", "z"))
    ids = [f"i{k}" for k in range(n)]
    return Examples(target, ids, ids, [f"p{k // 3}" for k in range(n)], ["train"] * n, truth, "dataset:t")


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 1), st.floats(0.05, 1), st.integers(0, 5), st.sampled_from(["patient", "image"]))
def test_a_smaller_part_lies_inside_a_larger_one(one: float, other: float, seed: int, unit: str) -> None:
    whole = examples()
    small, large = (draw(whole, Part(f, unit=unit, seed=seed)) for f in sorted((one, other)))  # type: ignore[arg-type]
    assert set(small.image_ids) <= set(large.image_ids)


def test_patients_come_with_all_their_images() -> None:
    whole = examples()
    part = draw(whole, Part(0.1))
    assert len(set(part.patient_ids)) == 13
    assert len(part) == sum(p in set(part.patient_ids) for p in whole.patient_ids)


def test_another_seed_draws_others_and_the_same_seed_the_same() -> None:
    whole = examples()
    assert draw(whole, Part(0.1)).image_ids == draw(whole, Part(0.1)).image_ids
    assert draw(whole, Part(0.1)).image_ids != draw(whole, Part(0.1, seed=1)).image_ids


def test_an_image_that_comes_later_moves_none_that_was_there() -> None:
    early, whole = examples(300), examples(400)
    shots = [set(draw(found, Part(shots=40)).image_ids) for found in (early, whole)]
    assert len(shots[0] - shots[1]) < 40


@pytest.mark.parametrize("classes", [False, True])
def test_shots_hold_so_many_of_each_class_and_are_nested(classes: bool) -> None:
    whole = examples(classes=classes)
    one, five = draw(whole, Part(shots=1)), draw(whole, Part(shots=5))
    assert set(one.image_ids) < set(five.image_ids)
    if classes:
        assert np.bincount(five.truth.astype(int)).tolist() == [5, 5, 5]
    else:
        assert ((five.truth == 1).sum(0) >= 5).all()
        assert (five.truth == 0).all(1).sum() == 5


def test_a_part_without_a_positive_names_a_fraction_that_would_do() -> None:
    whole = examples(positives=0.01)
    with pytest.raises(UsageError, match=r"of one class: nothing can be learned. 0\.\d+ would do with this seed"):
        draw(whole, Part(0.01))


@pytest.mark.parametrize(("fraction", "shots"), [(0.0, None), (1.5, None), (0.5, 3), (1.0, 0)])
def test_a_part_that_makes_no_sense_is_refused(fraction: float, shots: int | None) -> None:
    with pytest.raises(UsageError, match="expected a share above 0"):
        Part(fraction, shots)
