"""The size a compressed picture states, read without decoding it."""

from __future__ import annotations

import struct

# Start-of-frame markers: JPEG (ISO/IEC 10918-1 B.1.1.3; C4, C8 and CC are other things) and JPEG-LS (ISO/IEC 14495-1).
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}


def frame_size(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples of a JPEG, JPEG-LS or JPEG 2000 stream, or None when it is none of them."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        return _jpeg2000_size(frame, 0)
    if frame[4:8] == b"jP  ":
        start = frame.find(b"\xff\x4f\xff\x51")
        return _jpeg2000_size(frame, start) if start >= 0 else None
    found = _start_of_frame(frame)
    return found[1:] if found else None


def jpeg_precision(frame: bytes) -> int | None:
    """Bits of a sample of a JPEG or JPEG-LS stream."""
    found = _start_of_frame(frame)
    return found[0] if found else None


def _start_of_frame(frame: bytes) -> tuple[int, int, int, int] | None:
    """Precision, rows, columns, samples."""
    if frame[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 10 <= len(frame):
        if frame[place] != 0xFF:
            return None
        marker = frame[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
        elif marker in START_OF_FRAME:
            precision, rows, columns, samples = struct.unpack(">BHHB", frame[place + 4 : place + 10])
            return precision, rows, columns, samples
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers that stand alone
            place += 2
        else:
            place += 2 + int(struct.unpack(">H", frame[place + 2 : place + 4])[0])
    return None


def _jpeg2000_size(frame: bytes, start: int) -> tuple[int, int, int] | None:
    """The SIZ segment (ISO/IEC 15444-1 A.5.1): grid size less its offset, and the number of components."""
    if len(frame) < start + 42:
        return None
    width, height, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
    (samples,) = struct.unpack(">H", frame[start + 40 : start + 42])
    return height - top, width - left, samples
