"""Peak memory of one process's contrastive loss when processes double and each keeps its own batch.

    python benchmarks/contrast_memory.py [--batch 1024]

The processes are simulated: one process holds its own rows and the gathered rows of all. Each measurement is the peak resident
memory of a fresh process during forward and backward, above what it held before. "all by all" is the usual alternative, in
which every process computes the whole table.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import torch

from hilum.methods.contrast import symmetric_nce
from hilum.methods.ranks import Ranks

WIDTH = 512
WORLDS = (1, 2, 4, 8, 16)


class Simulated(Ranks):
    """A process that sees as many rows as `world` processes hold."""

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        """Its own rows, repeated."""
        return rows.repeat(self.world, 1)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1024, help="rows of each process")
    parser.add_argument("--one", nargs=2, metavar=("HOW", "WORLD"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(peak(given.one[0], int(given.one[1]), given.batch))
        return
    print(f"| processes | ours, MiB | to one before | all by all, MiB | to one before |\n| {'--- | ' * 5}")
    before: dict[str, float] = {}
    for world in WORLDS:
        cells = []
        for how in ("ours", "all"):
            if how == "all" and world > 8:
                cells += ["-", "-"]
                continue
            mib = _apart(how, world, given.batch)
            cells += [f"{mib:.0f}", f"{mib / before[how]:.2f}x" if how in before else ""]
            before[how] = mib
        print(f"| {world} | {' | '.join(cells)} |", flush=True)


def peak(how: str, world: int, batch: int) -> float:
    """MiB that forward and backward add."""
    torch.set_num_threads(1)
    own = [torch.randn(batch, WIDTH, requires_grad=True) for _ in range(2)]
    scale = torch.zeros((), requires_grad=True)
    symmetric_nce(own[0][:8], own[1][:8], scale).backward()  # what the first call of anything allocates
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if how == "ours":
        loss = symmetric_nce(*own, scale, Simulated(0, world))
    else:
        loss = symmetric_nce(*(rows.repeat(world, 1) for rows in own), scale)
    loss.backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _apart(how: str, world: int, batch: int) -> float:
    command = [sys.executable, __file__, "--batch", str(batch), "--one", how, str(world)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
