"""Random reads of stored images: an archive against a NumPy memory map of the same bytes.

    python benchmarks/archive_read.py [--images 3000] [--per-commit 512]

Both sides get the same random batches of 128 and handle every byte: once by copying each image into a buffer, once by
taking its brightest pixel. `lance blobs` is the same column read through Lance itself, for comparison. All is warm (in the
page cache); the best of several rounds counts, the sides taking turns.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

from hilum.archive import Archive

BATCH = 128
ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--per-commit", type=int, default=512, help="images in one append, as ingest writes them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments.images, arguments.per_commit)


def measure(folder: Path, n: int, per_commit: int) -> None:
    archive, flat, offsets, shapes = write_both(folder, n, per_commit)
    dataset = lance.dataset(archive.path / "images.lance")
    generator = np.random.default_rng(1)
    batches = [generator.integers(0, n, BATCH) for _ in range(24)]

    def from_map(rows: np.ndarray) -> list[np.ndarray]:
        return [flat[offsets[i] : offsets[i + 1]].reshape(shapes[i]) for i in rows]

    def from_lance(rows: np.ndarray) -> list[np.ndarray]:
        blobs = dataset.take_blobs("pixels", indices=rows.tolist())
        return [np.frombuffer(blob.readall(), np.uint8).reshape(shapes[i]) for blob, i in zip(blobs, rows, strict=True)]

    for mine, theirs in zip(archive.pixels(batches[0]), from_map(batches[0]), strict=True):
        assert np.array_equal(mine, theirs)
    print(f"{platform.processor() or platform.machine()}, {cpu_name()}, Python {platform.python_version()}")
    print(
        f"{n} images of 384 x 320..384, {offsets[-1] / 1e6:.0f} MB, {per_commit} a commit, batches of {BATCH}, warm\n"
    )
    print(f"{'every byte':<12}{'memory map':>14}{'Archive.pixels':>18}{'ratio':>8}{'lance blobs':>14}   images/s")
    buffer = np.empty(384 * 384, np.uint8)

    def copy(image: np.ndarray) -> None:
        np.copyto(buffer[: image.size].reshape(image.shape), image)

    for name, use in (("copied", copy), ("maximum", np.max)):
        sides = {"map": from_map, "archive": archive.pixels, "lance": from_lance}
        best = dict.fromkeys(sides, 0.0)
        for _ in range(ROUNDS):
            for side, read in sides.items():
                best[side] = max(best[side], rate(read, use, batches))
        ratio = best["archive"] / best["map"]
        print(f"{name:<12}{best['map']:>14,.0f}{best['archive']:>18,.0f}{ratio:>8.2f}{best['lance']:>14,.0f}")


def rate(
    read: Callable[[np.ndarray], list[np.ndarray]], use: Callable[[np.ndarray], object], batches: list[np.ndarray]
) -> float:
    """Images a second."""
    start = time.perf_counter()
    for rows in batches:
        for image in read(rows):
            use(image)
    return len(batches) * BATCH / (time.perf_counter() - start)


def write_both(folder: Path, n: int, per_commit: int) -> tuple[Archive, np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """The same random images in an archive, and end to end in one file under a memory map."""
    generator = np.random.default_rng(0)
    shapes = [(int(h), 384) for h in generator.integers(320, 385, n)]
    offsets = np.concatenate([[0], np.cumsum([h * w for h, w in shapes])])
    archive = Archive.create(folder / "archive")
    with archive.writing(), (folder / "flat.bin").open("wb") as stream:
        for start in range(0, n, per_commit):
            numbers = range(start, min(n, start + per_commit))
            pixels = [generator.bytes(shapes[i][0] * shapes[i][1]) for i in numbers]
            stream.writelines(pixels)
            columns = {
                "image_id": [f"image-{i}" for i in numbers],
                "study_id": [f"study-{i}" for i in numbers],
                "patient_id": [f"patient-{i}" for i in numbers],
                "height": [shapes[i][0] for i in numbers],
                "width": [shapes[i][1] for i in numbers],
                "pixels": pixels,
            }
            archive.add_images(pa.table(columns))
    return archive, np.memmap(folder / "flat.bin", np.uint8, "r"), offsets, shapes


def cpu_name() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return f"{len(names)} x {names[0]}"
    except (OSError, IndexError):
        return "processor not known"


if __name__ == "__main__":
    main()
