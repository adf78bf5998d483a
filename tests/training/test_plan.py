"""Which examples a step sees is a function of the seed and the step alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.errors import TrainingError
from hilum.training.plan import Plan, step_rng


def epoch_of(plan: Plan, epoch: int) -> np.ndarray:
    """All examples of a pass, in order."""
    first = epoch * plan.steps_per_epoch
    return np.concatenate([plan.picks(first + step) for step in range(plan.steps_per_epoch)])


def of_archive(plan: Plan, picks: np.ndarray, archive: int) -> np.ndarray:
    start = sum(plan.counts[:archive])
    return picks[(picks >= start) & (picks < start + plan.counts[archive])]


def test_one_archive_is_shuffled_as_it_ever_was() -> None:
    plan = Plan.of(10, batch_size=3, epochs=2, seed=5)
    for step in range(6):
        epoch, within = divmod(step, 3)
        order = np.random.default_rng([5, epoch]).permutation(10)
        assert np.array_equal(plan.picks(step), order[3 * within : 3 * within + 3])


def test_archives_without_weights_are_shuffled_as_one() -> None:
    one, several = Plan.of(30, 4, 3, seed=1), Plan.of((7, 13, 10), 4, 3, seed=1)
    assert all(np.array_equal(one.picks(step), several.picks(step)) for step in range(one.steps))
    assert (one.steps, one.steps_per_epoch) == (21, 7)


def test_a_pass_sees_every_example_once_but_for_the_incomplete_batch() -> None:
    plan = Plan.of(30, 4, 2, seed=0)
    assert len(np.unique(epoch_of(plan, 0))) == 28
    assert not np.array_equal(epoch_of(plan, 0), epoch_of(plan, 1))


def test_batches_mix_archives() -> None:
    plan = Plan.of((200, 200), 20, 1, seed=0)
    shares = [len(of_archive(plan, plan.picks(step), 0)) for step in range(plan.steps)]
    assert min(shares) > 4
    assert max(shares) < 16


def test_a_weight_of_a_half_covers_an_archive_in_two_epochs_and_of_two_passes_twice() -> None:
    plan = Plan.of((8, 12, 6), batch_size=4, epochs=4, seed=3, weights=(1.0, 0.5, 2.0))
    assert plan.steps_per_epoch == (8 + 6 + 12) // 4
    whole = [plan._order(epoch) for epoch in range(4)]
    for epoch, order in enumerate(whole):
        assert sorted(of_archive(plan, order, 0)) == list(range(8)), epoch
        assert len(of_archive(plan, order, 1)) == 6
        assert np.array_equal(np.unique(of_archive(plan, order, 2), return_counts=True)[1], [2] * 6)
    for first in (0, 2):
        halves = np.concatenate([of_archive(plan, whole[first + k], 1) for k in range(2)])
        assert sorted(halves) == list(range(8, 20))
    assert set(of_archive(plan, whole[0], 1)) != set(of_archive(plan, whole[2], 1))


@settings(deadline=None, max_examples=30)
@given(
    counts=st.lists(st.integers(1, 20), min_size=2, max_size=3),
    weights=st.lists(st.sampled_from([0.1, 0.5, 0.75, 1.0, 1.5, 3.0]), min_size=3, max_size=3),
    seed=st.integers(0, 100),
)
def test_over_many_epochs_each_archive_has_its_weight_and_no_example_is_left_behind(
    counts: list[int], weights: list[float], seed: int
) -> None:
    plan = Plan.of(counts, 1, 30, seed, weights[: len(counts)])
    orders = np.concatenate([plan._order(epoch) for epoch in range(30)])
    for archive, (count, weight) in enumerate(zip(counts, plan.weights, strict=True)):
        seen = np.bincount(of_archive(plan, orders, archive) - sum(counts[:archive]), minlength=count)
        assert seen.sum() == 30 * max(1, round(count * weight))
        assert seen.max() - seen.min() <= 1


def test_a_step_s_examples_do_not_depend_on_which_steps_were_asked_before() -> None:
    def plan() -> Plan:
        return Plan.of((9, 7), 4, 6, seed=2, weights=(0.5, 2.0))

    forward = [plan().picks(step) for step in range(24)]
    one = plan()
    backward = {step: one.picks(step) for step in reversed(range(24))}
    assert all(np.array_equal(forward[step], backward[step]) for step in range(24))


def test_seeds_and_epochs_are_shuffled_apart() -> None:
    one, other = Plan.of(50, 10, 2, seed=0), Plan.of(50, 10, 2, seed=1)
    assert not np.array_equal(one.picks(0), other.picks(0))
    assert not np.array_equal(one.picks(0), one.picks(5))


@pytest.mark.parametrize(("epochs", "steps"), [(1, 3), (0.34, 1), (0.01, 1), (2.5, 8)])
def test_a_run_has_as_many_steps_as_its_passes_have_whole_batches(epochs: float, steps: int) -> None:
    assert Plan.of(10, 3, epochs, seed=0).steps == steps


def test_a_batch_larger_than_a_pass_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"batch_size=16 is larger than the 15 training examples.*batch_size=3"):
        Plan.of((10, 10), 16, 1, 0, weights=(1.0, 0.5))


def test_an_archive_has_at_least_one_example_in_an_epoch() -> None:
    plan = Plan.of((4, 100), 2, 1, 0, weights=(0.01, 1.0))
    assert len(of_archive(plan, plan._order(0), 0)) == 1


def test_each_process_and_step_has_draws_of_its_own() -> None:
    first = {tuple(step_rng(0, step, rank).integers(1 << 40, size=2)) for step in range(3) for rank in range(2)}
    assert len(first) == 6
    assert step_rng(0, 2, 1).integers(1 << 40) == step_rng(0, 2, 1).integers(1 << 40)
