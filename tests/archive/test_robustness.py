"""Killed writers, two writers, full disks, newer and damaged archives."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hilum.archive import Archive, check
from hilum.errors import ArchiveError

PER_COMMIT = 40
SIDE = 96
Rows = Callable[..., pa.Table]

# What every script below can do: add batch number `k`, whose pixels follow from the number of the image.
ADDING = f"""
import sys
import numpy as np
import pyarrow as pa
from hilum.archive import Archive

def batch(k, n={PER_COMMIT}, side={SIDE}):
    numbers = range(k * n, (k + 1) * n)
    pixels = [np.random.default_rng(i).bytes(side * side) for i in numbers]
    names = [f"i{{i}}" for i in numbers]
    return pa.table({{"image_id": names, "study_id": names, "patient_id": names,
                     "height": [side] * n, "width": [side] * n, "pixels": pixels}})

archive = Archive.open_or_create(sys.argv[1])
"""


def start(script: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ADDING + textwrap.dedent(script), str(path), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def assert_whole(archive: Archive) -> None:
    """Only whole commits, each image once, with the pixels it was given."""
    names = archive.images(["image_id"])["image_id"].to_pylist()
    assert len(names) % PER_COMMIT == 0
    assert sorted(names) == sorted({*names})
    for name, pixels in zip(names, archive.pixels(range(len(names))), strict=True):
        assert pixels.tobytes() == np.random.default_rng(int(name[1:])).bytes(SIDE * SIDE)


def test_a_killed_writer_leaves_whole_commits_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a"
    seed = random.Random(0)
    script = """
    k = int(sys.argv[2])
    while True:
        archive.add_images(batch(k))
        k += 1
        print(k, flush=True)
    """
    done = 0
    for _ in range(5):
        writer = start(script, path, str(done))
        try:
            for _ in range(seed.randint(1, 4)):
                done = int(writer.stdout.readline())
            time.sleep(seed.random() * 0.02)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        archive = Archive.open(path)
        assert len(archive) >= done * PER_COMMIT
        assert_whole(archive)
        done = len(archive) // PER_COMMIT
    rows = {"image_id": ["last"], "study_id": ["s"], "patient_id": ["p"], "height": [1], "width": [1], "pixels": [b"x"]}
    assert archive.add_images(pa.table(rows)) == 1
    archive.compact()
    assert len(Archive.open(path)) == done * PER_COMMIT + 1


def test_a_writer_killed_during_the_very_first_commit_leaves_a_usable_archive(
    archive: Archive, image_rows: Rows
) -> None:
    data = archive.path / "images.lance" / "data"  # as a writer leaves it that dies before its first commit
    data.mkdir(parents=True)
    (data / "0123.lance").write_bytes(b"half a file")
    (archive.path / "images.lance" / "_versions").mkdir()
    assert len(Archive.open(archive.path)) == 0
    assert archive.add_images(image_rows(0, 3)) == 3
    assert len(Archive.open(archive.path).pixels(range(3))) == 3


def test_a_killed_create_can_be_done_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "archive.json.tmp").write_text("{")
    (tmp_path / "a" / "archive.lock").touch()
    assert len(Archive.open_or_create(tmp_path / "a")) == 0


@contextlib.contextmanager
def another_writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    writer = start(
        """
        with archive.writing():
            print("writing", flush=True)
            sys.stdin.read()
        """,
        path,
    )
    assert writer.stdout.readline() == "writing\n"
    try:
        yield writer
    finally:
        writer.kill()
        writer.communicate()


def test_a_second_writer_is_told_who_writes(filled: Archive, image_rows: Rows) -> None:
    reader = Archive.open(filled.path)
    with another_writer(filled.path) as writer:
        with pytest.raises(ArchiveError, match=rf"is being written by process {writer.pid} on host \S+ since \d{{4}}-"):
            filled.add_images(image_rows(10, 2))
        assert len(reader.pixels(range(10))) == 10, "readers never wait"
    assert filled.add_images(image_rows(10, 2)) == 2, "the lock went with its holder"


def test_another_thread_cannot_write_meanwhile_but_the_same_one_can(filled: Archive, image_rows: Rows) -> None:
    refused: list[str] = []

    def add() -> None:
        try:
            filled.add_images(image_rows(10, 2))
        except ArchiveError as error:
            refused.append(str(error))

    with filled.writing():
        other = threading.Thread(target=add)
        other.start()
        other.join()
        assert Archive.open(filled.path).add_images(image_rows(10, 1)) == 1
        assert filled.add_images(image_rows(10, 2)) == 1
    assert ["another thread" in text for text in refused] == [True]


def test_a_forked_child_that_outlives_a_killed_writer_does_not_keep_the_lock(
    archive: Archive, image_rows: Rows
) -> None:
    script = """
    import os, time
    with archive.writing():
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            time.sleep(60)
            os._exit(0)
        time.sleep(60)
    """
    writer = start(script, archive.path)
    child = int(writer.stdout.readline())
    try:
        with pytest.raises(ArchiveError, match=f"is being written by process {writer.pid} "):
            archive.add_images(image_rows(0, 2))
        writer.kill()
        writer.wait()
        assert archive.add_images(image_rows(0, 2)) == 2
    finally:
        os.kill(child, signal.SIGKILL)
        writer.communicate()


def test_two_processes_that_take_turns_lose_nothing(tmp_path: Path) -> None:
    Archive.create(tmp_path / "a")
    script = """
    import time
    from hilum.errors import ArchiveError
    refused = 0
    for k in map(int, sys.argv[2:]):
        while True:
            try:
                archive.add_images(batch(k))
                break
            except ArchiveError as error:
                assert "is being written by" in str(error), error
                refused += 1
                time.sleep(0.001)
    """
    writers = [start(script, tmp_path / "a", *map(str, numbers)) for numbers in (range(0, 8), range(5, 13))]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
    archive = Archive.open(tmp_path / "a")
    assert len(archive) == 13 * PER_COMMIT
    assert_whole(archive)


FILLING = """
from hilum.errors import ArchiveError
added = 0
try:
    for k in range(100):
        added += archive.add_images(batch(k))
    print("never full")
