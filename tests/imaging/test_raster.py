"""PNG, JPEG, TIFF, BMP and JSRT files to gray."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hilum.errors import ImageError
from hilum.imaging import Limits, read_image

GRAY = (np.add.outer(np.arange(30) * 5, np.arange(20) * 5)).astype(np.uint8)  # (30, 20), 0 to 240


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def reason(path: Path, **limits: float) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, limits=Limits(**limits))
    return caught.value.reason


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp"])
def test_8_bit_gray_is_taken_as_it_is(tmp_path: Path, suffix: str) -> None:
    radiograph = read_image(saved(Image.fromarray(GRAY), tmp_path / f"a.{suffix}"))
    assert np.array_equal(radiograph.pixels, GRAY)
    assert radiograph.pixels.dtype == np.uint8
    assert radiograph.pixel_spacing_mm is None
    assert radiograph.dicom is None


def test_misleading_extension_still_decodes(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    Image.fromarray(GRAY).save(path, "PNG")
    assert np.array_equal(read_image(path).pixels, GRAY)


def test_gray_stored_as_rgb_keeps_its_values_and_color_gives_luma(tmp_path: Path) -> None:
    assert np.array_equal(read_image(saved(Image.fromarray(GRAY).convert("RGB"), tmp_path / "a.png")).pixels, GRAY)
    color = Image.new("RGB", (2, 1), (100, 200, 50))
    # 0.299 * 100 + 0.587 * 200 + 0.114 * 50 = 153
    assert read_image(saved(color, tmp_path / "b.png")).pixels.tolist() == [[153, 153]]


def test_palette_gives_the_gray_of_its_colors(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([0, 0, 0, 80, 80, 80, 255, 255, 255])
    assert read_image(saved(image, tmp_path / "a.png")).pixels.tolist() == [[0, 80, 255]]


def test_alpha_is_laid_on_black(tmp_path: Path) -> None:
    rgba = np.array([[[200, 200, 200, 255], [200, 200, 200, 0], [200, 200, 200, 128]]], np.uint8)
    assert read_image(saved(Image.fromarray(rgba), tmp_path / "a.png")).pixels.tolist() == [[200, 0, 100]]
    la = Image.fromarray(rgba[..., [0, 3]], "LA")
    assert read_image(saved(la, tmp_path / "b.png")).pixels.tolist() == [[200, 0, 100]]


def test_transparent_gray_level_of_a_png_is_black(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.array([[9, 200]], np.uint8)), tmp_path / "a.png", transparency=200)
    assert read_image(path).pixels.tolist() == [[9, 0]]


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 255, 0]], np.uint8)).convert("1")
    assert read_image(saved(image, tmp_path / "a.png")).pixels.tolist() == [[0, 255, 0]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_gray_uses_the_full_range_without_saturation(tmp_path: Path, suffix: str) -> None:
    wide = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    path = saved(Image.fromarray(wide), tmp_path / f"a.{suffix}")
    assert read_image(path).pixels.ravel().tolist() == list(range(256))


def test_12_bit_data_in_a_16_bit_png_is_scaled_by_its_own_depth(tmp_path: Path) -> None:
    wide = np.array([[0, 1000, 2048, 4000]], np.uint16)
    pixels = read_image(saved(Image.fromarray(wide), tmp_path / "a.png")).pixels
    assert pixels.tolist() == [[round(v * 255 / 4095) for v in (0, 1000, 2048, 4000)]]


def test_8_bit_data_in_a_16_bit_png_is_not_stretched(tmp_path: Path) -> None:
    wide = np.array([[0, 10, 100]], np.uint16)
    assert read_image(saved(Image.fromarray(wide), tmp_path / "a.png")).pixels.tolist() == [[0, 10, 100]]


def wide_png(path: Path, values: np.ndarray) -> Path:
    """A 16-bit PNG of (H, W, 2) gray and alpha, or (H, W, 3) color."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, bands = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def test_16_bit_color_keeps_its_top_byte(tmp_path: Path) -> None:
    values = np.repeat(np.array([[[0], [257 * 100], [65535]]], np.uint16), 3, axis=2)
    assert read_image(wide_png(tmp_path / "a.png", values)).pixels.tolist() == [[0, 100, 255]]


@pytest.mark.parametrize("bands", [2, 3])
def test_12_bit_data_in_16_bit_color_or_alpha_is_refused_rather_than_shown_black(tmp_path: Path, bands: int) -> None:
    values = np.full((4, 5, bands), 4095, np.uint16)
    values[..., 1:2] = 65535 if bands == 2 else 4095  # alpha is opaque
    path = wide_png(tmp_path / "a.png", values)
    assert reason(path) == "unsupported_depth"
    with pytest.raises(ImageError, match=r"16 bits a channel, of which the values use 12 at most: .* 16 levels"):
        read_image(path)


def test_float_tiff_in_the_unit_range_is_a_share_of_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32))
    assert read_image(saved(image, tmp_path / "a.tiff")).pixels.tolist() == [[0, 128, 255, 0]]


