"""One step's gradients: of a batch at once, or, where it exceeds memory, in parts with the same result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from hilum.methods.batch import Batch
from hilum.methods.method import Method, in_float32
from hilum.methods.ranks import ALONE, Ranks
from hilum.training.stopwatch import Stopwatch


class Step(nn.Module):
    """What is wrapped for several devices: the whole loss of a batch, or the cached gradients of a part of it.

    The processes are told once: what is passed to `forward`, Lightning takes apart to convert it.
    """

    def __init__(self, method: Method, ranks: Ranks = ALONE) -> None:
        super().__init__()
        self.method, self.ranks = method, ranks

    def forward(self, batch: Batch, cached: dict[str, Tensor] | None = None) -> Any:
        """(losses, rows) of an augmented batch; with `cached`, the scalar whose gradient is that of the loss."""
        if cached is None:
            return self.method(batch, None, self.ranks)
        rows = self.method.encode(batch, self.ranks)
        return sum((in_float32({k: rows[k]})[k] * gradient).sum() for k, gradient in cached.items())


def backward(
    module: Any,
    batch: Batch,
    fabric: Fabric,
    watch: Stopwatch,
    chunk: int | None = None,
    seed: int = 0,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Fill the gradients of a batch's loss.

    Args:
        module: a `Step` set up by Fabric.
        batch: augmented, on the device.
        fabric: whose precision and devices are used.
        watch: told the time of `forward` and `backward`.
        chunk: most examples encoded at once; None: all.
        seed: of dropout in the parts.
        meanwhile: called between the two passes, to start what can run beside the backward pass.

    Returns:
        the losses, detached, and the rows they were made of, detached.
    """
    if chunk is None or chunk >= len(batch):
        with watch("forward"):
            losses, rows = module(batch)
        if meanwhile is not None:
            meanwhile()
        with watch("backward"):
            fabric.backward(losses["loss"])
            losses, rows = _detached(losses), _detached(rows)  # the graph's memory is given back here
    else:
        with watch("forward"):
            losses, rows, cached, direct = _cache(module, batch, fabric, chunk, seed)
        if meanwhile is not None:
            meanwhile()
        with watch("backward"):
            _pass_on(module, batch, fabric, chunk, seed, cached, direct)
    return _detached(losses), _detached(rows)


def _detached(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach() for k, v in tensors.items()}


def _cache(
    module: Any, batch: Batch, fabric: Fabric, chunk: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], list[tuple[Tensor, Tensor]]]:
    """Gradient caching (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup").

    The parts are encoded without gradients; the loss of all rows is exact, and its gradients on the rows are kept. Then
    (`_pass_on`) each part is encoded again, the same way, and these gradients are passed on. Memory is that of one part's
    towers and of the rows. Normalization layers see each part as a batch.
    """
    step: Step = module.module
    method, ranks = step.method, step.ranks
    with torch.no_grad(), fabric.autocast(), _running_averages_kept(method):
        encoded = []
        for number, part in enumerate(_parts(batch, chunk)):
            torch.manual_seed(seed + number)
            encoded.append(method.encode(part, ranks))
    rows = in_float32({k: torch.cat([e[k] for e in encoded]) for k in encoded[0]})
    leaves = {k: v.detach().requires_grad_(v.is_floating_point()) for k, v in rows.items()}
    losses = method.losses(leaves, ranks)
    asked = {k: v for k, v in leaves.items() if v.requires_grad}
    # Some parameters, such as a temperature, act in the loss alone.
    own: list[Tensor] = [p for p in method.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(losses["loss"], [*asked.values(), *own], allow_unused=True)
    cached = {k: g for k, g in zip(asked, gradients[: len(asked)], strict=True) if g is not None}
    direct = [(p, g) for p, g in zip(own, gradients[len(asked) :], strict=True) if g is not None]
    return losses, rows, cached, direct


def _pass_on(
    module: Any,
    batch: Batch,
    fabric: Fabric,
    chunk: int,
    seed: int,
    cached: dict[str, Tensor],
    direct: list[tuple[Tensor, Tensor]],
) -> None:
    parts, start = _parts(batch, chunk), 0
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        torch.manual_seed(seed + number)
        with fabric.no_backward_sync(module, enabled=not last and fabric.world_size > 1):
            share = module(part, {k: g[start : start + len(part)] for k, g in cached.items()})
            if last and direct:
                share = share + sum((p * g).sum() for p, g in direct)
            fabric.backward(share)
        start += len(part)


def _parts(batch: Batch, chunk: int) -> list[Batch]:
    return [batch.part(start, min(start + chunk, len(batch))) for start in range(0, len(batch), chunk)]


@contextmanager
def _running_averages_kept(method: nn.Module) -> Iterator[None]:
    """Leave the running averages of normalization layers as they were: the second encoding updates them."""
    layers = [m for m in method.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    before = [{k: v.clone() for k, v in layer.named_buffers(recurse=False)} for layer in layers]
    try:
        yield
    finally:
        for layer, buffers in zip(layers, before, strict=True):
            for name, value in buffers.items():
                getattr(layer, name).copy_(value)
