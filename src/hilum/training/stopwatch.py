"""Where a training step's time goes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# What the towers cost; all else is this system's own.
TOWERS = ("forward", "backward")
OUTSIDE = ("validate", "save")  # no part of a step
WAITS = ("wait for examples",)  # of the program, whatever the GPU does
ELSEWHERE = "elsewhere"


class Stopwatch:
    """Adds up seconds by section, and of whole steps.

    Args:
        device: a GPU works behind the program's back: what a section cost is told by the GPU's own clock.
        exact: ask a GPU for its clock (for a profile); False measures what the CPU sees, at no cost.
    """

    def __init__(self, device: torch.device, exact: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.steps = 0.0
        self._started = time.perf_counter()
        self._asks = exact and device.type == "cuda"
        self._events: deque[tuple[str, torch.cuda.Event, torch.cuda.Event]] = deque()

    @contextmanager
    def __call__(self, section: str) -> Iterator[None]:
        """Time a section."""
        began, started = (None if section in WAITS else self._event()), time.perf_counter()
        try:
            yield
        finally:
            if began is None:
                self.add(section, time.perf_counter() - started)
            else:
                ended = self._event()
                assert ended is not None
                self._events.append((section, began, ended))

    def add(self, section: str, seconds: float) -> None:
        """Add to a section."""
        self.seconds[section] = self.seconds.get(section, 0.0) + seconds

    def start(self) -> None:
        """The steps begin: what was told before is forgotten."""
        self._read(wait=True)
        self.seconds.clear()
        self.steps, self._started = 0.0, time.perf_counter()

    def lap(self) -> None:
        """A step is done: the seconds since the last, or since the start, are a step's."""
        now = time.perf_counter()
        self.steps += now - self._started
        self._started = now
        self._read()

    def shares(self) -> dict[str, float]:
        """Each section's share of the steps' time, largest first; `elsewhere`: what no section tells of.

        A GPU augments the next batch while it works on one. Both are told in full, so that shares may add up to more than one.
        """
        self._read(wait=True)
        told = sum(self.seconds.values())
        total = self._total()
        seconds = self.seconds | ({ELSEWHERE: total - told} if total > told else {})
        return {k: v / total for k, v in sorted(seconds.items(), key=lambda item: -item[1])}

    def overhead(self) -> float:
        """The share of a step that is not the towers' forward and backward pass; validation and saving are left out."""
        self._read(wait=True)
        inside = self._total() - sum(self.seconds.get(k, 0.0) for k in OUTSIDE)
        return 1 - sum(self.seconds.get(k, 0.0) for k in TOWERS) / (inside or 1.0)

    def _total(self) -> float:
        return self.steps or sum(self.seconds.values())

    def _event(self) -> torch.cuda.Event | None:
        if not self._asks:
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _read(self, wait: bool = False) -> None:
        if self._events and wait:
            torch.cuda.synchronize()
        while self._events and self._events[0][2].query():
            section, began, ended = self._events.popleft()
            self.add(section, began.elapsed_time(ended) / 1000)
