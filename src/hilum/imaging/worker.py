"""A process that decodes one file after the other and may die of it.

It speaks over a socket it is handed: a path comes in, an answer goes out (`pack`, `unpack`). It imports no torch.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection

import numpy as np

from hilum.errors import ImageError
from hilum.imaging.header import DicomHeader
from hilum.imaging.limits import Limits
from hilum.imaging.radiograph import Radiograph, read_image

READY = b"ready"


def decode(path: str, limits: Limits, side_px: int | None) -> Radiograph | ImageError:
    """Read one file, and shrink it where a side is given; an error is a value here, one of the results."""
    try:
        radiograph = read_image(path, limits=limits)
        return radiograph if side_px is None else radiograph.shrunk(side_px)
    except ImageError as error:
        return error


def pack(result: Radiograph | ImageError) -> bytes:
    """A result as bytes: the length of a JSON header, the header, the pixels."""
    if isinstance(result, ImageError):
        header: dict[str, object] = {"message": str(result), "reason": result.reason}
        pixels = b""
    else:
        header = {
            "shape": result.pixels.shape,
            "pixel_spacing_mm": result.pixel_spacing_mm,
            "dicom": asdict(result.dicom) if result.dicom else None,
            "remarks": result.remarks,
        }
        pixels = result.pixels.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "little") + text + pixels


def unpack(message: bytes) -> Radiograph | ImageError:
    """The result behind `pack`; its pixels are a read-only view of the message."""
    end = 4 + int.from_bytes(message[:4], "little")
    header = json.loads(message[4:end])
    if "reason" in header:
        return ImageError(header["message"], header["reason"])
    dicom = header["dicom"]
    if dicom is not None:
        dicom = DicomHeader(**{**dicom, "patient_orientation": tuple(dicom["patient_orientation"])})
    pixels = np.frombuffer(message, np.uint8, offset=end).reshape(header["shape"])
    return Radiograph(pixels, header["pixel_spacing_mm"], dicom, tuple(header["remarks"]))


def serve(
    connection: Connection,
    limits: Limits,
    side_px: int | None,
    decode: Callable[[str, Limits, int | None], Radiograph | ImageError] = decode,
) -> None:
    """Answer until the other end closes. SIGALRM at its default ends the process even inside a codec that hangs."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    connection.send_bytes(READY)
    while True:
        try:
            path = os.fsdecode(connection.recv_bytes())
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        message = pack(decode(path, limits, side_px))
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            connection.send_bytes(message)
        except BrokenPipeError:
            return


def main() -> None:
    """Serve the socket named by the first argument, as the JSON in the second says."""
    settings = json.loads(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold a patient's picture
    import pydicom.pixels  # noqa: F401  before READY, so that loading it is not counted against the first file

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # codecs write about every oddity; start-up errors were written before
    serve(Connection(int(sys.argv[1])), Limits(**settings["limits"]), settings["side_px"])


if __name__ == "__main__":
    main()
