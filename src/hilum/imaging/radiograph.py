"""The one way from a file to pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np

from hilum.errors import ImageError
from hilum.imaging.dicom import is_dicom, read_dicom
from hilum.imaging.files import open_file
from hilum.imaging.header import DicomHeader
from hilum.imaging.jsrt import JSRT_SPACING_MM, is_jsrt, read_jsrt
from hilum.imaging.limits import Limits
from hilum.imaging.raster import is_raster, read_raster
from hilum.imaging.resize import resize_longer_side

# What people mistake for a picture, by how it begins.
LOOKS_LIKE = (
    (b"<", "an HTML or XML page; a download may have failed"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a Git LFS pointer; run 'git lfs pull'"),
)


@dataclass(frozen=True)
class Radiograph:
    """Pixels to be trusted, and what the file said about them.

    Attributes:
        pixels: (H, W) uint8, white is dense, read-only.
        pixel_spacing_mm: distance between the rows of `pixels`, or None where the file does not say.
        dicom: the allow-listed tags of a DICOM file; None for other formats.
        remarks: what the file asked for that could not be done, such as "window ... is degenerate: not used".
    """

    pixels: np.ndarray
    pixel_spacing_mm: float | None = None
    dicom: DicomHeader | None = None
    remarks: tuple[str, ...] = ()

    def shrunk(self, side_px: int) -> Radiograph:
        """The same with the longer side at most `side_px`, and the spacing of the new rows."""
        pixels = resize_longer_side(self.pixels, side_px)
        if pixels is self.pixels:
            return self
        pixels.flags.writeable = False
        spacing = self.pixel_spacing_mm
        if spacing is not None:
            spacing *= self.pixels.shape[0] / pixels.shape[0]
        return replace(self, pixels=pixels, pixel_spacing_mm=spacing)


def read_image(path: str | os.PathLike[str], *, limits: Limits = Limits()) -> Radiograph:
    """Decode a radiograph in this process. The format is told by the content, whatever the name's ending.

    DICOM (PS3.4 N.2): decode, modality LUT, VOI LUT or window, inversion of MONOCHROME1, 8 bit. PNG, JPEG, TIFF and
    BMP: see `raster`. JSRT raw: see `jsrt`. Foreign bytes can crash or hang a codec: `DecodePool` survives that.

    Args:
        path: the file.
        limits: most pixels and bytes; seconds are not kept in-process.

    Raises:
        ImageError: with `reason` missing, is_directory, empty, too_large, not_an_image, truncated, no_pixels,
            multi_frame, unsupported_syntax, unsupported_depth or unreadable.

    Example:
        >>> read_image("no/such/file.dcm")
        Traceback (most recent call last):
        ...
        hilum.errors.ImageError: no/such/file.dcm: no such file.
    """
    name = os.fspath(path)
    content = open_file(path, limits)
    try:
        radiograph = _read(content, limits, name)
    except ImageError:
        raise
    except EOFError as error:
        raise ImageError(
            f"{name}: the file ends early ({error}). Copy it again from its source.", "truncated"
        ) from error
    except MemoryError as error:
        raise ImageError(f"{name}: not enough memory to decode the picture.", "too_large") from error
    except Exception as error:  # the boundary to parsers and codecs of foreign bytes
        raise ImageError(f"{name}: cannot be decoded ({type(error).__name__}: {error}).", "unreadable") from error
    radiograph.pixels.flags.writeable = False
    return radiograph


def _read(content: bytes, limits: Limits, name: str) -> Radiograph:
    if is_raster(content) and content[128:132] != b"DICM":  # a DICOM preamble may pose as TIFF (PS3.10 7.1)
        return Radiograph(read_raster(content, limits, name))
    if is_dicom(content):
        pixels, spacing, header, remarks = read_dicom(content, limits, name)
        return Radiograph(pixels, spacing, header, tuple(remarks))
    if is_jsrt(content):
        return Radiograph(read_jsrt(content), JSRT_SPACING_MM)
    hint = next(
        (f" It looks like {what}." for start, what in LOOKS_LIKE if content.lstrip()[: len(start)] == start), ""
    )
    raise ImageError(
        f"{name}: expected DICOM, PNG, JPEG, TIFF, BMP or JSRT raw, got bytes {content[:8].hex(' ')}.{hint}",
        "not_an_image",
    )
