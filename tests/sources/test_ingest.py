"""Ingest loses nothing: not when it is killed, not when the disk is full, not when it is run twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hilum.archive import Archive
from hilum.archive.splits import hashed_split
from hilum.errors import ArchiveError, SourceError, UsageError
from hilum.sources import ingest

COUNT = 60


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 60 PNG files of 20 patients with labels and reports, some of them bad."""
    root = tmp_path_factory.mktemp("listed")
    rng = np.random.default_rng(0)
    lines = ["path,patient_id,study_id,view,Edema,report"]
    for number in range(COUNT):
        name = f"{number:03d}.png"
        if number % 20 == 7:
            (root / name).write_bytes(b"\x89PNG\r\n\x1a\n damaged")
        elif number % 20 != 11:
            Image.fromarray(rng.integers(0, 256, (40, 32), dtype=np.uint8)).save(root / name)
        lines.append(f"{name},P{number // 3},S{number // 2},pa,{number % 2},IMPRESSION: Number {number // 2}.")
    lines.append("001.png,P0,S0,pa,1,")
    (root / "table.csv").write_text("\n".join(lines))
    return root / "table.csv"


def content(path: Path) -> dict[str, Any]:
    archive = Archive.open(path)
    images = archive.images()
    return {
        "images": images.to_pylist(),
        "pixels": [pixels.tobytes() for pixels in archive.pixels(images["row"].to_numpy())],
        "studies": archive.studies().to_pylist(),
        "labels": sorted(map(str, archive.labels().to_pylist())),
        "rejects": sorted(map(str, archive.rejects().drop_columns(["when"]).to_pylist())),
    }


def script(listed: Path, archive: Path, at_30: str) -> list[str]:
    """A program that ingests in commits of 8 rows, and does something at the 30th."""
    code = f"""
        import os, resource, sys, time
        import hilum
        def progress(step, done, total):
            if step == "reading images" and done >= 30:
                {at_30}
        try:
            hilum.ingest("table", {str(listed)!r}, {str(archive)!r}, workers=1, rows_per_commit=8, progress=progress)
        except hilum.HilumError as error:
            print(type(error).__name__, error)
    """
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_a_run_killed_in_the_middle_goes_on_and_ends_like_one_never_killed(listed: Path, tmp_path: Path) -> None:
    ingest("table", listed, tmp_path / "whole", workers=0)
    killed = subprocess.run(script(listed, tmp_path / "cut", "os.kill(os.getpid(), 9)"), timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    before = len(Archive.open(tmp_path / "cut"))
    assert 0 < before < 50
    summary = ingest("table", listed, tmp_path / "cut", workers=1)
    assert (summary.already_there, summary.added) == (before, len(Archive.open(tmp_path / "whole")) - before)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_a_run_killed_between_two_tables_repeats_nothing(
    listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest("table", listed, tmp_path / "whole", workers=0)

    def die(*_: object) -> int:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Archive, "add_images", die)  # labels and studies are in, the images are not
        with pytest.raises(MemoryError):
            ingest("table", listed, tmp_path / "cut", workers=0)
    assert len(Archive.open(tmp_path / "cut")) == 0
    ingest("table", listed, tmp_path / "cut", workers=0)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_a_full_disk_is_named_and_loses_nothing(listed: Path, tmp_path: Path) -> None:
    ingest("table", listed, tmp_path / "whole", workers=0)
    full = "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    ran = subprocess.run(
        script(listed, tmp_path / "cut", full), timeout=120, capture_output=True, text=True, check=True
    )
    assert "ArchiveError" in ran.stdout
    assert "is full" in ran.stdout
    assert 0 < len(Archive.open(tmp_path / "cut")) < 50
    ingest("table", listed, tmp_path / "cut", workers=0)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_ctrl_c_leaves_a_state_to_go_on_from(listed: Path, tmp_path: Path) -> None:
    stop = "os.kill(os.getpid(), 2)"
    ran = subprocess.run(
        script(listed, tmp_path / "cut", stop), timeout=120, capture_output=True, text=True, check=False
    )
    assert "KeyboardInterrupt" in ran.stderr
    ingest("table", listed, tmp_path / "whole", workers=0)
    ingest("table", listed, tmp_path / "cut", workers=0)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_the_second_run_adds_nothing(listed: Path, tmp_path: Path) -> None:
    first = ingest("table", listed, tmp_path / "a", workers=0)
    before = content(tmp_path / "a")
    second = ingest("table", listed, tmp_path / "a", workers=0)
    assert first.added == 54
    assert first.rejected == second.rejected == {
        "missing": 3,
        "unreadable": 3,
        "duplicate_id": 1,
    } or first.rejected == {
        "missing": 3,
        "truncated": 3,
        "duplicate_id": 1,
    }
    assert (second.added, second.already_there, second.studies, second.labels) == (0, 54, 0, 0)
    assert content(tmp_path / "a") == before


