"""The processes of a run: one, several on this machine, or several machines (Lightning Fabric over torch.distributed)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from lightning.fabric import Fabric

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
        TrainingError: more devices than this machine has GPUs, or the launcher started another number of processes.
    """
    gpus = torch.cuda.device_count()
    if gpus and devices > gpus:
        raise TrainingError(
            f"--devices {devices}: this machine has {gpus} GPU{'s' * (gpus > 1)}. Give --devices {gpus}."
        )
    started = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 0)
    many = devices * nodes > 1
    if many and started > 1 and started != devices * nodes:
        raise TrainingError(
            f"--devices {devices} --nodes {nodes} asks for {devices * nodes} processes, and the launcher started {started}. "
            "Make the two agree."
        )
    strategy = "ddp" if many else "auto"
    fabric = Fabric(accelerator="auto", devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    if many:
        fabric.launch()
    return fabric


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
