"""DICOM files of every storage kind to the same honest pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLSLossless, JPEGLSNearLossless, RLELossless
from tests.imaging.dicom_files import UNCOMPRESSED, radiograph_dataset, save, save_by_gdcm, save_jpeg_baseline

from hilum.errors import ImageError
from hilum.imaging import Limits, read_image

FULL_12_BIT = {"WindowCenter": 2048, "WindowWidth": 4096}


def smooth(bits: int, shape: tuple[int, int] = (48, 40)) -> np.ndarray:
    """A picture like a radiograph in that neighbors are alike; every level within reach, edges odd."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    top = 2**bits - 1
    values = np.clip((np.sin(x / 7) + np.cos(y / 9) + 2) / 4 * top, 0, top)
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def shown(stored: np.ndarray, bits: int) -> np.ndarray:
    """What a window over all levels of `bits` shows."""
    return np.floor(stored / (2**bits - 1) * 255 + 0.5).astype(np.uint8)


def full_window(bits: int) -> dict[str, float]:
    return {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}


@pytest.mark.parametrize("syntax", UNCOMPRESSED.values(), ids=UNCOMPRESSED.keys())
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_uncompressed_syntaxes_give_the_same_pixels(tmp_path: Path, syntax: str, bits: int) -> None:
    stored = smooth(bits)
    path = save(radiograph_dataset(stored, bits, **full_window(bits)), tmp_path / "a.dcm", syntax)
    assert np.array_equal(read_image(path).pixels, shown(stored, bits))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_compression_gives_the_same_pixels(tmp_path: Path, syntax: str, bits: int) -> None:
    stored = smooth(bits)
    dataset = radiograph_dataset(stored, bits, **full_window(bits))
    dataset.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(read_image(save(dataset, tmp_path / "a.dcm")).pixels, shown(stored, bits))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_signed_values_survive_compression(tmp_path: Path, syntax: str) -> None:
    stored = smooth(12).astype(np.int16) - 2048
    dataset = radiograph_dataset(stored, 12, WindowCenter=0, WindowWidth=4096)
    if syntax == RLELossless:
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        pytest.importorskip("gdcm")
        dataset.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(read_image(save(dataset, tmp_path / "a.dcm")).pixels, shown(stored + 2048, 12))


@pytest.mark.parametrize(
    ("syntax", "options"), [(JPEGLSNearLossless, {"jls_error": 4}), (JPEG2000, {"j2k_psnr": [60]})]
)
def test_lossy_compression_stays_close(tmp_path: Path, syntax: str, options: dict[str, object]) -> None:
    stored = smooth(12)
    dataset = radiograph_dataset(stored, 12, **FULL_12_BIT)
    dataset.compress(syntax, generate_instance_uid=False, **options)
    pixels = read_image(save(dataset, tmp_path / "a.dcm")).pixels
    assert np.abs(pixels.astype(int) - shown(stored, 12)).max() <= 3


def test_jpeg_baseline_stays_close(tmp_path: Path) -> None:
    stored = smooth(8)
    path = save_jpeg_baseline(stored, tmp_path / "a.dcm", **full_window(8))
    assert np.abs(read_image(path).pixels.astype(int) - stored).max() <= 4


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEGExtendedProcess2_4"])
def test_jpeg_lossless_and_12_bit_jpeg_give_the_pixels_of_the_uncompressed_file(tmp_path: Path, syntax: str) -> None:
    stored = smooth(12)
    compressed = read_image(save_by_gdcm(stored, tmp_path / "a.dcm", syntax, 12)).pixels
    plain = read_image(tmp_path / "a.plain").pixels
    # The 12-bit DCT is lossy by nature; GDCM writes it at full quality.
    assert np.abs(compressed.astype(int) - plain).max() <= (1 if "Extended" in syntax else 0)


def test_12_bit_jpeg_of_another_writer_gives_the_known_value() -> None:
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pydicom.encaps import get_frame

    from hilum.imaging.jpeg12 import decode_jpeg12

    path = get_testdata_file("JPGExtended.dcm", download=False)
    if path is None:
        pytest.skip("pydicom is installed without its test files")
    frame = get_frame(dcmread(path).PixelData, 0, number_of_frames=1)
    assert decode_jpeg12(frame, 1024, 256, path)[420, 140] == 244  # the value other decoders give
    assert read_image(path).pixels.shape == (1024, 256)


