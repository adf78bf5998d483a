"""Whatever the bytes: pixels or a named error, never another exception, never a dead run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless
from tests.imaging.dicom_files import UNCOMPRESSED, radiograph_dataset, save, save_by_gdcm, save_jpeg_baseline

from hilum.errors import ImageError
from hilum.imaging import DecodePool, Limits, Radiograph, read_dicom_header, read_image

SMALL = Limits(pixels=1_000_000, bytes=10_000_000, seconds=10)
STARTS = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\0",
    b"BM",
    bytes(128) + b"DICM",
    bytes(128) + b"DICM\x02\0\0\0UL\x04\0\x1a\0\0\0\x02\0\x10\0UI\x12\0",
    b"\x08\0\x16\0UI\x04\0",
    b"\x08\0\x05\0\x04\0\0\0",
    b"\0\x08\0\x16UI\0\x04",
]
QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytes")


@pytest.fixture(scope="module")
def decode_pool() -> Iterator[DecodePool]:
    with DecodePool(1, SMALL) as decode_pool:
        yield decode_pool


@pytest.fixture(scope="module")
def originals(folder: Path) -> list[bytes]:
    """One small valid file of each kind."""
    gray = (np.add.outer(np.arange(48), np.arange(40)) * 50 % 4096).astype(np.uint16)
    files = []
    for image_format in ("PNG", "JPEG", "TIFF", "BMP"):
        file = BytesIO()
        Image.fromarray(gray.astype(np.uint8)).save(file, image_format)
        files.append(file.getvalue())
    for syntax in UNCOMPRESSED.values():
        files.append(save(radiograph_dataset(gray, 12), folder / "a.dcm", syntax).read_bytes())
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        dataset = radiograph_dataset(gray, 12)
        dataset.compress(syntax, generate_instance_uid=False)
        files.append(save(dataset, folder / "a.dcm").read_bytes())
    files.append(save_jpeg_baseline(gray.astype(np.uint8), folder / "a.dcm").read_bytes())
    files.append(save_by_gdcm(gray, folder / "a.dcm", "JPEGLosslessProcess14_1", 12).read_bytes())
    return files


def is_honest(result: Radiograph | ImageError, path: Path) -> bool:
    if isinstance(result, ImageError):
        return bool(result.reason) and str(path) in str(result)
    return result.pixels.dtype == np.uint8 and result.pixels.ndim == 2 and 0 < result.pixels.size <= SMALL.pixels


@QUICK
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=600))
def test_any_bytes_give_pixels_or_a_named_error(folder: Path, start: bytes, rest: bytes) -> None:
    path = folder / "any"
    path.write_bytes(start + rest)
    try:
        result: Radiograph | ImageError = read_image(path, limits=SMALL)
    except ImageError as error:
        result = error
    assert is_honest(result, path)
    with suppress(ImageError):
        read_dicom_header(path, limits=SMALL)


@QUICK
@given(data=st.data())
def test_damaged_files_give_pixels_or_a_named_error(
    folder: Path, originals: list[bytes], decode_pool: DecodePool, data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(originals)))
    for _ in range(data.draw(st.integers(1, 6))):
        # Headers are short and come first: hit them as often as the pixels.
        last = data.draw(st.sampled_from([len(content) - 1, min(len(content) - 1, 900)]))
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(1, len(content))) :]
    path = folder / "damaged"
    path.write_bytes(content)
    [(_, result)] = decode_pool.imap([path])
    assert is_honest(result, path)
    assert getattr(result, "reason", "") != "timeout"


def test_every_original_is_valid(folder: Path, originals: list[bytes], decode_pool: DecodePool) -> None:
    for number, content in enumerate(originals):
        (folder / f"{number}").write_bytes(content)
    results = [result for _, result in decode_pool.imap([folder / f"{n}" for n in range(len(originals))])]
    assert all(isinstance(result, Radiograph) and result.pixels.shape == (48, 40) for result in results), results
