"""Decoding in processes that may crash, run out of memory or hang without taking the run with them.

Plain subprocesses and sockets, and no pickle: workers start quickly whatever the main script imports, need no
`if __name__ == "__main__"`, and see the socket close when the main process is gone, however it went.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import IO, Self

from hilum.errors import HilumError, ImageError, UsageError
from hilum.imaging.limits import Limits
from hilum.imaging.radiograph import Radiograph
from hilum.imaging.worker import READY, decode, unpack

COMMAND = (sys.executable, "-m", "hilum.imaging.worker")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPJ_NUM_THREADS"), "1")
QUEUED_PER_WORKER = 2  # the one being decoded, and the next, so that no worker waits for its orders
UNYIELDED_PER_WORKER = 8  # most results that wait for a slow file before them
START_SECONDS = 60.0
GRACE_SECONDS = 2.0  # a worker ends itself at the limit; the parent ends it only if it cannot
MOST_FAILED_STARTS = 3

Path = str | os.PathLike[str]
Result = Radiograph | ImageError


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    stderr: IO[bytes]
    is_ready: bool = False
    last_words: str = ""  # what a process that could not start wrote
    tasks: deque[int] = field(default_factory=deque)  # numbers of files sent; the first is being decoded
    since: float = 0.0  # when the first of `tasks` began, or the process was started


class DecodePool:
    """Decode many files in worker processes, in order, with bounded memory.

    A file that kills its worker becomes ImageError "worker_died", one that exceeds `limits.seconds` becomes "timeout";
    the worker is replaced and the other files go on.

    Args:
        workers: number of processes; 0 decodes in this process, without the protection.
        limits: what one file may cost.
        side_px: shrink to this longer side inside the worker, so that little crosses the socket; None keeps the size.

    Example:
        >>> with DecodePool(workers=0, side_px=384) as pool:
        ...     [(path, result.reason) for path, result in pool.imap(["no/such/file.dcm"])]
        [('no/such/file.dcm', 'missing')]
    """

    def __init__(self, workers: int, limits: Limits = Limits(), side_px: int | None = None) -> None:
        if workers < 0:
            raise UsageError(f"DecodePool: workers is {workers}; expected 0 (in this process) or more.")
        if side_px is not None and side_px < 1:
            raise UsageError(f"DecodePool: side_px is {side_px}; expected 1 or more, or None to keep the size.")
        self.workers, self.limits, self.side_px = workers, limits, side_px
        self._alive: list[_Worker] = []
        self._failed_starts = 0
        self._is_running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        while self._alive:
            self._end(self._alive[-1])

    def imap(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Result]]:
        """Decode files as they are asked for.

        Args:
            paths: taken lazily: at most a few per worker ahead of what was yielded.

        Yields:
            Each path as given, in the given order, with its radiograph or the error.

        Raises:
            HilumError: workers cannot be started at all.
            UsageError: the pool already runs another `imap`.
        """
        if self.workers == 0:
            for path in paths:
                yield path, decode(os.fspath(path), self.limits, self.side_px)
            return
        if self._is_running:
            raise UsageError(
                "DecodePool.imap: this pool already runs; finish or close that iterator, or make a second pool."
            )
        self._is_running = True
        try:
            yield from self._run(iter(paths))
        finally:
            self._is_running = False
            for worker in [
                worker for worker in self._alive if worker.tasks
            ]:  # left in the middle: answers nobody wants
                self._end(worker)

    def _run(self, paths: Iterator[Path]) -> Iterator[tuple[Path, Result]]:
        taken: dict[int, Path] = {}  # taken from `paths`, not yet yielded
        waiting: deque[int] = deque()  # of these, not yet sent
        done: dict[int, Result] = {}
        first = number = 0
        exhausted = False
        while True:
            while not exhausted and len(taken) < UNYIELDED_PER_WORKER * self.workers:
                try:
                    taken[number] = next(paths)
                except StopIteration:
                    exhausted = True
                else:
                    waiting.append(number)
                    number += 1
            self._hand_out(waiting, taken)
            if first in done:
                yield taken.pop(first), done.pop(first)
                first += 1
            elif taken:
                self._collect(waiting, taken, done)
            else:
                return

    def _hand_out(self, waiting: deque[int], taken: dict[int, Path]) -> None:
        """Send files to the workers with the shortest queues, starting workers as needed."""
        while waiting:
            if len(self._alive) < self.workers and all(worker.tasks for worker in self._alive):
                self._start()
            worker = min(self._alive, key=lambda worker: len(worker.tasks))
            if len(worker.tasks) >= QUEUED_PER_WORKER:
                return
            if not worker.tasks and worker.is_ready:
                worker.since = time.monotonic()
            try:
                worker.connection.send_bytes(os.fsencode(taken[waiting[0]]))
            except OSError:  # it has died; this file never reached it
                if worker.tasks:
                    return  # `_collect` will see the death and hand its files out again
                self._bury(worker, waiting, taken, {}, timed_out=False)
                continue
            worker.tasks.append(waiting.popleft())

    def _collect(self, waiting: deque[int], taken: dict[int, Path], done: dict[int, Result]) -> None:
        """Wait for an answer, a death or a deadline, and note what came."""
        busy = [worker for worker in self._alive if worker.tasks]
        now = time.monotonic()
        deadline = min(worker.since + self._allowed(worker) for worker in busy)
        by_connection = {worker.connection: worker for worker in busy}
        readable = wait(list(by_connection), timeout=max(0.0, deadline - now))
        for connection in readable:
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv_bytes()
            except (EOFError, OSError):
                self._bury(worker, waiting, taken, done, timed_out=False)
                continue
            worker.since = time.monotonic()
            if message == READY:
                worker.is_ready, self._failed_starts = True, 0
            else:
                done[worker.tasks.popleft()] = unpack(message)
        now = time.monotonic()
        for worker in busy:
            if worker.tasks and worker.connection not in readable and now > worker.since + self._allowed(worker):
                self._bury(worker, waiting, taken, done, timed_out=True)

    def _allowed(self, worker: _Worker) -> float:
        return self.limits.seconds + GRACE_SECONDS if worker.is_ready else START_SECONDS

    def _bury(
        self, worker: _Worker, waiting: deque[int], taken: dict[int, Path], done: dict[int, Result], *, timed_out: bool
    ) -> None:
        """Blame the file being decoded, and hand the others of a dead worker out again."""
        code = self._end(worker)
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise HilumError(f"Decode workers cannot start ({' '.join(COMMAND)}, exit {code}): {worker.last_words}")
        elif worker.tasks:
            culprit = worker.tasks.popleft()
            name = os.fspath(taken[culprit])
            if timed_out or code == -signal.SIGALRM:
                message = f"{name}: not decoded within {self.limits.seconds:g} s (Limits.seconds)."
                done[culprit] = ImageError(message, "timeout")
            else:
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
                message = f"{name}: the process that decoded it died ({how}); the file is damaged, or memory ran out."
                done[culprit] = ImageError(message, "worker_died")
        waiting.extendleft(reversed(worker.tasks))
        worker.tasks.clear()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        settings = json.dumps({"limits": asdict(self.limits), "side_px": self.side_px})
        with theirs:
            process = subprocess.Popen(
                [*COMMAND, str(theirs.fileno()), settings],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **ONE_THREAD},
                start_new_session=True,  # Ctrl-C is for this process, which then ends the workers
            )
        self._alive.append(_Worker(process, Connection(ours.detach()), stderr, since=time.monotonic()))

    def _end(self, worker: _Worker) -> int:
        """Close, kill if needed, reap; the exit code."""
        self._alive.remove(worker)
        worker.connection.close()
        is_idle = worker.is_ready and not worker.tasks  # it sees the socket close and leaves
        try:
            code = worker.process.wait(timeout=GRACE_SECONDS if is_idle else 0.1)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = worker.process.wait()
        with worker.stderr:
            worker.stderr.seek(0)
            worker.last_words = worker.stderr.read().decode(errors="replace").strip()[-2000:] or "no message"
        return code
