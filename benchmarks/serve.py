"""The web app: the search page under load, upload to scores, and the start on a large archive.

    python benchmarks/serve.py [--images 10000] [--rows 100000] [--requests 2000] [--users 20]

Archives are made of random pictures of 64 pixels with reports and embeddings, of 512 numbers for the load and of the tiny recipe's
128 for the start; the model is a tiny CLIP with random weights. The server is a process of its own, started by `hilum serve`; the
users are threads of this one, so both share the machine. Queries are asked once before they are timed: what is timed searches,
filters and renders, and runs no model.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import itertools
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa

TOKEN = "a-token-for-the-benchmark"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
SIDE, BATCH = 64, 8192
WORDS = ("effusion", "pneumothorax", "edema", "cardiomegaly", "consolidation", "fracture", "nodule", "atelectasis")
QUERIES = [f"{size} {side} {word}" for size in ("small", "large") for side in ("left", "right") for word in WORDS]
FILTERS: list[dict[str, str]] = [
    {}, {"view": "pa"}, {"age_from": "60"}, {"sex": "F", "split": "train"}, {"where": "NOT age > 50"},
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--users", type=int, default=20)
    args = parser.parse_args()
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load before {load}")
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder) / "wide", 512)
        archive = make_archive(Path(folder) / "archive", args.images, model)
        with serving(archive, model) as server:
            pages = searched(server, args.requests, args.users)
            uploads = uploaded(server)
        model = make_model(Path(folder) / "tiny", 128)
        large = make_archive(Path(folder) / "large", args.rows, model)
        with serving(large, model) as server:
            started = server.started_s
            for path in ("/", f"/search?{urlencode({'q': QUERIES[0]})}", "/study?id=s7", "/api/images/7/scores"):
                server.get(path)
            memory = server.peak_mb()
    load_named = f"search page, {args.images:,} images, {args.users} users, {args.requests:,} requests: p95"
    upload_named = "one DICOM of 2048 x 2048, upload to scores, warm: median (largest)"
    rows = [
        (load_named, f"{pages.p95_ms:.0f} ms", "300 ms"),
        ("  median; requests/s", f"{pages.median_ms:.0f} ms; {pages.a_second:.0f}", ""),
        ("  errors", str(pages.errors), "0"),
        (upload_named, f"{np.median(uploads):.2f} ({max(uploads):.2f}) s", "1 s"),
        (f"start on {args.rows:,} rows: to the first page", f"{started:.1f} s", "5 s"),
        ("  peak memory after a page, a search, a study and scores", f"{memory:,.0f} MB", "1,500 MB"),
    ]
    print("| what | measured | bar |\n| --- | --- | --- |")
    for what, measured, bar in rows:
        print(f"| {what} | {measured} | {bar} |")


class Server:
    """A running `hilum serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port, self.started_s = process, port, 0.0

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def get(self, path: str) -> int:
        connection = self.connect()
        connection.request("GET", path, headers=HEADERS)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def peak_mb(self) -> float:
        """Peak resident memory of the server and of its decoder, if it has started one."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        total = 0
        for pid in (str(self.process.pid), *children):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return total / 1000


@contextlib.contextmanager
def serving(archive: Path, model: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hilum", "serve", str(archive), "--model", str(model), "--port", str(port)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "HILUM_TOKEN": TOKEN})
    server = Server(process, port)
    try:
        while True:
            with contextlib.suppress(OSError):
                if server.get("/") == 200:
                    break
            time.sleep(0.02)
        server.started_s = time.perf_counter() - started
        while server.get("/api/images/0/scores") != 200:  # the model is loaded behind the first pages
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Pages:
    """What a load of requests met."""

    median_ms: float
    p95_ms: float
    a_second: float
    errors: int


def searched(server: Server, requests: int, users: int) -> Pages:
    paths = [f"/search?{urlencode({'q': query, **more})}" for query, more in itertools.product(QUERIES, FILTERS)]
    for query in QUERIES:
        server.get(f"/search?{urlencode({'q': query})}")
    turn = itertools.count()
    times: list[float] = []
    errors: list[str] = []

    def user() -> None:
        connection = server.connect()
        while (number := next(turn)) < requests:
            started = time.perf_counter()
            try:
                connection.request("GET", paths[number % len(paths)], headers=HEADERS)
                answer = connection.getresponse()
                page = answer.read()
                if answer.status != 200 or b"data-grid" not in page:
                    errors.append(f"{answer.status}")
            except (OSError, http.client.HTTPException) as error:
                errors.append(str(error))
                connection = server.connect()
            times.append(time.perf_counter() - started)

    threads = [threading.Thread(target=user) for _ in range(users)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    for error in errors[:3]:
        print("error:", error)
    middle, late = np.percentile(times, [50, 95]) * 1000
    return Pages(float(middle), float(late), requests / seconds, len(errors))


def uploaded(server: Server, times: int = 10) -> list[float]:
    import json

    content = make_dicom()
    taken = []
    for _ in range(times + 1):
        connection = server.connect()
        started = time.perf_counter()
        connection.request("POST", "/api/tries", content, HEADERS)
        key = json.loads(connection.getresponse().read())["key"]
        connection.request("GET", f"/api/tries/{key}/scores", headers=HEADERS)
        scores = json.loads(connection.getresponse().read())["scores"]
        taken.append(time.perf_counter() - started)
        assert len(scores) == 14
        connection.close()
    return taken[1:]  # the first starts the decoder


def make_model(folder: Path, dimension: int) -> Path:
    import torch

    from hilum.models import Architecture, ClipTokenizer, DualEncoder, Model, Squash, Text, Vision

    torch.manual_seed(0)
    vision = Vision(image_size=64, layers=2, width=64, patch_size=16, head_width=16)
    text = Text(width=64, heads=4, layers=2)
    encoder = DualEncoder(Architecture(embed_dim=dimension, vision=vision, text=text))
    return Model(encoder, Squash(canvas_px=64), ClipTokenizer(), {"name": "tiny"}, device="cpu").save(folder)


def make_archive(path: Path, count: int, model: Path) -> Path:
    """Random pictures, reports of a few sentences, embeddings; four images a patient, two a study."""
    from hilum.archive import Archive
    from hilum.models import Model

    archive, rng = Archive.create(path), np.random.default_rng(0)
    loaded = Model.load(model)
    fingerprint, dimension = loaded.fingerprint, loaded.embed_dim
    for first in range(0, count, BATCH):
        n = np.arange(first, min(first + BATCH, count))
        pixels = rng.integers(0, 255, (len(n), SIDE * SIDE), np.uint8)
        ids = {"study_id": [f"s{i // 2}" for i in n], "patient_id": [f"p{i // 4}" for i in n]}
        reports = [
            f"FINDINGS: {QUERIES[i // 2 % len(QUERIES)]}. No other finding. IMPRESSION: {QUERIES[i % len(QUERIES)]}."
            for i in n
        ]
        archive.add_studies(
            pa.table({**ids, "report": reports, "impression": [one.split(": ")[-1] for one in reports]})
        )
        images = {
            "image_id": [f"i{i}" for i in n], **ids, "source": ["random"] * len(n), "path": [f"{i}.png" for i in n],
            "view": [("pa", "ap", "lateral")[i % 3] for i in n], "height": [SIDE] * len(n), "width": [SIDE] * len(n),
            "pixels": [one.tobytes() for one in pixels], "age_years": rng.uniform(18, 90, len(n)),
            "sex": [("F", "M")[i // 4 % 2] for i in n], "split": [("train", "train", "val", "test")[i // 4 % 4] for i in n],
        }  # fmt: skip
        archive.add_images(pa.table(images))
        archive.add_embeddings(fingerprint, images["image_id"], rng.normal(size=(len(n), dimension)).astype(np.float32))
    return path


def make_dicom() -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = Dataset()
    made.file_meta = meta
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Modality, made.Rows, made.Columns, made.SamplesPerPixel = "DX", 2048, 2048, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelData = np.random.default_rng(0).integers(0, 4096, (2048, 2048), np.uint16).tobytes()
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