except ArchiveError as error:
    print(added, str(error))
"""


def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a small file system here")
    try:
        told, errors = start(FILLING, disk / "a").communicate(timeout=60)
        added, _, message = told.partition(" ")
        assert int(added) > 0, errors
        assert f"the disk that holds {disk / 'a'}" in message
        assert "is full" in message
        archive = Archive.open(disk / "a")
        assert len(archive) == int(added)
        assert_whole(archive)
        with pytest.raises(ArchiveError, match=r"the disk that holds .* is full"):
            archive.add_labels(
                pa.table(
                    {"study_id": [f"{i}" * 99 for i in range(9999)], "finding": ["x"] * 9999}
                    | {"value": ["positive"] * 9999, "said_by": ["me"] * 9999}
                )
            )
        del archive
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_file_size_limit_reads_as_a_full_disk(tmp_path: Path) -> None:
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n" + FILLING
    told, errors = start(script, tmp_path / "a").communicate(timeout=60)
    assert "is full" in told, told + errors
    archive = Archive.open(tmp_path / "a")
    assert len(archive) == 0
    assert archive.images().num_rows == 0
    done = start("archive.add_images(batch(0)); print(len(archive))", tmp_path / "a").communicate(timeout=60)
    assert done[0] == f"{PER_COMMIT}\n", "the next run goes on"


def test_a_disk_too_full_for_the_manifest_keeps_the_old_one(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ArchiveError, match=r"the disk that holds .*archive\.json is full"):
        archive.update_manifest(text_policy="findings")
    assert Archive.open(archive.path).manifest.text_policy == "impression else findings"
    with pytest.raises(ArchiveError, match="is full"):
        Archive.create(archive.path.parent / "b")


def test_an_archive_from_a_newer_version_is_refused(archive: Archive) -> None:
    place = archive.path / "archive.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"format_version": 2, "novelty": True}))
    with pytest.raises(ArchiveError, match=r"written by a newer hilum: archive format 2.*Upgrade"):
        Archive.open(archive.path)


@pytest.mark.parametrize(
    "text", ['{"format_version": 1', "[]", "{}", "", '{"format_version": "1"}', '{"format_version": 1, "sources": 3}']
)
def test_a_damaged_manifest_is_named(archive: Archive, text: str) -> None:
    (archive.path / "archive.json").write_text(text)
    with pytest.raises(ArchiveError, match=r"archive\.json is damaged: "):
        Archive.open(archive.path)


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no such archive\. Make one with: hilum ingest"):
        Archive.open(tmp_path / "absent")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.dcm").touch()
    with pytest.raises(ArchiveError, match=r"is not an archive: it holds no archive\.json"):
        Archive.open(tmp_path / "folder")
    with pytest.raises(ArchiveError, match=r"is not empty \(x\.dcm\)"):
        Archive.create(tmp_path / "folder")
    with pytest.raises(ArchiveError, match="is a file; an archive is a directory"):
        Archive.open(tmp_path / "folder" / "x.dcm")
    with pytest.raises(ArchiveError, match="cannot write"):
        Archive.create(tmp_path / "folder" / "x.dcm" / "deeper")


def test_a_flipped_byte_is_found(filled: Archive, drawn: Callable[[int], np.ndarray]) -> None:
    def flip(number: int) -> None:
        for place in (filled.path / "images.lance" / "data").iterdir():
            stored = place.read_bytes()
            if drawn(number).tobytes() in stored:
                at = stored.index(drawn(number).tobytes())
                place.write_bytes(stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :])

    flip(3)
    problem = next(p for p in check(Archive.open(filled.path)) if p.kind == "damaged_image")
    assert problem.examples == ("i3",)
    flip(9)
    with pytest.raises(ArchiveError, match="row 9: the pixels are not those that were stored"):
        Archive.open(filled.path).pixels([0])


def test_a_data_file_cut_short_is_named_before_it_is_read(filled: Archive) -> None:
    largest = max((filled.path / "images.lance" / "data").iterdir(), key=lambda place: place.stat().st_size)
    whole = largest.read_bytes()
    largest.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArchiveError, match=r"images\.lance"):
        Archive.open(filled.path).pixels([0, 9])


def test_a_missing_data_file_is_named(filled: Archive) -> None:
    for place in (filled.path / "images.lance" / "data").iterdir():
        place.unlink()
    with pytest.raises(ArchiveError, match=r"images\.lance"):
        Archive.open(filled.path).pixels([0])
    with pytest.raises(ArchiveError, match=r"images\.lance"):
        Archive.open(filled.path).images()
