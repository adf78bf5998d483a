"""A file that is dropped is decoded by a process that may die, stays in memory, and is written only where that was allowed."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.web.conftest import BEARER, TOKEN, client_of

from hilum.archive import Archive
from hilum.imaging import Limits
from hilum.web import Settings, tries


@pytest.fixture(scope="module")
def small_server(embedded: Path, model_folder: Path):
    """A server that takes little."""
    limits = Limits(pixels=300_000, bytes=400_000, seconds=20)
    with client_of(Settings(embedded, (model_folder,), token=TOKEN, limits=limits), headers=BEARER) as client:
        yield client


def dicom(rows: int, columns: int, pixels: bytes, **more: object) -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = Dataset()
    made.file_meta = meta
    made.PatientName, made.PatientID = "Doe^Jane", "SECRET-17"
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Modality, made.ViewPosition, made.PatientSex, made.PatientAge = "DX", "PA", "F", "061Y"
    made.Rows, made.Columns, made.SamplesPerPixel = rows, columns, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.PixelData = pixels
    for name, value in more.items():
        setattr(made, name, value)
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def post(client: TestClient, content: bytes):
    return client.post("/api/tries", content=content)


def test_a_dicom_is_tried_and_who_it_is_of_is_forgotten(small_server: TestClient) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (120, 100), np.uint8)
    answer = post(small_server, dicom(120, 100, pixels.tobytes()))
    assert answer.status_code == 201
    told = answer.json()
    assert (told["view"], told["sex"], told["age_years"], told["height"]) == ("pa", "F", 61.0, 120)
    page = small_server.get(f"/try/{told['key']}").text
    for text in (answer.text, page):
        assert "Doe" not in text
        assert "SECRET" not in text
    shown = np.asarray(Image.open(io.BytesIO(small_server.get(f"/api/tries/{told['key']}/picture.png").content)))
    assert np.abs(shown.astype(int) - pixels).max() <= 1  # as ingest renders it


def test_a_tried_image_is_scored_compared_drafted_for_and_explained(small_server: TestClient, png: bytes) -> None:
    address = f"/api/tries/{post(small_server, png).json()['key']}"
    assert len(small_server.get(f"{address}/scores").json()["scores"]) == 14
    assert len(small_server.get(f"{address}/similar").json()) == 8
    draft = small_server.get(f"{address}/draft").json()
    assert draft["text"]
    assert "retrieval, not a reading" in draft["notice"]
    assert small_server.get(f"{address}/heat.png?phrase=effusion").headers["content-type"] == "image/png"
    assert small_server.delete(address).status_code == 204
    assert small_server.get(address).status_code == 404


def test_trying_writes_nothing(own_archive: Path, model_folder: Path, png: bytes) -> None:
    def everything() -> list[tuple[str, int, int]]:
        return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in own_archive.rglob("*") if p.is_file())

    before = everything()
    with client_of(Settings(own_archive, (model_folder,), token=TOKEN), headers=BEARER) as client:
        address = f"/api/tries/{post(client, png).json()['key']}"
        for part in ("scores", "similar", "draft"):
            assert client.get(f"{address}/{part}").status_code == 200
        refused = client.post(f"{address}/save")
        assert (refused.status_code, "--allow-upload" in refused.json()["detail"]) == (403, True)
    assert everything() == before


def test_saving_is_allowed_where_the_server_was_started_so(own_archive: Path, model_folder: Path, png: bytes) -> None:
    settings = Settings(own_archive, (model_folder,), token=TOKEN, allow_upload=True)
    with client_of(settings, headers=BEARER) as client:
        address = f"/api/tries/{post(client, png).json()['key']}"
        saved = client.post(f"{address}/save").json()
        assert saved["added"]
        assert not client.post(f"{address}/save").json()["added"]
    archive = Archive.open(own_archive)
    row = archive.images(where=f"image_id = '{saved['image_id']}'").to_pylist()[0]
    assert (row["source"], row["split"], row["height"]) == ("single", None, 160)
    assert len(archive) == 97


def test_saving_into_an_archive_that_is_being_written_says_so(own_archive: Path, png: bytes) -> None:
    import threading

    held, done = threading.Event(), threading.Event()

    def write() -> None:
        with Archive.open(own_archive).writing():
            held.set()
            done.wait(30)

    with client_of(Settings(own_archive, token=TOKEN, allow_upload=True), headers=BEARER) as client:
        address = f"/api/tries/{post(client, png).json()['key']}"
        writer = threading.Thread(target=write)
        writer.start()
        held.wait(30)
        answer = client.post(f"{address}/save")
        done.set()
        writer.join()
        assert answer.status_code == 503
        assert "is being written" in answer.json()["detail"]
        assert str(own_archive) not in answer.text
        assert client.post(f"{address}/save").status_code == 201


def test_files_that_are_no_radiographs_are_refused_in_words(small_server: TestClient, png: bytes) -> None:
    cases = {
        b"": "empty",
        b"hello world, this is text": "expected DICOM, PNG",
        b"<html>not found</html>": "HTML",
        b"PK\x03\x04zip": "zip",
        png[:200]: "the file",
    }
    for content, words in cases.items():
        answer = post(small_server, content)
        assert answer.status_code == 422, content
        assert answer.headers["content-type"] == "application/problem+json"
        assert words in answer.json()["detail"]
        assert "/proc" not in answer.text
        assert "/tmp" not in answer.text


def test_too_many_bytes_are_refused_before_they_are_read(small_server: TestClient) -> None:
    assert post(small_server, b"x" * 400_001).status_code == 413

    def endless():
        for _ in range(100):
            yield b"x" * 10_000

    assert small_server.post("/api/tries", content=endless()).status_code == 413


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is large, with few bytes of data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * min(width * height, 1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_bombs_are_refused(small_server: TestClient) -> None:
    assert post(small_server, png_header(30_000, 30_000)).status_code == 413
    assert post(small_server, dicom(60_000, 60_000, b"\0" * 100)).status_code == 413
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    deflated = bytearray(dicom(200, 200, b"\0" * 40_000))
    start = deflated.index(b"1.2.840.10008.1.2.1\0")
    deflated[start : start + 20] = b"1.2.840.10008.1.2.1\0"
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    meta_end = 132 + 12 + struct.unpack("<I", deflated[140:144])[0]
    uid = str(DeflatedExplicitVRLittleEndian).encode()
    meta = bytes(deflated[:meta_end]).replace(
        b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI" + struct.pack("<H", len(uid)) + uid
    )
    meta = meta[:140] + struct.pack("<I", len(meta) - 144) + meta[144:]
    bomb = meta + raw.compress(bytes(deflated[meta_end:]) + b"\0" * 50_000_000) + raw.flush()
    assert len(bomb) < 400_000
    answer = post(small_server, bomb)
    assert answer.status_code == 413
    assert "/proc" not in answer.text


def test_a_file_that_kills_its_decoder_is_refused_and_the_next_one_is_read(
    small_server: TestClient, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hilum.imaging import pool

    deadly = "import os, sys, socket; s = socket.socket(fileno=int(sys.argv[1])); " \
             "from multiprocessing.connection import Connection; c = Connection(s.detach()); " \
             "c.send_bytes(b'ready'); c.recv_bytes(); os.kill(os.getpid(), 11)"  # fmt: skip
    decoder = small_server.app.state.desk.decoder  # type: ignore[attr-defined]
    decoder.close()
    with monkeypatch.context() as patch:
        patch.setattr(pool, "COMMAND", (pool.COMMAND[0], "-c", deadly))
        answer = post(small_server, png)
        assert answer.status_code == 422
        assert "died" in answer.json()["detail"]
    assert post(small_server, png).status_code == 201


def test_a_file_that_takes_too_long_is_refused(embedded: Path, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from hilum.imaging import pool

    slow = "import sys, socket, time; s = socket.socket(fileno=int(sys.argv[1])); " \
           "from multiprocessing.connection import Connection; c = Connection(s.detach()); " \
           "c.send_bytes(b'ready'); c.recv_bytes(); time.sleep(60)"  # fmt: skip
    monkeypatch.setattr(pool, "COMMAND", (pool.COMMAND[0], "-c", slow))
    monkeypatch.setattr(pool, "GRACE_SECONDS", 0.1)
    limits = Limits(pixels=300_000, bytes=400_000, seconds=0.2)
    with client_of(Settings(embedded, token=TOKEN, limits=limits), headers=BEARER) as client:
        answer = post(client, png)
    assert answer.status_code == 422
    assert "not decoded within" in answer.json()["detail"]


def test_a_slow_sender_is_sent_away(embedded: Path) -> None:
    import asyncio

    from starlette.requests import Request

    from hilum.errors import ImageError
    from hilum.web.desk import Desk
    from hilum.web.trying import _received

    async def silent() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    desk = Desk(Settings(embedded, token=TOKEN, receive_seconds=0.05))
    request = Request({"type": "http", "method": "POST", "headers": [], "path": "/api/tries"}, silent)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="did not arrive within"):
        asyncio.run(_received(request, desk))
    assert desk.receiving == 0


def test_memory_holds_so_many_tries_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from hilum.imaging import Radiograph
    from hilum.web.problems import NotFoundError

    kept = tries.Tries()
    made = [kept.add(Radiograph(np.zeros((2, 2), np.uint8))) for _ in range(tries.MOST_TRIES + 1)]
    assert len({one.key for one in made}) == len(made)
    with pytest.raises(NotFoundError):
        kept.get(made[0].key)
    later = made[-1].when + tries.KEPT_SECONDS + 1
    monkeypatch.setattr(tries.time, "monotonic", lambda: later)
    with pytest.raises(NotFoundError, match="drop it again"):
        kept.get(made[-1].key)
