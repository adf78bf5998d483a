"""Where a training step's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# What the towers cost; all else is this system's own.
TOWERS = ("forward", "backward")


class Stopwatch:
    """Adds up seconds by section.

    Args:
        device: on a GPU each section waits for it, or its time would be told of the next.
        exact: wait for the GPU at each section (for a profile); False measures what the CPU sees, at no cost.
    """

    def __init__(self, device: torch.device, exact: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._waits = exact and device.type == "cuda"

    @contextmanager
    def __call__(self, section: str) -> Iterator[None]:
        """Time a section."""
        started = time.perf_counter()
        try:
            yield
        finally:
            if self._waits:
                torch.cuda.synchronize()
            self.add(section, time.perf_counter() - started)

    def add(self, section: str, seconds: float) -> None:
        """Add to a section."""
        self.seconds[section] = self.seconds.get(section, 0.0) + seconds

    def shares(self) -> dict[str, float]:
        """Each section's share of all, largest first."""
        total = sum(self.seconds.values()) or 1.0
        return {k: v / total for k, v in sorted(self.seconds.items(), key=lambda item: -item[1])}

    def overhead(self) -> float:
        """The share of a step that is not the towers' forward and backward pass; validation and saving are left out."""
        inside = {k: v for k, v in self.seconds.items() if k not in ("validate", "save")}
        return 1 - sum(inside.get(k, 0.0) for k in TOWERS) / (sum(inside.values()) or 1.0)
