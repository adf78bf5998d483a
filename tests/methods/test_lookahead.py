"""Lookahead's slow weights, and their place in a run's state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn

from hilum.errors import TrainingError
from hilum.methods.lookahead import Lookahead


def start() -> tuple[nn.Parameter, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    return nn.Parameter(torch.randn(4, 3, generator=draws)), torch.randn(4, 3, generator=draws)


def optimizer_of(weight: nn.Parameter, k: int = 3) -> Lookahead:
    return Lookahead(torch.optim.SGD([weight], lr=0.1, momentum=0.9), k=k, alpha=0.5)


def go(optimizer: torch.optim.Optimizer, weight: nn.Parameter, target: torch.Tensor, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (weight - target).square().sum().backward()
        optimizer.step()


def test_every_k_steps_the_weights_are_the_slow_ones_and_between_them_the_fast_optimizer_s() -> None:
    weight, target = start()
    plain, _ = start()
    slow = plain.detach().clone()
    ours, fast = optimizer_of(weight), torch.optim.SGD([plain], lr=0.1, momentum=0.9)
    for step in range(1, 10):
        go(ours, weight, target, 1)
        go(fast, plain, target, 1)
        if step % 3 == 0:
            slow = slow + 0.5 * (plain.detach() - slow)
            plain.data.copy_(slow)
        assert torch.allclose(weight, plain, atol=1e-7)


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_run_resumed_between_slow_steps_ends_with_the_weights_of_one_never_stopped(stop: int) -> None:
    whole, target = start()
    go(optimizer_of(whole), whole, target, 10)
    weight, _ = start()
    before = optimizer_of(weight)
    go(before, weight, target, stop)
    state = before.state_dict()
    resumed = nn.Parameter(weight.detach().clone())
    after = optimizer_of(resumed)
    after.load_state_dict(state)
    go(after, resumed, target, 10 - stop)
    assert torch.equal(resumed, whole)


def test_a_rate_set_on_its_groups_holds_for_the_fast_optimizer_also_after_loading() -> None:
    weight, target = start()
    optimizer = optimizer_of(weight)
    go(optimizer, weight, target, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    kept = weight.detach().clone()
    optimizer.inner.state.clear()
    go(optimizer, weight, target, 1)
    assert torch.equal(weight, kept)


def test_fabric_s_wrapper_steps_saves_and_loads_it() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    target = torch.ones(2, 3)

    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        module = nn.Linear(3, 2)
        return fabric.setup(module, Lookahead(torch.optim.SGD(module.parameters(), lr=0.1), k=2))

    def steps(module: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            fabric.backward((module(torch.ones(2, 3)) - target[:, :2]).square().sum())
            optimizer.step()

    whole, optimizer = made()
    steps(whole, optimizer, 5)
    first, optimizer = made()
    steps(first, optimizer, 3)
    second, other = made()
    second.load_state_dict(first.state_dict())
    other.load_state_dict(optimizer.state_dict())
    steps(second, other, 2)
    for ours, theirs in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_state_without_slow_weights_is_refused() -> None:
    weight, _ = start()
    with pytest.raises(TrainingError, match="no slow weights"):
        optimizer_of(weight).load_state_dict(torch.optim.SGD([weight], lr=0.1).state_dict())


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(TrainingError, match="k=0"):
        optimizer_of(start()[0], k=0)


def test_a_run_with_lookahead_resumes_exactly(small_archive: Path, tmp_path: Path) -> None:
    from hilum.training import Progress, pretrain

    settings = ("optimizer=sgd", "lookahead_k=3", "tower=vit-tiny", "side_px=32", "batch_size=16", "epochs=3")

    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            raise Stop

    pretrain("refers", small_archive, tmp_path / "a", tiny=True, settings=settings)
    with pytest.raises(Stop):
        pretrain("refers", small_archive, tmp_path / "b", tiny=True, settings=settings, save_every=2, on_step=stop)
    pretrain("refers", small_archive, tmp_path / "b", tiny=True, settings=settings, save_every=2)
    whole, resumed = (torch.load(tmp_path / run / "training" / "last.pt", weights_only=True) for run in "ab")
    assert len(whole["optimizer"]["lookahead"]["slow"]) > 10
    for ours, theirs in zip(
        resumed["optimizer"]["lookahead"]["slow"], whole["optimizer"]["lookahead"]["slow"], strict=True
    ):
        assert torch.equal(ours, theirs)
    for name, tensor in whole["method"].items():
        assert torch.equal(tensor, resumed["method"][name]), name
