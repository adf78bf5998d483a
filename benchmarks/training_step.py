"""Where the time of a training step goes: everything but the towers' forward and backward pass is this system's own.

    python benchmarks/training_step.py ARCHIVE [--methods a,b] [--epochs 2] [--set KEY=VALUE] [--precision bf16-mixed]

For each method's tiny recipe on an archive (of phantom patients, say): the share of a step that is not the towers', and the
largest parts of it. The first ten steps are left out; the rest of the first epoch, in which pictures are read and kept, is not.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path

import torch

from hilum.methods import METHODS
from hilum.training import pretrain


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--methods", help="names with commas; default all")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--set", action="append", default=[], help="recipe settings for every method")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument(
        "--paper", action="store_true", help="the papers' sizes instead of tiny (with --set init=random)"
    )
    given = parser.parse_args()
    methods = given.methods.split(",") if given.methods else [n for n, e in METHODS.items() if e.method is not None]
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(f"{where}, {os.cpu_count()} cores, torch {torch.__version__}, {given.precision}\n")
    print("| method | images/s | not the towers | largest parts of that |\n| --- | --- | --- | --- |")
    for name in methods:
        speed = [0.0]
        with tempfile.TemporaryDirectory() as out:
            done = pretrain(
                name,
                given.archive,
                out,
                tiny=not given.paper,
                settings=[*given.set, f"epochs={given.epochs}", "validate_every=100000"],
                save_every=100_000,
                precision=given.precision,
                profiled=True,
                on_step=lambda progress, speed=speed: speed.__setitem__(0, progress.images_per_s),
            )
        own = {k: v for k, v in done.shares.items() if k not in ("forward", "backward", "validate", "save")}
        steps = sum(v for k, v in done.shares.items() if k not in ("validate", "save"))
        parts = ", ".join(f"{k} {100 * v / steps:.1f} %" for k, v in list(own.items())[:3])
        print(f"| {name} | {speed[0]:.0f} | {100 * done.overhead:.1f} % | {parts} |", flush=True)


if __name__ == "__main__":
    main()
