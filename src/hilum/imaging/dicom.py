"""DICOM files: parse, decode, and hand to `grayscale.render` in the standard's order.

Uncompressed, deflated, RLE, JPEG (8 and 12 bit, lossless), JPEG-LS and JPEG 2000, through permissively licensed codecs.
Nothing is allocated on a file's word alone: sizes are checked in the header and again in the compressed stream.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np

from hilum.errors import ImageError
from hilum.imaging.codestream import frame_size, jpeg_precision
from hilum.imaging.grayscale import render
from hilum.imaging.header import HEADER_TAGS, DicomHeader, header_of
from hilum.imaging.jpeg12 import decode_jpeg12
from hilum.imaging.limits import Limits
from hilum.imaging.luma import rgb_to_gray
from hilum.imaging.presentation import rendering_of, row_spacing_mm
from hilum.imaging.rle import decode_rle

PIXEL_TAGS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
)

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
UNCOMPRESSED = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

# Which of pydicom's decoding plugins read a transfer syntax (PS3.5 A.4), best first. All permissively licensed.
DECODERS = {
    "1.2.840.10008.1.2.4.50": ("pillow", "gdcm"),  # JPEG baseline, 8 bit
    "1.2.840.10008.1.2.4.51": ("pillow", "gdcm"),  # JPEG extended; 12 bit is decoded by `jpeg12`
    "1.2.840.10008.1.2.4.57": ("gdcm",),  # JPEG lossless, process 14
    "1.2.840.10008.1.2.4.70": ("gdcm",),  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": ("pyjpegls", "gdcm"),  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": ("pyjpegls", "gdcm"),  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90": ("pylibjpeg", "gdcm"),  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": ("pylibjpeg", "gdcm"),  # JPEG 2000
    "1.2.840.10008.1.2.4.201": ("pylibjpeg",),  # high-throughput JPEG 2000, lossless
    "1.2.840.10008.1.2.4.202": ("pylibjpeg",),
    "1.2.840.10008.1.2.4.203": ("pylibjpeg",),
}
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")  # (7FE0,0010), little and big endian


def is_dicom(content: bytes) -> bool:
    """Whether bytes look like DICOM: the mark after the preamble, or a data set that begins with group 0002 or 0008."""
    if content[128:132] == b"DICM":
        return True
    if len(content) < 8:
        return False
    vr = content[4:6]
    explicit = vr.isalpha() and vr.isupper()
    if content[:2] in (b"\x02\x00", b"\x08\x00") and content[3] == 0:
        return explicit or struct.unpack("<I", content[4:8])[0] <= len(content)
    return content[:3] == b"\x00\x08\x00" and explicit


def read_dataset(
    content: bytes, keywords: tuple[str, ...], limits: Limits, name: str, *, with_pixels: bool = True
) -> Any:
    """Parse only the named tags. Deflated data sets are inflated, up to the limit of bytes.

    Returns:
        a pydicom FileDataset whose `file_meta.TransferSyntaxUID` is set.

    Raises:
        ImageError: no tag of an image object is found, or the inflated data set is too large.
    """
    from pydicom import dcmread
    from pydicom.dataset import FileMetaDataset

    content = _inflated(content, limits, name)
    with quiet():
        dataset = dcmread(
            BytesIO(content), force=True, stop_before_pixels=not with_pixels, specific_tags=list(keywords)
        )
    # pydicom returns what it has when a file ends inside its pixel data: nothing.
    if with_pixels and "PixelData" not in dataset and any(tag in content for tag in PIXEL_DATA_TAGS):
        raise ImageError(f"{name}: the file ends inside its pixel data. Copy it again from its source.", "truncated")
    if not any(keyword in dataset for keyword in ("SOPClassUID", "SOPInstanceUID", "Rows", "PixelData")):
        raise ImageError(
            f"{name}: expected a DICOM image, found none of its tags. The file may be garbage.", "not_an_image"
        )
    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = (
            IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE if little else EXPLICIT_BIG
        )
    return dataset


def read_dicom(content: bytes, limits: Limits, name: str) -> tuple[np.ndarray, float | None, DicomHeader, list[str]]:
    """Decode and render one DICOM file.

    Args:
        content: the whole file.
        limits: most pixels, and most bytes inflated.
        name: the file's name for messages.

    Returns:
        (H, W) uint8 pixels, the row spacing in mm or None, the header, and remarks.

    Raises:
        ImageError: the pixels cannot be read, or cannot be trusted.
    """
    with quiet():
        dataset = read_dataset(content, (*HEADER_TAGS, *PIXEL_TAGS), limits, name)
        remarks: list[str] = []
        _check_shape(dataset, limits, name)
        stored = _decode(dataset, limits, name)
        if stored.ndim == 3:
            pixels = rgb_to_gray(_color_to_bytes(stored, dataset))
            if dataset.get("PresentationLUTShape") == "INVERSE":
                pixels = 255 - pixels
        else:
            pixels, more = render(stored, rendering_of(dataset, remarks))
            remarks += more
        spacing = row_spacing_mm(dataset, remarks)
        return pixels, spacing, header_of(dataset), remarks


@contextmanager
def quiet() -> Iterator[None]:
    """pydicom warns of what it repairs and logs what a plugin could not do; what matters is raised or remarked here."""
    logger = logging.getLogger("pydicom")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _inflated(content: bytes, limits: Limits, name: str) -> bytes:
    """The same file with a deflated data set (PS3.5 A.5) made plain."""
    start = 132 if content[128:132] == b"DICM" else 0
    uid = DEFLATED.encode()
    if uid not in content[start : start + 65536]:
        return content
    # (0002,0000) UL, 4 bytes: the length of the file meta information that follows (PS3.10 7.1).
    if content[start : start + 8] != b"\x02\x00\x00\x00UL\x04\x00":
        raise ImageError(f"{name}: deflated, but without the length of its file meta information.", "unreadable")
    end = start + 12 + int(struct.unpack("<I", content[start + 8 : start + 12])[0])
    meta = content[:end]
    if uid not in meta:
        return content
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(content[end:], limits.bytes)
    except zlib.error as error:
        raise ImageError(f"{name}: the deflated data set is damaged ({error}).", "unreadable") from error
    if inflater.unconsumed_tail:
        raise ImageError(f"{name}: inflates to more than {limits.bytes:,} bytes (Limits.bytes).", "too_large")
    if not inflater.eof:
        raise ImageError(f"{name}: the file ends inside its deflated data set. Copy it again.", "truncated")
    return meta.replace(uid, EXPLICIT_LITTLE.encode().ljust(len(uid), b"\0")) + plain


def _check_shape(dataset: Any, limits: Limits, name: str) -> None:
    """Refuse what is no single picture of allowed size; fill in what careless writers leave out."""
    if "PixelData" not in dataset or not dataset.PixelData:
        kind = (
            "floating-point pixel data"
            if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
            else "no pixel data"
        )
        raise ImageError(
            f"{name}: {kind} in this DICOM object; expected an image with Pixel Data (7FE0,0010).", "no_pixels"
        )
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise ImageError(
            f"{name}: {frames} frames; expected a single radiograph. Export the frame you want.", "multi_frame"
        )
    dataset.NumberOfFrames = 1
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    if rows < 1 or columns < 1:
        raise ImageError(f"{name}: Rows is {rows} and Columns is {columns}; expected at least 1 each.", "unreadable")
    if samples not in (1, 3):
        raise ImageError(f"{name}: Samples per Pixel is {samples}; expected 1 or 3.", "unreadable")
    if rows * columns * samples > limits.pixels:
        size = f"{rows} x {columns} x {samples}"
        raise ImageError(f"{name}: {size} pixels; at most {limits.pixels:,} are decoded (Limits.pixels).", "too_large")
    allocated = int(dataset.get("BitsAllocated") or 0)
    if allocated not in (8, 16, 32):
        raise ImageError(f"{name}: Bits Allocated is {allocated}; expected 8, 16 or 32.", "unreadable")
    dataset.SamplesPerPixel = samples
    dataset.BitsStored = int(dataset.get("BitsStored") or allocated)
    if not 1 <= dataset.BitsStored <= allocated:
        raise ImageError(f"{name}: Bits Stored is {dataset.BitsStored}; expected 1 to {allocated}.", "unreadable")
    high = dataset.get("HighBit")
    dataset.HighBit = (
        high if isinstance(high, int) and dataset.BitsStored - 1 <= high < allocated else dataset.BitsStored - 1
    )
    dataset.PixelRepresentation = int(dataset.get("PixelRepresentation") or 0)
    if samples == 3:
        dataset.PlanarConfiguration = int(dataset.get("PlanarConfiguration") or 0)
    elif dataset.get("PhotometricInterpretation") not in ("MONOCHROME1", "PALETTE COLOR"):
        dataset.PhotometricInterpretation = "MONOCHROME2"


def _decode(dataset: Any, limits: Limits, name: str) -> np.ndarray:
    """Stored values: (H, W) integers, or (H, W, 3) for color."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder
    from pydicom.pixels.processing import apply_color_lut

    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax in UNCOMPRESSED:
        stored = _decode_plain(dataset, get_decoder(syntax), name)
    elif syntax == RLE:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        shape = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
        stored = decode_rle(frame, shape, dataset.BitsAllocated, bool(dataset.PixelRepresentation), name)
        stored = _drop_unused_bits(stored, dataset)
        if dataset.SamplesPerPixel == 3 and dataset.get("PhotometricInterpretation", "").startswith("YBR"):
            from pydicom.pixels.processing import convert_color_space

            stored = convert_color_space(stored, "YBR_FULL", "RGB")
    elif syntax in DECODERS:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        _check_frame(frame, dataset, name)
        if syntax == JPEG_EXTENDED and dataset.SamplesPerPixel == 1 and (jpeg_precision(frame) or 0) > 8:
            stored = decode_jpeg12(frame, dataset.Rows, dataset.Columns, name)
        else:
            stored = _decode_compressed(dataset, get_decoder(syntax), DECODERS[syntax], name)
    else:
        raise ImageError(
            f"{name}: transfer syntax {syntax} cannot be read. Convert the file, for example with gdcmconv.",
            "unsupported_syntax",
        )
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    return stored


