"""PNG, JPEG, TIFF and BMP to 8-bit gray.

8-bit gray is taken as it is. Color is its common channel where all are equal, else luma. Alpha is laid on black: air is
black on a radiograph. CMYK goes through RGB. The camera's rotation (EXIF, TIFF orientation) is applied.

16-bit gray is scaled by its data's bit depth, the smallest 2**n - 1 (n from 8 to 16) that no value exceeds: datasets
such as PadChest hold 12-bit data in 16-bit files, which the full range of 65535 would show nearly black. Nothing is
clipped, and, unlike after a stretch from minimum to maximum, exposures stay comparable.

16-bit color, and 16-bit gray with alpha, are decoded to their top byte. Data that leave the upper half of that byte
empty (12 bits in 16) are refused, for what is left of them would be a few nearly black levels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hilum.errors import ImageError
from hilum.imaging.limits import Limits
from hilum.imaging.luma import rgb_to_gray

STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
PNG_DEPTH = 24  # in the header chunk, which is always first (ISO/IEC 15948, 11.2.2)
TIFF_DEPTH = 258
TIFF_PHOTOMETRIC = 262
WHITE_IS_ZERO = 0
WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def is_raster(content: bytes) -> bool:
    """Whether bytes begin like a PNG, JPEG, TIFF or BMP file."""
    return content.startswith(STARTS)


def read_raster(content: bytes, limits: Limits, name: str) -> np.ndarray:
    """Decode a PNG, JPEG, TIFF or BMP file.

    Args:
        content: the whole file.
        limits: most pixels.
        name: the file's name for messages.

    Returns:
        (H, W) uint8.

    Raises:
        ImageError: damaged, too large, or of several pages.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size, checked below, and of damaged metadata
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                _check(image, limits, name)
                tags = getattr(image, "tag_v2", {})
                white_is_zero = tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO
                is_cut = content[PNG_DEPTH] == 16 if image.format == "PNG" else 16 in _depths(tags)
                image.load()
                if is_cut and len(image.getbands()) > 1:
                    _check_depth(image, name)
                upright = ImageOps.exif_transpose(image)
                if upright.mode in WIDE_MODES:
                    return _wide_to_bytes(np.asarray(upright), white_is_zero)
                return _to_gray(upright)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: too many pixels ({error}).", "too_large") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: begins like an image, but its header cannot be read. The file is damaged."
        ) from error
    except (OSError, SyntaxError) as error:
        reason = "truncated" if "truncated" in str(error).lower() or not str(error) else "unreadable"
        raise ImageError(f"{name}: damaged ({error}). Copy it again from its source.", reason) from error


def _check(image: Image.Image, limits: Limits, name: str) -> None:
    width, height = image.size
    if width * height * len(image.getbands()) > limits.pixels:
        size = f"{height} x {width} x {len(image.getbands())}"
        raise ImageError(f"{name}: {size} pixels; at most {limits.pixels:,} are decoded (Limits.pixels).", "too_large")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO: a JPEG with a camera's preview behind the picture
        raise ImageError(
            f"{name}: {frames} pages; expected a single radiograph. Export the page you want.", "multi_frame"
        )


def _depths(tags: Mapping[int, Any]) -> tuple[int, ...]:
    depths = tags.get(TIFF_DEPTH, ())
    return depths if isinstance(depths, tuple) else (depths,)


def _check_depth(image: Image.Image, name: str) -> None:
    """Refuse what the decoder's cut from 16 bits to the top byte leaves nearly black."""
    top = int(np.asarray(image.convert("RGB")).max())
    if top < 128:
        raise ImageError(
            f"{name}: 16 bits a channel, of which the values use {top.bit_length() + 8} at most: reading them would keep "
            f"{top + 1} levels. Save the picture as 16-bit gray without alpha, or as 8-bit.",
            "unsupported_depth",
        )


def _to_gray(image: Image.Image) -> np.ndarray:
    if image.mode == "L" and "transparency" not in image.info:
        return np.array(image)
    if image.mode == "1":
        return np.array(image.convert("L"))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        color = np.asarray(image.convert("RGBA")).astype(np.uint16)
        opaque = (color[..., :3] * color[..., 3:] + 127) // 255
        return rgb_to_gray(opaque.astype(np.uint8))
    return rgb_to_gray(np.asarray(image.convert("RGB")))


def _wide_to_bytes(values: np.ndarray, white_is_zero: bool) -> np.ndarray:
    """16 or 32-bit integers and floats to bytes.

    Integers are scaled by the data's bit depth, after the lowest is taken to 0 where it is negative. Floats within
    [0, 1] are shares of white; others are stretched from lowest to highest. Values that are not numbers are black.
    """
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        if not finite.any():
            raise ImageError("the floating-point picture holds no finite value.", "no_pixels")
        low, high = float(values[finite].min()), float(values[finite].max())
        if low >= 0.0 and high <= 1.0:
            low, high = 0.0, 1.0
        shares = (values.astype(np.float64) - low) / ((high - low) or 1.0)
        gray = np.floor(np.where(finite, np.clip(shares, 0.0, 1.0), 0.0) * 255.0 + 0.5).astype(np.uint8)
    else:
        whole = values.astype(np.int64)
        whole -= min(int(whole.min()), 0)
        top = (1 << max(int(whole.max()).bit_length(), 8)) - 1
        gray = ((whole * 255 + top // 2) // top).astype(np.uint8)
    return 255 - gray if white_is_zero else gray
