"""DICOM run-length decoding (PS3.5 Annex G) that stops at the size the header states: no run can fill the memory."""

from __future__ import annotations

import struct

import numpy as np

from hilum.errors import ImageError


def decode_rle(frame: bytes, shape: tuple[int, int, int], bits_allocated: int, signed: bool, name: str) -> np.ndarray:
    """Decode one RLE frame.

    Args:
        frame: header of 16 numbers, then the byte planes of each sample, most significant first.
        shape: rows, columns, samples.
        bits_allocated: 8, 16 or 32.
        signed: whether stored values are two's complement.
        name: the file's name for messages.

    Returns:
        (H, W) integers for one sample, else (H, W, samples).

    Raises:
        ImageError: the number of planes is wrong, or a plane ends early.
    """
    rows, columns, samples = shape
    width = bits_allocated // 8
    if len(frame) < 64:
        raise ImageError(f"{name}: the RLE frame has {len(frame)} bytes; expected a header of 64.", "truncated")
    count, *offsets = struct.unpack("<16I", frame[:64])
    if count != samples * width:
        raise ImageError(f"{name}: the RLE frame has {count} byte planes; expected {samples * width}.", "unreadable")
    ends = [*offsets[1:count], len(frame)]
    planes = np.empty((samples, width, rows * columns), np.uint8)
    for place, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        plane = _decode_plane(frame[start:end], rows * columns)
        if len(plane) < rows * columns:
            raise ImageError(f"{name}: RLE plane {place} has {len(plane)} of {rows * columns} bytes.", "truncated")
        planes[place // width, place % width] = np.frombuffer(plane, np.uint8)
    values = np.ascontiguousarray(planes.transpose(2, 0, 1)).view(
        f">{'i' if signed else 'u'}{width}"
    )  # (H * W, samples, 1)
    values = values.astype(values.dtype.newbyteorder("="))
    return values.reshape(rows, columns) if samples == 1 else values.reshape(rows, columns, samples)


def _decode_plane(coded: bytes, size: int) -> bytes:
    """PackBits (G.3.2): n < 128 is followed by n + 1 literal bytes, n > 128 by one byte to repeat 257 - n times."""
    plane = bytearray()
    place, last = 0, len(coded) - 1
    while place < last and len(plane) < size:
        code = coded[place]
        if code < 128:
            plane += coded[place + 1 : place + 2 + code]
            place += code + 2
        else:
            if code > 128:
                plane += coded[place + 1 : place + 2] * (257 - code)
                place += 1
            place += 1
    return bytes(plane[:size])