def test_other_float_tiff_is_stretched(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[-1000.0, 0.0, 1000.0]], np.float32))
    assert read_image(saved(image, tmp_path / "a.tiff")).pixels.tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_that_stores_white_as_zero_is_inverted(tmp_path: Path, dtype: type) -> None:
    top = np.iinfo(dtype).max
    image = Image.fromarray(np.array([[0, top]], dtype))
    plain = read_image(saved(image, tmp_path / "a.tiff")).pixels
    content = bytearray((tmp_path / "a.tiff").read_bytes())
    # Tag 262, type SHORT, one value: 1 (black is zero) becomes 0.
    entry = np.array([262, 3], "<u2").tobytes() + np.array([1, 1], "<u4").tobytes()
    place = content.index(entry)
    content[place : place + 12] = np.array([262, 3], "<u2").tobytes() + np.array([1, 0], "<u4").tobytes()
    (tmp_path / "b.tiff").write_bytes(content)
    assert plain.tolist() == [[0, 255]]
    assert read_image(tmp_path / "b.tiff").pixels.tolist() == [[255, 0]]


def test_jpeg_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    turned = read_image(saved(Image.fromarray(GRAY), tmp_path / "a.jpg", exif=exif, quality=100)).pixels
    assert turned.shape == (20, 30)
    assert np.abs(turned.astype(int) - np.rot90(GRAY, -1)).max() <= 3


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    image = Image.fromarray(GRAY).convert("RGB").convert("CMYK")
    pixels = read_image(saved(image, tmp_path / "a.jpg", quality=100)).pixels
    assert np.abs(pixels.astype(int) - GRAY).max() <= 4


def jsrt_values() -> np.ndarray:
    y, x = np.mgrid[0:2048, 0:2048]
    return ((y + x) % 4096).astype(">u2")


def test_jsrt_raw_is_big_endian_12_bit_and_inverted(tmp_path: Path) -> None:
    (tmp_path / "JPCLN001.IMG").write_bytes(jsrt_values().tobytes())
    radiograph = read_image(tmp_path / "JPCLN001.IMG")
    assert radiograph.pixels.shape == (2048, 2048)
    assert radiograph.pixels[0, :3].tolist() == [255, 255, 255]
    assert radiograph.pixels[0, 1000] == round((4095 - 1000) * 255 / 4095)
    assert radiograph.pixels[2047, 2047] == 0  # 2047 + 2047 = 4094
    assert radiograph.pixel_spacing_mm == 0.175


def test_file_of_jsrts_size_but_not_of_its_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zeros.IMG").write_bytes(bytes(2 * 2048 * 2048))
    assert reason(tmp_path / "zeros.IMG") == "not_an_image"
    (tmp_path / "little.IMG").write_bytes(jsrt_values().astype("<u2").tobytes())
    assert reason(tmp_path / "little.IMG") == "not_an_image"


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "bmp"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_file_cut_short_is_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"a.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert reason(path) in ("truncated", "unreadable")
    assert suffix == "tiff" or reason(path) == "truncated"


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = saved(Image.new("L", (2000, 1000)), tmp_path / "a.png")
    assert reason(path, pixels=1_999_999) == "too_large"
    assert read_image(path, limits=Limits(pixels=2_000_000)).pixels.shape == (1000, 2000)


def test_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = saved(Image.new("1", (20_000, 20_000)), tmp_path / "a.png")
    assert path.stat().st_size < 100_000
    assert reason(path) == "too_large"


def test_several_pages_are_refused(tmp_path: Path) -> None:
    page = Image.fromarray(GRAY)
    assert reason(saved(page, tmp_path / "a.tiff", save_all=True, append_images=[page])) == "multi_frame"


@pytest.mark.parametrize(
    ("content", "expected", "hint"),
    [
        (b"", "empty", "0 bytes"),
        (b"hello", "not_an_image", "expected DICOM, PNG"),
        (b"<!DOCTYPE html><html>", "not_an_image", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not_an_image", "git lfs pull"),
        (b"\x1f\x8b\x08\x00", "not_an_image", "gzip"),
        (b"\x89PNG\r\n\x1a\n", "unreadable", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "unreadable", "damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "unreadable", "damaged"),
        (b"BM" + bytes(100), "unreadable", "damaged"),
        (bytes(128) + b"DICM", "not_an_image", "DICOM"),
        (bytes(128) + b"DICM" + b"\xab" * 500, "not_an_image", "DICOM"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, expected: str, hint: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=hint) as caught:
        read_image(path)
    assert caught.value.reason == expected
    assert str(path) in str(caught.value)


def test_directory_missing_file_pipe_and_large_file_are_named(tmp_path: Path) -> None:
    import os

    assert reason(tmp_path) == "is_directory"
    assert reason(tmp_path / "none.png") == "missing"
    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "pipe") == "not_an_image"
    path = saved(Image.fromarray(GRAY), tmp_path / "a.bmp")
    assert reason(path, bytes=100) == "too_large"
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("a\0b")


def test_pixels_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    pixels = read_image(saved(Image.fromarray(GRAY), tmp_path / "a.png")).pixels
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 1


def test_jpeg_hidden_behind_a_tiff_preamble_of_dicom_stays_dicom(tmp_path: Path) -> None:
    from tests.imaging.dicom_files import radiograph_dataset, save

    path = save(radiograph_dataset(GRAY), tmp_path / "a.tif")
    content = bytearray(path.read_bytes())
    content[:4] = b"II*\0"
    path.write_bytes(content)
    assert read_image(path).dicom is not None


def test_bytes_of_a_picture_in_memory_equal_those_of_pillow(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    expected = np.asarray(Image.open(file).convert("L"))
    assert np.array_equal(read_image(tmp_path / "a.jpg").pixels, expected)
