"""The bytes of a file, or a clear word on why not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hilum.errors import ImageError
from hilum.imaging.limits import Limits


def open_file(path: str | os.PathLike[str], limits: Limits) -> bytes:
    """All bytes of a regular file within the limit.

    Raises:
        ImageError: with reason missing, is_directory, empty, too_large or unreadable.
    """
    name = os.fspath(path)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name}: expected an image file, got a directory. Name a file in it.", "is_directory")
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise ImageError(f"{name}: expected a regular file, got a device, pipe or socket.", "not_an_image")
        if status.st_size == 0:
            raise ImageError(f"{name}: the file is empty (0 bytes). Copy it again from its source.", "empty")
        if status.st_size > limits.bytes:
            raise ImageError(
                f"{name}: {status.st_size:,} bytes; at most {limits.bytes:,} are read (Limits.bytes).", "too_large"
            )
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file.", "missing") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise ImageError(f"{name}: cannot be read ({error}).", "unreadable") from error
