"""The factor on the learning rate, at any place of a run."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.methods.recipe import Recipe
from hilum.methods.schedule import Place, cosine, cosine_squared, linear, milestones, plateau, warm_up


class Plain(Recipe):
    """The base recipe under a name."""

    name = "plain"
    paper = "none"


def rates(steps: int = 20, per_epoch: int = 5, **values: object) -> list[float]:
    recipe = Plain.model_validate(values)
    return [recipe.rate(Place(step, steps, per_epoch)) for step in range(steps)]


def torch_plateau(losses: list[float], factor: float, patience: int) -> float:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    watch = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
    for loss in losses:
        watch.step(loss)
    return float(optimizer.param_groups[0]["lr"])


@settings(deadline=None, max_examples=60)
@given(
    losses=st.lists(st.floats(0.1, 2.0).map(lambda x: round(x, 2)), max_size=30),
    factor=st.sampled_from([0.1, 0.5, 0.9]),
    patience=st.integers(0, 5),
)
def test_plateau_is_torch_s(losses: list[float], factor: float, patience: int) -> None:
    reached = max(plateau(losses, factor, patience), 0)
    assert math.isclose(reached, torch_plateau(losses, factor, patience), rel_tol=1e-9, abs_tol=3e-8)


def test_plateau_counts_a_loss_as_progress_only_beyond_its_threshold() -> None:
    assert plateau([1.0, 0.99995, 0.99991], patience=1) == 0.5
    assert plateau([1.0, 0.99985, 0.9], patience=1) == 1.0


def test_cosine_is_torch_s() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        assert cosine(Place(step, 20)) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        falls.step()


def test_cosine_squared_starts_at_zero_peaks_after_the_warm_up_and_ends_near_zero() -> None:
    found = [cosine_squared(Place(step, 40), 10) for step in range(40)]
    assert found[:11] == pytest.approx([step / 10 for step in range(11)])
    assert found[10:] == pytest.approx([math.cos(math.pi / 2 * step / 30) ** 2 for step in range(30)])
    assert found[10:] == pytest.approx(
        [cosine(Place(step, 30)) for step in range(30)]
    )  # the same curve, by two formulas
    assert cosine_squared(Place(0, 10), 0) == 1.0


def test_linear_rises_from_zero_and_falls_to_zero() -> None:
    assert [linear(Place(step, 10), 5) for step in range(11)] == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 1, 0.8, 0.6, 0.4, 0.2, 0]
    )


def test_warm_up_never_wastes_a_step_at_rate_zero() -> None:
    assert [warm_up(step, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, None]
    assert warm_up(0, 0) is None


def test_milestones_are_finished_passes() -> None:
    assert [milestones(epoch, (2, 3)) for epoch in range(5)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert [Place(step, 20, 5).epoch for step in (0, 4, 5, 19)] == [0, 0, 1, 3]


def test_a_recipe_takes_the_schedule_it_names() -> None:
    assert rates() == [1.0] * 20
    assert rates(schedule="cosine", warmup=0.2)[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates(schedule="cosine-squared", warmup=0.2)[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert rates(schedule="linear", warmup=0.2)[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert rates(schedule="steps", milestones=(1, 3))[4::5] == pytest.approx([1, 0.1, 0.1, 0.01])
    assert rates(schedule="constant", warmup=0.1)[:3] == [0.5, 1.0, 1.0]


def test_a_plateau_recipe_halves_after_its_patience() -> None:
    recipe = Plain(schedule="plateau", plateau_patience=1, warmup=0.1)
    assert recipe.rate(Place(0, 20)) == 0.5
    assert [recipe.rate(Place(9, 20, 5, [1.0] * n)) for n in range(6)] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
