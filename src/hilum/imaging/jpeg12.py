"""12-bit JPEG extended (process 4), by GDCM directly: pydicom's plugins decode only the 8-bit kind."""

from __future__ import annotations

import numpy as np

from hilum.errors import ImageError


def decode_jpeg12(frame: bytes, rows: int, columns: int, name: str) -> np.ndarray:
    """Decode one gray 12-bit frame.

    Args:
        frame: a JPEG stream of precision 12 and one sample.
        rows: as the stream states.
        columns: as the stream states.
        name: the file's name for messages.

    Returns:
        (rows, columns) uint16.

    Raises:
        ImageError: GDCM cannot decode the stream.
    """
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, 0))
    buffer = image.GetBuffer()
    if buffer is None:
        raise ImageError(f"{name}: the 12-bit JPEG stream is damaged.", "unreadable")
    # GDCM hands bytes over as text.
    values = np.frombuffer(buffer.encode("utf-8", "surrogateescape"), "<u2")
    if values.size != rows * columns:
        raise ImageError(f"{name}: the 12-bit JPEG stream holds {values.size} of {rows * columns} pixels.", "truncated")
    return values.reshape(rows, columns)
