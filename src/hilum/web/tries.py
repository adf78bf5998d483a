"""Images that visitors try: decoded by a worker that may die, kept in memory for a while, forgotten."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hilum.errors import ImageError
from hilum.imaging import DecodePool, Limits, Radiograph
from hilum.web.problems import BusyError, NotFoundError

MOST_TRIES = 32  # kept; the oldest goes first
KEPT_SECONDS = 30 * 60
WAIT_SECONDS = 30.0  # for the decoder, when others use it
THE_FILE = "the file"


@dataclass(frozen=True, eq=False)
class Try:
    """One image that was tried. Of its header only what is shown is kept: no name, no id, no date.

    Attributes:
        key: what it is asked for by; cannot be guessed.
        pixels: (H, W) uint8, the longer side as in the archive.
        pixel_spacing_mm: between rows of `pixels`; None where the file does not say.
        view, sex, age_years: as a DICOM header says; unknown and None otherwise.
        remarks: what a reader of the scores should know of the file.
    """

    key: str
    pixels: np.ndarray
    pixel_spacing_mm: float | None
    view: str
    sex: str | None
    age_years: float | None
    remarks: tuple[str, ...]
    when: float


class Decoder:
    """Bytes to pixels, one file at a time, in a process of its own.

    Args:
        limits: what a file may cost.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._pools: dict[int, DecodePool] = {}
        self._turn = threading.Lock()

    def decode(self, content: bytes, side_px: int) -> Radiograph:
        """The radiograph of a file's bytes, its longer side at most `side_px`.

        Raises:
            ImageError: it is none, or costs too much, or its decoder died of it.
            BusyError: others are being decoded.
        """
        if not self._turn.acquire(timeout=WAIT_SECONDS):
            raise BusyError("Other files are being decoded. Try again in a moment.")
        try:
            pool = self._pools.setdefault(side_px, DecodePool(1, self.limits, side_px))
            with _as_file(content) as path:
                ((_, result),) = pool.imap([path])
        finally:
            self._turn.release()
        if isinstance(result, ImageError):
            raise ImageError(str(result).replace(path, THE_FILE), result.reason)
        return result

    def close(self) -> None:
        """End the worker."""
        for pool in self._pools.values():
            pool.close()


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path under which a child of this process can read these bytes, which stay in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("upload")
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(prefix="hilum-")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield path
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            os.unlink(path)


class Tries:
    """The images tried lately, by key."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Try] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, radiograph: Radiograph) -> Try:
        """Keep an image."""
        header = radiograph.dicom
        remarks = list(radiograph.remarks)
        if header is not None and header.burned_in_annotation:
            remarks.append("the file says that text is burned into the picture: it may name the patient")
        if header is not None and header.modality not in (None, "CR", "DX", "DR", "RG"):
            remarks.append(f"its modality is {header.modality}, not a radiograph's: scores mean nothing")
        made = Try(
            secrets.token_urlsafe(16),
            radiograph.pixels,
            radiograph.pixel_spacing_mm,
            header.view if header else "unknown",
            header.sex if header else None,
            header.age_years if header else None,
            tuple(remarks),
            time.monotonic(),
        )
        with self._lock:
            self._forget_old()
            self._kept[made.key] = made
            while len(self._kept) > MOST_TRIES:
                self._kept.popitem(last=False)
        return made

    def get(self, key: str) -> Try:
        """An image by its key.

        Raises:
            NotFoundError: there is none, or not any more.
        """
        with self._lock:
            self._forget_old()
            if key not in self._kept:
                raise NotFoundError("This image is not in memory any more; drop it again.")
            return self._kept[key]

    def forget(self, key: str) -> None:
        """Drop an image now."""
        with self._lock:
            self._kept.pop(key, None)

    def _forget_old(self) -> None:
        oldest = time.monotonic() - KEPT_SECONDS
        for key in [key for key, one in self._kept.items() if one.when < oldest]:
            del self._kept[key]
