"""One writer at a time: an operating-system lock on `archive.lock`, freed by the kernel when its process dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hilum.archive.place import Place
from hilum.errors import ArchiveBusyError, ArchiveError

NAME = "archive.lock"


@dataclass
class _Held:
    descriptor: int
    thread: int
    depth: int


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def write_lock(directory: Place) -> Iterator[None]:
    """Hold the archive's write lock; the thread that holds it may take it again.

    Raises:
        ArchiveBusyError: another process or thread is writing; the message says which, where and since when.
    """
    if not isinstance(directory, Path):
        raise ArchiveError(
            f"{directory} is behind a URI: hilum reads it and does not write it. Copy the archive to a local disk to add to it."
        )
    key = directory.resolve()
    with _guard:
        held = _held.get(key)
        if held is None:
            _held[key] = _Held(_take(key / NAME, directory), threading.get_ident(), 1)
        elif held.thread == threading.get_ident():
            held.depth += 1
        else:
            raise ArchiveBusyError(
                f"{directory} is being written by another thread of this process. Wait until it is done."
            )
    try:
        yield
    finally:
        with _guard:
            held = _held[key]
            held.depth -= 1
            if held.depth == 0:
                del _held[key]
                # Unlocked by name, for a child being forked just now has the descriptor too. The file stays, so that
                # nobody holds a lock on a deleted one.
                fcntl.flock(held.descriptor, fcntl.LOCK_UN)
                os.close(held.descriptor)


def _take(place: Path, directory: Path) -> int:
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ArchiveBusyError(
            f"{directory} is being written by {_holder(place)}. Wait until it is done, or stop that process; "
            "what it has written so far stays."
        ) from None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now})
    with contextlib.suppress(OSError):  # on a full disk the lock still holds, only the message is poorer
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, about.encode(), 0)
    return descriptor


def _holder(place: Path) -> str:
    try:
        about = json.loads(place.read_text(encoding="utf-8"))
        return f"process {about['pid']} on host {about['host']} since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _let_go_in_child() -> None:
    # A forked child shares the lock: were it to outlive its parent, the archive would stay locked.
    for held in _held.values():
        os.close(held.descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