def test_monochrome1_is_the_mirror_of_monochrome2(tmp_path: Path) -> None:
    stored = smooth(12)
    pixels = [
        read_image(
            save(radiograph_dataset(stored, 12, PhotometricInterpretation=p, **FULL_12_BIT), tmp_path / p)
        ).pixels
        for p in ("MONOCHROME1", "MONOCHROME2")
    ]
    assert np.array_equal(pixels[0], 255 - pixels[1])


def test_monochrome1_with_inverse_shape_is_inverted_once(tmp_path: Path) -> None:
    stored = smooth(12)
    tags = {**FULL_12_BIT, "PresentationLUTShape": "INVERSE"}
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        dataset = radiograph_dataset(stored, 12, PhotometricInterpretation=photometric, **tags)
        assert np.array_equal(read_image(save(dataset, tmp_path / "a.dcm")).pixels, 255 - shown(stored, 12))


def test_order_is_rescale_then_window_then_inversion(tmp_path: Path) -> None:
    stored = np.array([[0, 50, 100, 150]], np.uint16)
    dataset = radiograph_dataset(
        stored,
        12,
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope=2,
        RescaleIntercept=-100,
        WindowCenter=[100, 0],
        WindowWidth=[200, 1],
        VOILUTFunction="LINEAR_EXACT",
    )
    # 2 x - 100: -100, 0, 100, 200; window 0..200: 0, 0, 127.5, 255; inverted.
    assert read_image(save(dataset, tmp_path / "a.dcm")).pixels.tolist() == [[255, 255, 127, 0]]


def lut_item(first: int, entries: list[int], bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    return item


def test_luts_of_both_kinds_apply_in_order_and_beat_the_window(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 2, 3]], np.uint8)
    dataset = radiograph_dataset(stored, 8, WindowCenter=1, WindowWidth=2)
    dataset.ModalityLUTSequence = Sequence([lut_item(0, [3, 2, 1, 0], 16)])
    dataset.VOILUTSequence = Sequence([lut_item(1, [10, 100, 255], 8)])
    # modality: 3, 2, 1, 0; VOI: 255, 100, 10 and 10 for what lies below its first value
    assert read_image(save(dataset, tmp_path / "a.dcm")).pixels.tolist() == [[255, 100, 10, 10]]


def test_lut_of_a_big_endian_file_is_read_big_endian(tmp_path: Path) -> None:
    dataset = radiograph_dataset(np.array([[0, 1, 2, 3]], np.uint8), 8)
    item = lut_item(0, [0, 1, 512, 1023], 10)
    item["LUTData"].value = np.array([0, 1, 512, 1023], ">u2").tobytes()
    dataset.VOILUTSequence = Sequence([item])
    path = save(dataset, tmp_path / "a.dcm", UNCOMPRESSED["big-endian"])
    assert read_image(path).pixels.tolist() == [[0, 0, 128, 255]]


def test_missing_window_falls_back_to_percentiles_and_a_degenerate_one_is_remarked(tmp_path: Path) -> None:
    stored = smooth(12)
    without = read_image(save(radiograph_dataset(stored, 12), tmp_path / "a.dcm"))
    bad = read_image(save(radiograph_dataset(stored, 12, WindowCenter=5, WindowWidth=0), tmp_path / "b.dcm"))
    assert (without.pixels.min(), without.pixels.max()) == (0, 255)
    assert np.array_equal(without.pixels, bad.pixels)
    assert not without.remarks
    assert "degenerate" in bad.remarks[0]


def test_padding_value_is_left_out_of_the_percentiles(tmp_path: Path) -> None:
    stored = np.full((40, 60), 4095, np.uint16)
    stored[:, :40] = smooth(10, (40, 40))
    with_tag = read_image(save(radiograph_dataset(stored, 12, PixelPaddingValue=4095), tmp_path / "a.dcm")).pixels
    alone = read_image(save(radiograph_dataset(stored[:, :40].copy(), 12), tmp_path / "b.dcm")).pixels
    assert np.array_equal(with_tag[:, :40], alone)


def test_overlay_bits_above_the_stored_ones_are_cleared(tmp_path: Path) -> None:
    stored = smooth(12)
    dirty = stored | 0xF000
    for syntax in (None, RLELossless):
        dataset = radiograph_dataset(dirty, 12, **FULL_12_BIT)
        if syntax:
            dataset.compress(syntax, generate_instance_uid=False)
        assert np.array_equal(read_image(save(dataset, tmp_path / "a.dcm")).pixels, shown(stored, 12))


