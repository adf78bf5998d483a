"""Run a function in two processes that see each other over gloo."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from hilum.methods.ranks import Ranks


def run_two(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(ranks, *arguments)` returns in process 0 and in process 1.

    Args:
        function: at the top of a module; its result is tensors and plain values.
        *arguments: what can be sent to another process.
    """
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_run, args=(folder, function, arguments), nprocs=2, join=True)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(2)]


def _run(rank: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    try:
        torch.save(function(Ranks(rank, 2), *arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