def test_the_number_of_workers_and_of_rows_in_a_commit_change_nothing(listed: Path, tmp_path: Path) -> None:
    ingest("table", listed, tmp_path / "a", workers=0)
    ingest("table", listed, tmp_path / "b", workers=2, rows_per_commit=7)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_a_second_writer_is_told_who_writes(listed: Path, tmp_path: Path) -> None:
    ingest("table", listed, tmp_path / "a", workers=0)
    with Archive.open(tmp_path / "a").writing():
        ran = subprocess.run(
            script(listed, tmp_path / "a", "pass"), timeout=120, capture_output=True, text=True, check=True
        )
    assert "ArchiveBusyError" in ran.stdout
    assert "is being written by" in ran.stdout


def test_a_dry_run_counts_and_writes_nothing(listed: Path, tmp_path: Path) -> None:
    summary = ingest("table", listed, tmp_path / "a", workers=0, dry_run=True)
    assert (summary.added, summary.rejected) == (COUNT, {"duplicate_id": 1})
    assert not (tmp_path / "a").exists()
    ingest("table", listed, tmp_path / "a", workers=0)
    before = content(tmp_path / "a")
    again = ingest("table", listed, tmp_path / "a", workers=0, dry_run=True)
    assert (again.already_there, again.added) == (54, 6)
    assert content(tmp_path / "a") == before


def test_splits_are_by_patient_and_a_later_run_takes_the_same(listed: Path, tmp_path: Path) -> None:
    ingest("table", listed, tmp_path / "a", workers=0, seed=7, fractions={"train": 0.5, "test": 0.5})
    rows = Archive.open(tmp_path / "a").images(["patient_id", "split"]).to_pylist()
    assert {row["split"] for row in rows} == {"train", "test"}
    for row in rows:
        assert row["split"] == hashed_split(row["patient_id"], 7, {"train": 0.5, "test": 0.5})
    record = Archive.open(tmp_path / "a").manifest.sources["table"]
    assert (record["split"], record["seed"]) == ("auto", 7)
    ingest("table", listed, tmp_path / "a", workers=0)  # takes seed 7 from the manifest
    with pytest.raises(UsageError, match="seed = 7, not 8"):
        ingest("table", listed, tmp_path / "a", workers=0, seed=8)
    ingest("table", listed, tmp_path / "b", workers=0, split="none")
    assert {row["split"] for row in Archive.open(tmp_path / "b").images(["split"]).to_pylist()} == {None}


def test_settings_of_the_archive_are_chosen_once(listed: Path, tmp_path: Path) -> None:
    ingest("table", listed, tmp_path / "a", workers=0, longer_side_px=20, text_policy="findings")
    manifest = Archive.open(tmp_path / "a").manifest
    assert (manifest.longer_side_px, manifest.text_policy) == (20, "findings")
    sizes = Archive.open(tmp_path / "a").images(["height", "width"]).to_pylist()
    assert {(row["height"], row["width"]) for row in sizes} == {(20, 16)}
    ingest("table", listed, tmp_path / "a", workers=0)
    with pytest.raises(ArchiveError, match="text_policy"):
        ingest("table", listed, tmp_path / "a", workers=0, text_policy="impression")


def test_an_id_of_another_source_is_rejected_not_skipped(listed: Path, tmp_path: Path) -> None:
    ingest("table", listed, tmp_path / "a", workers=0)

    class Other(type(_table(listed))):  # type: ignore[misc]
        name = "other"

    summary = ingest(Other(), listed, tmp_path / "a", workers=0)
    assert (summary.added, summary.already_there) == (0, 0)
    assert summary.rejected["duplicate_id"] == 55
    assert "source 'table'" in summary.examples[0]


def _table(listed: Path) -> Any:
    from hilum.sources import make_source

    return make_source("table", {})


def test_wrong_words_are_usage_errors_with_suggestions(listed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'table'"):
        ingest("tabel", listed, tmp_path / "a")
    with pytest.raises(UsageError, match="has no setting 'reports'"):
        ingest("table", listed, tmp_path / "a", reports="x.csv")
    with pytest.raises(UsageError, match="split is 'random'"):
        ingest("table", listed, tmp_path / "a", split="random")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown text policy"):
        ingest("table", listed, tmp_path / "a", text_policy="impresion")
    with pytest.raises(SourceError, match="does not exist"):
        ingest("nih", tmp_path / "nowhere", tmp_path / "a")