def _decode_plain(dataset: Any, decoder: Any, name: str) -> np.ndarray:
    expected = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        expected = expected * 2 // 3
    if len(dataset.PixelData) < expected:
        raise ImageError(
            f"{name}: {len(dataset.PixelData):,} bytes of pixel data; expected {expected:,}. Copy the file again.",
            "truncated",
        )
    # pydicom clears bits above Bits Stored; with a higher High Bit the value sits further up (PS3.5 8.1.1).
    shift = dataset.HighBit + 1 - dataset.BitsStored
    bits_stored, dataset.BitsStored = dataset.BitsStored, dataset.HighBit + 1
    stored, _ = decoder.as_array(dataset, index=0, raw=False, allow_excess_frames=False)
    dataset.BitsStored = bits_stored
    return np.asarray(stored >> shift if shift else stored)


def _check_frame(frame: bytes, dataset: Any, name: str) -> None:
    """Compare the size the compressed stream states with the header's, before a codec allocates it."""
    size = frame_size(frame)
    if size is None:
        raise ImageError(
            f"{name}: the compressed pixel data does not begin like a JPEG or JPEG 2000 stream.", "unreadable"
        )
    # Codecs differ in what they make of a stream cut short; some fill the rest with gray and say nothing.
    if b"\xff\xd9" not in frame[-16:]:
        raise ImageError(f"{name}: the compressed pixel data has no end mark; it was cut short.", "truncated")
    if size != (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel):
        header = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
        raise ImageError(
            f"{name}: the header says rows, columns, samples {header}; the compressed stream says {size}.", "unreadable"
        )


