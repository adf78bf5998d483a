"""Partners are exactly the images that pass the filters, drawn evenly, and in constant time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from hilum.errors import UsageError
from hilum.methods.patient_pairs import FRONTAL, LATERAL, UNKNOWN, PatientPairs, Policy, laterality_of

ALL = [
    Policy(**dict(zip(Policy.__dataclass_fields__, flags, strict=True)))
    for flags in itertools.product([False, True], repeat=5)
]


def people(count: int = 120, seed: int = 0) -> dict[str, np.ndarray]:
    """Images of some 30 patients with up to 12 studies, views partly unknown."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, count // 4, count)
    study = rng.integers(0, 4, count) + np.where(patient == 0, 8, 0) * rng.integers(0, 2, count)
    return {
        "patient": np.array([f"p{p}" for p in patient]),
        "study": np.array([f"study{s}" for s in study]),
        "laterality": rng.choice([FRONTAL, LATERAL, UNKNOWN], count, p=[0.6, 0.3, 0.1]),
        "disease": rng.choice(["a", "b", "c"], count),
    }


def admissible(of: dict[str, np.ndarray], image: int, policy: Policy) -> list[int]:
    """The obvious scan of the table."""
    same = {name: values == values[image] for name, values in of.items()}
    known = (of["laterality"] != UNKNOWN) & (of["laterality"][image] != UNKNOWN)
    passes = same["patient"]
    if policy.same_study:
        passes = passes & same["study"]
    if policy.different_study:
        passes = passes & ~same["study"]
    if policy.same_laterality:
        passes = passes & same["laterality"] & known
    if policy.different_laterality:
        passes = passes & ~same["laterality"] & known
    if policy.same_disease:
        passes = passes & same["disease"]
    return np.flatnonzero(passes).tolist()


@pytest.mark.parametrize("policy", ALL, ids=lambda p: "+".join(k for k, v in vars(p).items() if v) or "patient")
@pytest.mark.parametrize("with_self", [True, False])
def test_candidates_are_those_of_a_scan_of_the_table(policy: Policy, with_self: bool) -> None:
    of = people()
    pairs = PatientPairs(**of, policy=policy, with_self=with_self)
    for image in range(len(pairs)):
        expected = [j for j in admissible(of, image, policy) if with_self or j != image]
        assert pairs.candidates(image).tolist() == expected
        assert pairs.counts[image] == len(expected)
        assert pairs.alone()[image] == (expected in ([], [image]))


@pytest.mark.parametrize(
    "policy", [Policy(), Policy(same_study=True), Policy(different_study=True), Policy(different_laterality=True)]
)
def test_every_candidate_is_equally_probable(policy: Policy) -> None:
    of = people()
    pairs = PatientPairs(**of, policy=policy)
    image = int(np.argmax(pairs.counts))
    drawn = pairs.partners(np.full(20_000, image), np.random.default_rng(1))
    seen, counts = np.unique(drawn, return_counts=True)
    assert seen.tolist() == admissible(of, image, policy)
    assert len(seen) > 2
    assert chisquare(counts).pvalue > 1e-3


def test_draws_stay_within_the_candidates_and_leave_none_out() -> None:
    of = people(400, seed=3)
    policy = Policy(different_study=True, same_laterality=True)
    pairs = PatientPairs(**of, policy=policy)
    picks = np.repeat(np.arange(400), 200)
    drawn = pairs.partners(picks, np.random.default_rng(0))
    for image in range(400):
        assert set(drawn[picks == image]) == set(admissible(of, image, policy) or [image])


def test_without_itself_an_image_is_its_own_partner_only_for_want_of_others() -> None:
    of = people()
    picks = np.repeat(np.arange(120), 50)
    with_others = PatientPairs(**of, policy=Policy(same_study=True), with_self=False)
    drawn = with_others.partners(picks, np.random.default_rng(0))
    is_self = drawn == picks
    assert (is_self == (with_others.counts == 0)[picks]).all()
    assert is_self.any()
    assert not is_self.all()


def test_the_same_generator_draws_the_same_partners() -> None:
    pairs = PatientPairs(**people(), policy=Policy())
    picks = np.arange(120)
    first, second = (pairs.partners(picks, np.random.default_rng(5)) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert first.tolist() != pairs.partners(picks, np.random.default_rng(6)).tolist()


def test_equal_study_names_of_two_patients_are_two_studies() -> None:
    pairs = PatientPairs(["a", "b", "b"], ["s1", "s1", "s1"], np.zeros(3, np.int64), Policy(same_study=True))
    assert [pairs.candidates(i).tolist() for i in range(3)] == [[0], [1, 2], [1, 2]]


@pytest.mark.parametrize("missing", ["disease", "study"])
def test_columns_that_do_not_fit_are_refused(missing: str) -> None:
    of: dict[str, Any] = people()
    of[missing] = None if missing == "disease" else of[missing][:7]
    with pytest.raises(
        UsageError, match=r"got 120 patients, .* expected as many of each, and diseases for same_disease"
    ):
        PatientPairs(**of, policy=Policy(same_disease=True))


def test_no_images_give_no_pairs() -> None:
    pairs = PatientPairs([], [], np.zeros(0, np.int64), Policy(same_study=True))
    assert len(pairs) == 0
    assert pairs.partners(np.zeros(0, np.int64), np.random.default_rng(0)).tolist() == []
    assert pairs.alone().tolist() == []


def test_the_archive_s_views_are_frontal_lateral_or_unknown() -> None:
    views = ["pa", "ap", "ap_supine", "lateral", "unknown", None]
    assert laterality_of(views).tolist() == [FRONTAL, FRONTAL, FRONTAL, LATERAL, UNKNOWN, UNKNOWN]
