"""Processes that cannot be had are refused before any is started, and an error of one is an error of all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hilum.errors import TrainingError
from hilum.methods.ranks import ALONE
from hilum.training import loop
from hilum.training.processes import first_does, is_first, ranks_of, start_processes


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("gpus", "told"), [(1, "this machine has 1 GPU. Give --devices 1"), (4, "has 4 GPUs")])
def test_more_devices_than_gpus_are_refused(
    no_launcher: None, monkeypatch: pytest.MonkeyPatch, gpus: int, told: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(TrainingError, match=rf"--devices 8: .*{told}"):
        start_processes(8, 1, "32-true")


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_a_launcher_that_started_another_number_is_refused(
    no_launcher: None, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv(variable, "4")
    with pytest.raises(TrainingError, match=r"--devices 2 --nodes 4 asks for 8 processes, and the launcher started 4"):
        start_processes(2, 4, "32-true")


def test_one_process_needs_no_launcher_and_is_alone(no_launcher: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # of a job that runs other things beside
    fabric = start_processes(1, 1, "32-true")
    assert fabric.world_size == 1
    assert ranks_of(fabric) is ALONE


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_a_launcher_s_processes_that_would_all_train_the_same_are_refused(
    no_launcher: None, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv(variable, "4")
    with pytest.raises(TrainingError, match=r"--devices 1 --nodes 1 asks for 1 process, and the launcher started 4"):
        start_processes(1, 1, "32-true")


def test_a_job_whose_settings_do_not_fit_is_refused_with_the_cluster_s_reason(
    no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(TrainingError, match=r"cannot be started: .*ntasks-per-node"):
        start_processes(2, 1, "32-true")


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),  # the first of torchrun's second machine
        ({"LOCAL_RANK": "1"}, False),  # started by the first process itself
        ({"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, True),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_one_process_speaks_whoever_started_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], first: bool
) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first() is first


def test_a_batch_that_does_not_divide_by_the_processes_is_refused_with_one_that_does() -> None:
    with pytest.raises(TrainingError, match=r"batch_size=10 does not divide by 4 processes\. Give --set batch_size=8"):
        loop._refuse_uneven(10, 4)
    loop._refuse_uneven(12, 4)


class Told:
    """Stands for Fabric in the second of two processes: hears what the first one got."""

    global_rank, world_size = 1, 2

    def __init__(self, heard: Any) -> None:
        self.heard = heard

    def broadcast(self, value: Any) -> Any:
        assert value == (None, None)
        return self.heard


def test_what_the_first_process_does_the_others_only_hear() -> None:
    def never() -> None:
        raise AssertionError("done twice")

    assert first_does(Told((7, None)), never) == 7  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="disk full"):
        first_does(Told((None, TrainingError("disk full"))), never)  # type: ignore[arg-type]


def test_an_error_of_the_first_process_is_told_before_it_is_raised() -> None:
    told: list[Any] = []

    def fail() -> None:
        raise TrainingError("disk full")

    def broadcast(value: Any) -> Any:
        told.append(value)
        return value

    first = SimpleNamespace(global_rank=0, world_size=2, broadcast=broadcast)
    with pytest.raises(TrainingError, match="disk full"):
        first_does(first, fail)  # type: ignore[arg-type]
    assert isinstance(told[0][1], TrainingError)
