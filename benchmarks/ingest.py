"""Ingest speed with one worker against two in one run, and peak memory against the number of files.

    python benchmarks/ingest.py            # 1,000 generated DICOM of 1024x1024
    python benchmarks/ingest.py --files 200

Bar: two workers at least 1.7 times one, on two free cores; peak memory that does not grow with the number of files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

SIDE_PX = 1024

# Run in a process of its own, so that its peak memory is its own.
ONE_INGEST = """
import json, resource, sys, time
import hilum
started = time.perf_counter()
summary = hilum.ingest("dicom", sys.argv[1], sys.argv[2], workers=int(sys.argv[3]))
print(json.dumps({
    "added": summary.added,
    "seconds": summary.seconds,
    "process_seconds": time.perf_counter() - started,
    "main_cpu_s": time.process_time(),
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "peak_worker_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
}))
"""


def write_files(root: Path, count: int) -> None:
    """Generate `count` 12-bit radiograph-like DICOM files of 1024x1024, four to a patient."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    chest = 2000 + 1200 * np.cos(6 * columns) * np.sin(3 * rows)
    for number in range(count):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
        dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
        dataset.SOPInstanceUID, dataset.StudyInstanceUID = f"1.2.{number}", f"1.3.{number // 2}"
        dataset.PatientID, dataset.StudyDate, dataset.Modality = f"P{number // 4}", "20200101", "DX"
        dataset.ViewPosition, dataset.PixelSpacing = "PA", [0.3, 0.3]
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = SIDE_PX, SIDE_PX, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
        noise = rng.integers(-100, 100, (SIDE_PX, SIDE_PX))
        dataset.PixelData = np.clip(chest + noise, 0, 4095).astype(np.uint16).tobytes()
        path = root / f"p{number // 4}" / f"s{number // 2}" / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)


def run(root: Path, archive: Path, workers: int) -> dict[str, float]:
    """One ingest in a process of its own."""
    command = [sys.executable, "-c", ONE_INGEST, str(root), str(archive), str(workers)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def part_of(root: Path, files: int, place: Path) -> Path:
    """A folder with links to the first files of `root`."""
    for file in sorted(root.rglob("*.dcm"), key=lambda file: int(file.stem))[:files]:
        link = place / file.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, link)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    files = parser.parse_args().files
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "files")
        write_files(root, files)
        run(part_of(root, min(50, files), Path(folder, "warm")), Path(folder, "warm.hilum"), 2)
        best: dict[int, dict[str, float]] = {}
        for turn in range(rounds):  # alternating, so that a slow minute of the machine hits both
            for workers in (1, 2):
                result = run(root, Path(folder, f"{workers}-{turn}.hilum"), workers)
                print(
                    f"{workers} worker{'s' if workers > 1 else ' '}: {result['seconds']:6.1f} s "
                    f"({result['added'] / result['seconds']:.0f} images/s), main process {result['main_cpu_s']:.1f} s of CPU"
                )
                if workers not in best or result["seconds"] < best[workers]["seconds"]:
                    best[workers] = result
        print(f"two workers against one: {best[1]['seconds'] / best[2]['seconds']:.2f}x (bar 1.7x)")
        for part in (files // 4, files // 2, files):
            result = run(part_of(root, part, Path(folder, f"part{part}")), Path(folder, f"part{part}.hilum"), 2)
            print(
                f"{part:6d} files: peak {result['peak_mib']:.0f} MiB, largest worker {result['peak_worker_mib']:.0f} MiB"
            )


if __name__ == "__main__":
    main()
