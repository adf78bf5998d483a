"""What a DICOM data set says about showing its pixels: LUTs, windows, inversion, padding and spacing."""

from __future__ import annotations

from typing import Any

import numpy as np

from hilum.imaging.grayscale import Lut, Rendering, Window


def rendering_of(dataset: Any, remarks: list[str]) -> Rendering:
    """How the file wants its stored values shown.

    Args:
        dataset: a parsed pydicom data set with `PixelRepresentation` filled in.
        remarks: gets what the file asks for that cannot be done.
    """
    signed = bool(dataset.PixelRepresentation)
    little = dataset.original_encoding[1] is not False
    modality = _luts(dataset, "ModalityLUTSequence", signed, little)
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
    if slope == 0.0:
        remarks.append("rescale slope 0: not used")
        slope, intercept = 1.0, 0.0
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        remarks.append(f"VOI LUT function {function}: read as LINEAR")
        function = "LINEAR"
    centers, widths = _numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth")
    windows = tuple(Window(center, width, function) for center, width in zip(centers, widths, strict=False))
    # A VOI LUT and a window are alternatives (C.11.2); a table is the vendor's own curve, so it goes first.
    output_signed = (signed and slope >= 0) or intercept < 0
    voi: tuple[Lut | Window, ...] = (*_luts(dataset, "VOILUTSequence", output_signed, little), *windows)
    return Rendering(
        slope=slope,
        intercept=intercept,
        modality_lut=modality[0] if modality else None,
        voi=voi,
        inverted=dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE",
        padding=_padding(dataset, signed),
    )


def _luts(dataset: Any, keyword: str, signed: bool, little: bool) -> tuple[Lut, ...]:
    """The tables of a LUT sequence; items without data are passed over."""
    luts = []
    for item in dataset.get(keyword) or ():
        descriptor, table = item.get("LUTDescriptor"), item.get("LUTData")
        if descriptor is None or table is None or len(descriptor) != 3:
            continue
        count, first, bits = (int(number) for number in descriptor)
        count = count or 65536  # C.11.1.1.1: 0 means 2**16
        if signed and first > 32767:
            first -= 65536  # written as US though the input is signed
        if isinstance(table, bytes):
            word = "u1" if bits <= 8 and len(table) in (count, count + 1) else "<u2" if little else ">u2"
            table = np.frombuffer(table[: len(table) // np.dtype(word).itemsize * np.dtype(word).itemsize], word)
        entries = np.atleast_1d(np.asarray(table, np.float64))[:count]
        if len(entries) and 1 <= bits <= 16:
            luts.append(Lut(first, entries, bits))
    return tuple(luts)


def _padding(dataset: Any, signed: bool) -> tuple[int, int] | None:
    value, limit = dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return None
    other = limit if isinstance(limit, int) else value
    value, other = ((v - 65536 if signed and v > 32767 else v) for v in (value, other))
    return min(value, other), max(value, other)


def _numbers(dataset: Any, keyword: str) -> list[float]:
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    parts = [value] if isinstance(value, (str, int, float)) or not hasattr(value, "__iter__") else list(value)
    return [float(part) for part in parts]


def _number(dataset: Any, keyword: str, default: float) -> float:
    numbers = [number for number in _numbers(dataset, keyword) if np.isfinite(number)]
    return numbers[0] if numbers else default


def row_spacing_mm(dataset: Any, remarks: list[str]) -> float | None:
    """Distance between rows: Pixel Spacing, else that at the detector or film (PS3.3 10.7.1.1)."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = _numbers(dataset, keyword)
        if len(spacing) == 2 and all(np.isfinite(s) and s > 0 for s in spacing):
            if abs(spacing[0] - spacing[1]) > 0.01 * spacing[0]:
                remarks.append(f"pixels are not square: {spacing[0]:g} x {spacing[1]:g} mm")
            return spacing[0]
    return None
