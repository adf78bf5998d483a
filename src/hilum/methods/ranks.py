"""The processes that train together, as a method sees them: who it is, and how to see the others' rows.

Losses take a `Ranks` and read the same in one process and in many: each process contrasts its own rows with everybody's,
so memory grows linearly with the number of processes, and the mean of the processes' losses is the loss of the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process and the others; every process holds the same number of rows.

    Attributes:
        rank: this process's place, from 0.
        world: how many processes.
    """

    rank: int = 0
    world: int = 1

    def gather(self, rows: Tensor) -> Tensor:
        """(N, ...) of this process to (world * N, ...) of all, in order of rank; gradients flow back to where rows came from."""
        if self.world == 1:
            return rows
        return torch.cat(_GatherWithGradients.apply(self.world, rows.contiguous()))

    def gather_constant(self, rows: Tensor) -> Tensor:
        """As `gather`, without gradients."""
        if self.world == 1:
            return rows.detach()
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows.detach().contiguous())
        return torch.cat(parts)

    def truth(self, count: int, device: torch.device) -> Tensor:
        """For `count` own rows, their places among all processes' rows: (count,) int64."""
        return torch.arange(count, device=device) + self.rank * count

    def own(self, rows: Tensor) -> Tensor:
        """This process's part of rows that all processes hold: (world * N, ...) to (N, ...)."""
        return rows.chunk(self.world)[self.rank] if self.world > 1 else rows

    def agree(self, value: Tensor) -> Tensor:
        """Process 0's value, in every process."""
        if self.world > 1:
            value = value.contiguous()
            dist.broadcast(value, 0)
        return value

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over processes, without gradients."""
        if self.world == 1:
            return value.detach()
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.world


ALONE = Ranks()


class _GatherWithGradients(torch.autograd.Function):
    """All-gather whose backward adds up, for each row, the gradients of all processes."""

    @staticmethod
    def forward(ctx, world: int, rows: Tensor) -> tuple[Tensor, ...]:  # type: ignore[no-untyped-def]
        ctx.rank = dist.get_rank()
        parts = [torch.empty_like(rows) for _ in range(world)]
        dist.all_gather(parts, rows)
        return tuple(parts)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[None, Tensor]:  # type: ignore[no-untyped-def]
        summed = torch.stack(gradients)
        dist.all_reduce(summed)
        return None, summed[ctx.rank]
