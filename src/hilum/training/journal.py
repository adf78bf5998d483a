"""A run's numbers as they come: metrics.csv and TensorBoard events."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TextIO

COLUMNS = ("step", "loss", "learning_rate", "val_loss", "val_auroc")


class Journal:
    """Appends a row a step; steps after the one resumed from are dropped first.

    Args:
        folder: the run's `training` folder.
        done: the step a resumed run goes on from; 0 for a new one.
    """

    def __init__(self, folder: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = folder / "metrics.csv"
        kept = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.DictReader(file) if row["step"] and int(row["step"]) <= done]
        self._file: TextIO = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.DictWriter(self._file, COLUMNS)
        self._rows.writeheader()
        self._rows.writerows(kept)
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1 if done else None)

    def write(
        self, step: int, losses: dict[str, float], learning_rate: float, measured: dict[str, float] | None
    ) -> None:
        """Note a step's losses and, where there was one, its validation."""
        numbers = {**losses, "learning_rate": learning_rate, **(measured or {})}
        self._rows.writerow({"step": step, **{k: repr(v) for k, v in numbers.items() if k in COLUMNS}})
        self._file.flush()
        for name, value in numbers.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is left."""
        self._file.close()
        self._events.close()