@pytest.mark.parametrize("compressed", [False, True])
def test_values_stored_in_the_upper_bits_are_moved_down(tmp_path: Path, compressed: bool) -> None:
    stored = smooth(12)
    dataset = radiograph_dataset((stored << 4).astype(np.uint16), 12, **FULL_12_BIT)
    if compressed:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.HighBit = 15
    assert np.array_equal(read_image(save(dataset, tmp_path / "a.dcm")).pixels, shown(stored, 12))


@pytest.mark.parametrize("planar", [0, 1])
def test_gray_stored_as_rgb_keeps_its_values(tmp_path: Path, planar: int) -> None:
    gray = smooth(8)
    color = np.repeat(gray[..., None], 3, axis=2)
    dataset = radiograph_dataset(color)
    if planar:
        dataset.PlanarConfiguration = 1
        dataset.PixelData = color.transpose(2, 0, 1).tobytes()
    assert np.array_equal(read_image(save(dataset, tmp_path / "a.dcm")).pixels, gray)
    dataset.PlanarConfiguration = 0
    dataset.PixelData = color.tobytes()
    dataset.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(read_image(save(dataset, tmp_path / "b.dcm")).pixels, gray)


def test_ybr_gives_its_luma(tmp_path: Path) -> None:
    color = np.full((48, 40, 3), 128, np.uint8)
    color[..., 0] = smooth(8)
    dataset = radiograph_dataset(color, PhotometricInterpretation="YBR_FULL")
    assert np.abs(read_image(save(dataset, tmp_path / "a.dcm")).pixels.astype(int) - color[..., 0]).max() <= 1


def test_palette_color_goes_through_its_palette(tmp_path: Path) -> None:
    dataset = radiograph_dataset(np.array([[0, 1], [2, 3]], np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for channel in ("Red", "Green", "Blue"):
        setattr(dataset, f"{channel}PaletteColorLookupTableDescriptor", [4, 0, 16])
        table = np.array([0, 0x4000, 0x8000, 0xFFFF], "<u2").tobytes()
        setattr(dataset, f"{channel}PaletteColorLookupTableData", table)
    assert read_image(save(dataset, tmp_path / "a.dcm")).pixels.tolist() == [[0, 64], [128, 255]]


def test_spacing_is_that_of_the_rows_and_says_when_pixels_are_not_square(tmp_path: Path) -> None:
    square = radiograph_dataset(smooth(8), PixelSpacing=[0.143, 0.143], ImagerPixelSpacing=[0.2, 0.2])
    at_detector = radiograph_dataset(smooth(8), ImagerPixelSpacing=[0.2, 0.2])
    oblong = radiograph_dataset(smooth(8), PixelSpacing=[0.1, 0.2])
    assert read_image(save(square, tmp_path / "a.dcm")).pixel_spacing_mm == 0.143
    assert read_image(save(at_detector, tmp_path / "b.dcm")).pixel_spacing_mm == 0.2
    radiograph = read_image(save(oblong, tmp_path / "c.dcm"))
    assert radiograph.pixel_spacing_mm == 0.1
    assert "not square" in radiograph.remarks[0]


@pytest.mark.parametrize("syntax", [UNCOMPRESSED["implicit"], UNCOMPRESSED["explicit"], UNCOMPRESSED["big-endian"]])
def test_file_without_preamble_is_read(tmp_path: Path, syntax: str) -> None:
    stored = smooth(12)
    path = save(radiograph_dataset(stored, 12, **FULL_12_BIT), tmp_path / "a.dcm", syntax)
    content = path.read_bytes()
    meta_length = int.from_bytes(content[140:144], "little")
    path.write_bytes(content[144 + meta_length :])
    assert np.array_equal(read_image(path).pixels, shown(stored, 12))


def test_optional_numbers_left_out_by_careless_writers_are_filled_in(tmp_path: Path) -> None:
    stored = smooth(8)
    dataset = radiograph_dataset(stored, **full_window(8))
    del dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel, dataset.PhotometricInterpretation
    assert np.array_equal(read_image(save(dataset, tmp_path / "a.dcm")).pixels, stored)


def reason(path: Path, **limits: float) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, limits=Limits(**limits))
    assert str(path) in str(caught.value)
    return caught.value.reason


def test_several_frames_are_refused_and_one_is_not(tmp_path: Path) -> None:
    dataset = radiograph_dataset(smooth(8), NumberOfFrames=1, **full_window(8))
    assert read_image(save(dataset, tmp_path / "a.dcm")).pixels.shape == (48, 40)
    dataset.NumberOfFrames = 2
    dataset.PixelData = dataset.PixelData * 2
    assert reason(save(dataset, tmp_path / "b.dcm")) == "multi_frame"


def test_missing_pixel_data_is_named(tmp_path: Path) -> None:
    dataset = radiograph_dataset(smooth(8))
    del dataset.PixelData
    assert reason(save(dataset, tmp_path / "a.dcm")) == "no_pixels"


def test_video_is_an_unsupported_syntax(tmp_path: Path) -> None:
    path = save_jpeg_baseline(smooth(8), tmp_path / "a.dcm")
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.99")
    path.write_bytes(content)
    assert reason(path) == "unsupported_syntax"


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless, "deflated"])
def test_file_cut_short_is_truncated(tmp_path: Path, syntax: str | None, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (64, 64), dtype=np.uint16)
    dataset = radiograph_dataset(noise, 12)
    if syntax == "deflated":
        path = save(dataset, tmp_path / "a.dcm", UNCOMPRESSED["deflated"])
    else:
        if syntax:
            dataset.compress(syntax, generate_instance_uid=False)
        path = save(dataset, tmp_path / "a.dcm")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert reason(path) == "truncated"


