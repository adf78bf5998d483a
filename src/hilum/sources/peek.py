"""Patient, study and day of a DICOM file from its first bytes.

Ingest looks at every header once before it decodes, to know each patient's first study. Reading the four elements
here takes a tenth of the time a full parser takes; whatever is unusual is left to the full parser.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO

from hilum.errors import ImageError
from hilum.imaging import read_dicom_header

log = logging.getLogger(__name__)

HEAD_BYTES = 4096
SOP_UID, STUDY_DATE, PATIENT_ID, STUDY_UID = 0x00080018, 0x00080020, 0x00100020, 0x0020000D
WANTED = (SOP_UID, STUDY_DATE, PATIENT_ID, STUDY_UID)
EXPLICIT = b"1.2.840.10008.1.2."  # every other transfer syntax begins so; big endian and deflated are left out below
IMPLICIT, DEFLATED, BIG_ENDIAN = (b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2")
LONG_TYPES = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")  # PS3.5 7.1.2
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Peek:
    """What ties a file to its patient and study, read without its pixels; `study_day` is a day's ordinal."""

    patient_id: str
    study_id: str
    study_day: int | None


def peek(file: Path) -> Peek | None:
    """What the header says, or None when it cannot be read (decoding will say why).

    A missing study stands as the image itself, a missing patient as the study.
    """
    try:
        with file.open("rb") as stream:
            found = _quickly(stream)
        if found is None:
            header = read_dicom_header(file)
            found = {
                SOP_UID: header.sop_instance_uid or "",
                STUDY_UID: header.study_instance_uid or "",
                PATIENT_ID: header.patient_id or "",
                STUDY_DATE: header.study_date or "",
            }
    except (ImageError, OSError) as error:
        log.debug("header not readable before decoding: %s", type(error).__name__)
        return None
    study = found.get(STUDY_UID) or found.get(SOP_UID)
    return Peek(found.get(PATIENT_ID) or study, study, day_of(found.get(STUDY_DATE))) if study else None


def day_of(text: str | None) -> int | None:
    """The ordinal of YYYYMMDD, or of the old YYYY.MM.DD; None when it is not a day.

    Example:
        >>> day_of("20200102") - day_of("2020.01.01"), day_of("unknown")
        (1, None)
    """
    digits = (text or "").replace(".", "")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).toordinal() if len(digits) == 8 else None
    except ValueError:
        return None


def _quickly(stream: BinaryIO) -> dict[int, str] | None:
    """The wanted elements of a plain little endian file (PS3.5 section 7.1); None for anything unusual."""
    head = stream.read(HEAD_BYTES)
    if head[128:132] != b"DICM" or head[132:136] != b"\x02\x00\x00\x00" or head[136:138] != b"UL":
        return None
    place = 144 + int.from_bytes(head[140:144], "little")  # after the file meta group
    meta = head[144:place]
    start = meta.find(b"\x02\x00\x10\x00UI")  # Transfer Syntax UID
    if start < 0 or place > len(head):
        return None
    syntax = meta[start + 8 : start + 8 + int.from_bytes(meta[start + 6 : start + 8], "little")].strip(b"\0 ")
    if syntax in (DEFLATED, BIG_ENDIAN) or not (syntax == IMPLICIT or syntax.startswith(EXPLICIT)):
        return None
    return _elements(stream, head, place, explicit=syntax != IMPLICIT)


def _elements(stream: BinaryIO, head: bytes, place: int, explicit: bool) -> dict[int, str] | None:
    base = 0  # where `head` begins in the file
    found: dict[int, str] = {}
    while True:
        if place + 12 > base + len(head):
            stream.seek(place)
            head, base = stream.read(HEAD_BYTES), place
            if len(head) < 12:
                return found if len(head) == 0 else None
        at = place - base
        group, element = struct.unpack_from("<HH", head, at)
        tag = group << 16 | element
        if tag > STUDY_UID:
            return found
        if not explicit:
            length, body = int.from_bytes(head[at + 4 : at + 8], "little"), 8
        elif head[at + 4 : at + 6] in LONG_TYPES:
            length, body = int.from_bytes(head[at + 8 : at + 12], "little"), 12
        else:
            length, body = int.from_bytes(head[at + 6 : at + 8], "little"), 8
        if length == UNDEFINED_LENGTH:
            return None
        if tag in WANTED:
            value = head[at + body : at + body + length]
            if len(value) < length:
                stream.seek(place + body)
                value = stream.read(min(length, HEAD_BYTES))
            if not value.isascii() or b"\x1b" in value:  # a character set must be known
                return None
            found[tag] = value.decode("ascii").strip(" \0")
        place += body + length
