"""Decoding in workers that die, hang or cannot start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.imaging.dicom_files import radiograph_dataset, save

from hilum.errors import HilumError, ImageError, UsageError
from hilum.imaging import DecodePool, DicomHeader, Limits, Radiograph, pool, read_image
from hilum.imaging.worker import pack, unpack

# A worker whose fate is written in the file's name.
FATEFUL_WORKER = """
import json, os, signal, sys, time
from multiprocessing.connection import Connection
from hilum.imaging.limits import Limits
from hilum.imaging.worker import decode, serve

def fate(path, limits, side_px):
    name = os.path.basename(path)
    if name.startswith("exit"):
        os._exit(3)
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("oom"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hang"):
        time.sleep(1000)
    if name.startswith("deaf"):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    if name.startswith("slow"):
        time.sleep(0.5)
    return decode(path, limits, side_px)

settings = json.loads(sys.argv[2])
serve(Connection(int(sys.argv[1])), Limits(**settings["limits"]), settings["side_px"], fate)
"""


@pytest.fixture
def fateful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for pictures; workers that read them meet the fate in their names."""
    script = tmp_path / "worker.py"
    script.write_text(FATEFUL_WORKER)
    monkeypatch.setattr(pool, "COMMAND", (sys.executable, str(script)))
    return tmp_path


def picture(folder: Path, name: str, level: int = 7) -> Path:
    path = folder / f"{name}.png"
    Image.new("L", (20, 10), level).save(path)
    return path


def outcome(result: Radiograph | ImageError) -> str | int:
    return result.reason if isinstance(result, ImageError) else int(result.pixels[0, 0])


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_order_and_equal_those_of_this_process(tmp_path: Path, workers: int) -> None:
    paths: list[str | Path] = [picture(tmp_path, f"{i}", i) for i in range(30)]
    paths[3] = str(tmp_path / "none.png")
    dataset = radiograph_dataset(np.arange(200, dtype=np.uint8).reshape(10, 20), PatientID="P", PixelSpacing=[0.1, 0.2])
    dataset.PatientOrientation = ["L", "F"]
    paths[5] = save(dataset, tmp_path / "a.dcm")
    with DecodePool(workers) as decode_pool:
        results = list(decode_pool.imap(paths))
    assert [path for path, _ in results] == paths
    assert [outcome(result) for _, result in results] == [0, 1, 2, "missing", 4, 0, *range(6, 30)]
    expected = read_image(paths[5])
    radiograph = results[5][1]
    assert isinstance(radiograph, Radiograph)
    assert radiograph.dicom == expected.dicom
    assert radiograph.remarks == expected.remarks
    assert radiograph.remarks
    assert radiograph.pixel_spacing_mm == 0.1
    assert np.array_equal(radiograph.pixels, expected.pixels)


def test_picture_is_shrunk_in_the_worker(tmp_path: Path) -> None:
    with DecodePool(1, side_px=10) as decode_pool:
        [(_, radiograph)] = decode_pool.imap([picture(tmp_path, "a")])
    assert isinstance(radiograph, Radiograph)
    assert radiograph.pixels.shape == (5, 10)


@pytest.mark.parametrize(
    ("fate", "reason", "how"),
    [("exit", "worker_died", "exit 3"), ("crash", "worker_died", "SIGSEGV"), ("oom", "worker_died", "SIGKILL")],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_file_that_kills_its_worker_is_named_and_the_others_go_on(
    fateful: Path, fate: str, reason: str, how: str, workers: int
) -> None:
    paths = [picture(fateful, fate if i in (2, 3, 7) else f"{i}", i) for i in range(10)]
    with DecodePool(workers) as decode_pool:
        results = [result for _, result in decode_pool.imap(paths)]
    assert [outcome(result) for result in results] == [0, 1, reason, reason, 4, 5, 6, reason, 8, 9]
    assert how in str(results[2])
    assert str(paths[2]) in str(results[2])


def test_file_that_hangs_is_ended_at_the_limit_and_the_others_go_on(fateful: Path) -> None:
    paths = [picture(fateful, "hang" if i == 1 else f"{i}", i) for i in range(6)]
    start = time.monotonic()
    with DecodePool(2, Limits(seconds=0.5)) as decode_pool:
        outcomes = [outcome(result) for _, result in decode_pool.imap(paths)]
    assert outcomes == [0, "timeout", 2, 3, 4, 5]
    assert time.monotonic() - start < 5


def test_worker_deaf_to_its_own_alarm_is_ended_from_outside(fateful: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "GRACE_SECONDS", 0.2)
    paths = [picture(fateful, "deaf"), picture(fateful, "fine")]
    with DecodePool(1, Limits(seconds=0.3)) as decode_pool:
        assert [outcome(result) for _, result in decode_pool.imap(paths)] == ["timeout", 7]


def test_slow_reader_is_no_timeout(fateful: Path) -> None:
    paths = [picture(fateful, f"{i}", i) for i in range(8)]
    outcomes = []
    with DecodePool(1, Limits(seconds=0.2)) as decode_pool:
        for _, result in decode_pool.imap(paths):
            time.sleep(0.3)
            outcomes.append(outcome(result))
    assert outcomes == list(range(8))


def test_paths_are_taken_lazily(fateful: Path) -> None:
    taken = 0

    def paths() -> Iterator[Path]:
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield picture(fateful, f"{i}", i % 256)

    with DecodePool(2) as decode_pool:
        results = decode_pool.imap(paths())
        for yielded in range(50):
            next(results)
            assert taken - yielded <= 2 * pool.UNYIELDED_PER_WORKER + 1
        results.close()


def test_slow_first_file_does_not_let_results_pile_up(fateful: Path) -> None:
    paths = [picture(fateful, "slow" if i == 0 else f"{i}", i) for i in range(60)]
    taken: list[Path] = []
    with DecodePool(2) as decode_pool:
        results = decode_pool.imap(path for path in paths if not taken.append(path))
        next(results)
        assert len(taken) <= 2 * pool.UNYIELDED_PER_WORKER
        assert len(list(results)) == 59


def test_pool_left_in_the_middle_can_be_used_again(fateful: Path) -> None:
    paths = [picture(fateful, f"{i}", i) for i in range(20)]
    with DecodePool(2) as decode_pool:
        for _ in decode_pool.imap(paths):
            break
        assert [outcome(result) for _, result in decode_pool.imap(reversed(paths))] == list(range(19, -1, -1))


def test_pool_runs_one_iterator_at_a_time(tmp_path: Path) -> None:
    paths = [picture(tmp_path, f"{i}") for i in range(2)]
    with DecodePool(1) as decode_pool:
        first = decode_pool.imap(paths)
        next(first)
        with pytest.raises(UsageError, match="already runs"):
            next(decode_pool.imap(paths))
        assert len(list(first)) == 1


def test_error_of_the_path_source_reaches_the_caller_and_workers_end(tmp_path: Path) -> None:
    def paths() -> Iterator[Path]:
        yield picture(tmp_path, "a")
        raise RuntimeError("the listing broke")

    with DecodePool(1) as decode_pool, pytest.raises(RuntimeError, match="listing"):
        list(decode_pool.imap(paths()))


def test_workers_that_cannot_start_are_an_error_with_their_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pool, "COMMAND", (sys.executable, "-c", "raise SystemExit('no such codec')"))
    with DecodePool(2) as decode_pool, pytest.raises(HilumError, match="no such codec"):
        list(decode_pool.imap([picture(tmp_path, "a")]))


def test_negative_workers_and_useless_sides_are_refused() -> None:
    with pytest.raises(UsageError, match="workers"):
        DecodePool(-1)
    with pytest.raises(UsageError, match="side_px"):
        DecodePool(1, side_px=0)
    with pytest.raises(UsageError, match="seconds"):
        Limits(seconds=0)


def test_worker_loads_no_torch() -> None:
    heavy = ("torch", "lance", "pyarrow", "scipy")
    code = f"import sys, hilum.imaging.worker; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_result_survives_packing() -> None:
    header = DicomHeader(patient_id="Ä", patient_orientation=("L", "F"), age_years=0.5, burned_in_annotation=True)
    radiograph = Radiograph(np.arange(6, dtype=np.uint8).reshape(2, 3), 0.143, header, ("a remark",))
    again = unpack(pack(radiograph))
    assert isinstance(again, Radiograph)
    assert np.array_equal(again.pixels, radiograph.pixels)
    assert (again.pixel_spacing_mm, again.dicom, again.remarks) == (0.143, header, ("a remark",))
    error = unpack(pack(ImageError("what", "timeout")))
    assert isinstance(error, ImageError)
    assert (str(error), error.reason) == ("what", "timeout")


MAIN_PROCESS = """
import sys
from hilum.imaging import DecodePool, Limits, pool
pool.COMMAND = (sys.executable, sys.argv[1])
with DecodePool(2, Limits(seconds=float(sys.argv[2]))) as decode_pool:
    for path, result in decode_pool.imap(sys.argv[3:]):
        print("got", flush=True)
"""


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("how", "seconds"), [(signal.SIGINT, 60), (signal.SIGKILL, 2)])
def test_no_worker_outlives_the_main_process(fateful: Path, how: signal.Signals, seconds: float) -> None:
    files = [str(picture(fateful, name)) for name in ("a", "hang", "b", "c")]
    command = [sys.executable, "-c", MAIN_PROCESS, str(fateful / "worker.py"), str(seconds), *files]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"got\n"
    time.sleep(0.5)  # the second worker has started by now, and hangs
    workers = children(process.pid)
    assert workers
    os.kill(process.pid, how)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == -how
    if how == signal.SIGINT:
        assert errors.count(b"Traceback") == 1  # of the main process; workers stay silent
        assert errors.rstrip().endswith(b"KeyboardInterrupt")
    until = time.monotonic() + 10
    while any(is_running(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [worker for worker in workers if is_running(worker)]