@pytest.mark.parametrize("syntax", ["baseline", JPEGLSLossless, JPEG2000Lossless])
def test_compressed_stream_cut_short_inside_a_whole_file_is_truncated(tmp_path: Path, syntax: str) -> None:
    from pydicom import dcmread
    from pydicom.encaps import encapsulate, get_frame

    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = tmp_path / "a.dcm"
    if syntax == "baseline":
        save_jpeg_baseline(noise, path)
    else:
        dataset = radiograph_dataset(noise)
        dataset.compress(syntax, generate_instance_uid=False)
        save(dataset, path)
    dataset = dcmread(path)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    dataset.save_as(path)
    assert reason(path) == "truncated"


def test_huge_size_in_the_header_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    for syntax in (None, RLELossless):
        dataset = radiograph_dataset(smooth(8))
        if syntax:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.Rows = dataset.Columns = 65535
        assert reason(save(dataset, tmp_path / "a.dcm")) == "too_large"


def test_huge_size_in_the_compressed_stream_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    path = save_jpeg_baseline(smooth(8), tmp_path / "a.dcm")
    content = path.read_bytes()
    assert content.count(b"\x08\x00\x30\x00\x28") == 1  # precision, rows 48, columns 40
    path.write_bytes(content.replace(b"\x08\x00\x30\x00\x28", b"\x08\xff\xff\xff\xff"))
    assert reason(path) == "unreadable"


def test_deflate_bomb_is_refused(tmp_path: Path) -> None:
    dataset = radiograph_dataset(np.zeros((4000, 4000), np.uint8))
    path = save(dataset, tmp_path / "a.dcm", UNCOMPRESSED["deflated"])
    assert path.stat().st_size < 100_000
    assert reason(path, bytes=1_000_000) == "too_large"


def test_run_length_bomb_stops_at_the_size_of_the_picture(tmp_path: Path) -> None:
    from pydicom.encaps import encapsulate

    dataset = radiograph_dataset(smooth(8), **full_window(8))
    dataset.compress(RLELossless, generate_instance_uid=False)
    header = np.zeros(16, "<u4")
    header[:2] = 1, 64
    dataset.PixelData = encapsulate([header.tobytes() + b"\x81\x07" * 500_000])  # 64 million bytes of 7
    assert (read_image(save(dataset, tmp_path / "a.dcm")).pixels == 7).all()


@pytest.mark.parametrize(
    "tags", [{"BitsStored": 20}, {"BitsAllocated": 12}, {"Rows": 0}, {"SamplesPerPixel": 2}, {"BitsAllocated": 1}]
)
def test_impossible_shape_is_unreadable(tmp_path: Path, tags: dict[str, int]) -> None:
    dataset = radiograph_dataset(smooth(12), 12)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    assert reason(save(dataset, tmp_path / "a.dcm")) == "unreadable"