def _decode_compressed(dataset: Any, decoder: Any, plugins: tuple[str, ...], name: str) -> np.ndarray:
    failures = []
    for plugin in plugins:
        try:
            stored, _ = decoder.as_array(dataset, index=0, raw=False, decoding_plugin=plugin)
            return np.asarray(stored)
        except Exception as error:  # the boundary to codecs: each fails in its own way, and the next may succeed
            failures.append(f"{plugin}: {error}")
    raise ImageError(f"{name}: no decoder can read the pixel data. " + " | ".join(failures), "unreadable")


def _drop_unused_bits(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Clear bits above High Bit and drop those below the value, keeping the sign (PS3.5 8.1.1)."""
    above = dataset.BitsAllocated - 1 - dataset.HighBit
    below = dataset.HighBit + 1 - dataset.BitsStored
    if above:
        stored = (stored << above) >> above
    return stored >> below if below else stored


def _color_to_bytes(color: np.ndarray, dataset: Any) -> np.ndarray:
    """(H, W, 3) to uint8 by the bits stored; VOI transforms apply to monochrome only (PS3.3 C.11.2)."""
    if color.dtype == np.uint8:
        return color
    bits = (
        8 * color.dtype.itemsize if dataset.get("PhotometricInterpretation") == "PALETTE COLOR" else dataset.BitsStored
    )
    return (np.clip(color, 0, None).astype(np.float64) * 255.0 / (2**bits - 1) + 0.5).astype(np.uint8)
