"""The batches of a run, read ahead, on the device and augmented."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from lightning.fabric import Fabric

from hilum.methods.batch import Batch
from hilum.methods.method import Method
from hilum.training.mixture import Mixture
from hilum.training.plan import Plan, step_rng
from hilum.training.stopwatch import Stopwatch

READ_AHEAD = 4


class Batches:
    """Each step's batch, in order; a context, that ends its threads.

    Pictures are read ahead by a thread. On a GPU a second thread augments the next batch beside the backward pass, on a stream
    of its own: Python has nothing to do then. On a CPU, which is busy then, each batch is augmented when asked for.

    Args:
        method: reads and augments.
        examples: what is read.
        plan: which of them in which step.
        first: the step to begin with.
        seed: of the run.
        fabric: the device, and this process among the others.
        watch: told the time of `wait for examples`, `to device` and `augment`.
    """

    def __init__(
        self,
        method: Method,
        examples: Mixture,
        plan: Plan,
        first: int,
        seed: int,
        fabric: Fabric,
        watch: Stopwatch,
    ) -> None:
        self._method, self._examples, self._plan, self._watch = method, examples, plan, watch
        self._seed, self._rank, self._world = seed, fabric.global_rank, fabric.world_size
        self._device = fabric.device
        self._beside = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._augmenter = ThreadPoolExecutor(1, thread_name_prefix="augment")
        self._step, self._asked = first, first
        self._ahead: deque[Future[Batch]] = deque()
        self._begun: Future[tuple[Batch, int]] | None = None
        self._read_on()

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._augmenter, self._reader):
            pool.shutdown(cancel_futures=True)

    def begin(self) -> None:
        """Start on the next batch, where that costs the device nothing."""
        if self._beside is not None and self._ahead:
            self._begun = self._augmenter.submit(self._prepared)

    def next(self) -> tuple[Batch, int]:
        """The next step's batch, and the seed of all that is drawn in that step."""
        batch, own = self._begun.result() if self._begun is not None else self._prepared()
        self._begun = None
        if self._beside is not None:
            batch.wait_for(self._beside)
        self._read_on()  # not before: the threads would wait for each other's Python
        return batch, own

    def _prepared(self) -> tuple[Batch, int]:
        step, self._step = self._step, self._step + 1
        own = int(step_rng(self._seed, step, self._rank).integers(2**62))
        with self._watch("wait for examples"):
            batch = self._ahead.popleft().result()
        with torch.cuda.stream(self._beside), torch.no_grad():  # of no stream: nothing happens
            with self._watch("to device"):
                batch = batch.to(self._device)
            with self._watch("augment"):
                batch = self._method.augment(batch, torch.Generator().manual_seed(own))
        return batch, own

    def _read_on(self) -> None:
        while len(self._ahead) < READ_AHEAD and self._asked < self._plan.steps:
            self._ahead.append(self._reader.submit(self._read, self._asked))
            self._asked += 1

    def _read(self, step: int) -> Batch:
        picks = self._plan.picks(step).reshape(self._world, -1)[self._rank]
        return self._examples.read(self._method, picks, step_rng(self._seed, step, self._rank))
