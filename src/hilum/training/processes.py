"""The processes of a run: one, several on this machine, or several machines (Lightning Fabric over torch.distributed)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from hilum.errors import HilumError, TrainingError
from hilum.methods.ranks import ALONE, Ranks

T = TypeVar("T")


def start_processes(devices: int, nodes: int, precision: str) -> Fabric:
    """Fabric with its processes started: by itself on one machine, or by torchrun or SLURM where these started us.

    Args:
        devices: processes on each machine; each has a GPU where there are any.
        nodes: machines.
        precision: of Lightning Fabric: 32-true, bf16-mixed, 16-mixed.

    Raises:
        TrainingError: more devices than this machine has GPUs, the launcher started another number of processes, or the
            cluster's settings do not fit.
    """
    gpus = torch.cuda.device_count()
    if gpus and devices > gpus:
        raise TrainingError(
            f"--devices {devices}: this machine has {gpus} GPU{'s' * (gpus > 1)}. Give --devices {gpus}."
        )
    many, started = devices * nodes > 1, _started(devices * nodes > 1)
    if started > 1 and started != devices * nodes:
        raise TrainingError(
            f"--devices {devices} --nodes {nodes} asks for {devices * nodes} process{'es' * many}, and the launcher started "
            f"{started}. Make the two agree."
        )
    # One process asks no cluster: it may well run inside a job of several tasks.
    strategy, plugins = ("ddp", []) if many else ("auto", [LightningEnvironment()])
    try:
        fabric = Fabric(
            accelerator="auto",
            devices=devices,
            num_nodes=nodes,
            strategy=strategy,
            precision=precision,
            plugins=plugins,
        )
        if many:
            fabric.launch()
    except (ValueError, RuntimeError, MisconfigurationException) as error:  # what Lightning raises of clusters
        raise TrainingError(f"--devices {devices} --nodes {nodes}: the processes cannot be started: {error}") from error
    return fabric


def _started(many: bool) -> int:
    """How many processes a launcher started; 0 where none did. A job's tasks count for one process only if they run it."""
    names = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS", *(("SLURM_NTASKS",) if many else ()))
    return next((int(os.environ[name]) for name in names if os.environ.get(name)), 0)


def is_first() -> bool:
    """Whether this process is the first of all, which alone speaks to the user; known before any process meets another."""
    ranks = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
    return all(int(os.environ.get(name) or 0) == 0 for name in ranks)


def ranks_of(fabric: Fabric) -> Ranks:
    """This process among the others, as methods see it."""
    return Ranks(fabric.global_rank, fabric.world_size) if fabric.world_size > 1 else ALONE


def first_does(fabric: Fabric, action: Callable[[], T]) -> T:
    """What process 0 gets from an action, in every process; its errors too, so that none waits for a process that gave up."""
    result: Any = None
    error: HilumError | None = None
    if fabric.global_rank == 0:
        try:
            result = action()
        except HilumError as caught:
            error = caught
    if fabric.world_size > 1:
        result, error = fabric.broadcast((result, error))
    if error is not None:
        raise error
    return result
