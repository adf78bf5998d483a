"""`hilum phantom` and `hilum ingest phantom`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hilum.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


def test_phantoms_are_written_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ph"
    assert run("phantom", str(out), "--patients", "3", "--side", "96", "--workers", "1", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["patients"] == 3
    assert said["images"] == len(list(out.rglob("*.dcm")))
    assert run("phantom", str(out), "--patients", "3", "--side", "96", "--workers", "1") == 0
    assert "hilum ingest phantom" in capsys.readouterr().out


def test_another_world_does_not_overwrite_this_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "ph")
    assert run("phantom", out, "--patients", "1", "--side", "96", "--workers", "1") == 0
    assert run("phantom", out, "--patients", "1", "--side", "96", "--workers", "1", "--seed", "1") == 1
    assert "not empty" in capsys.readouterr().err


def test_phantoms_enter_an_archive_without_their_truth(tmp_path: Path) -> None:
    from hilum.archive import Archive

    out = tmp_path / "ph"
    assert run("phantom", str(out), "--patients", "4", "--side", "96", "--workers", "1") == 0
    assert run("ingest", "phantom", str(out), "-o", str(tmp_path / "archive")) == 0
    archive = Archive.open(tmp_path / "archive")
    images = archive.images(columns=["image_id", "path", "source"]).to_pylist()
    assert {row["source"] for row in images} == {"phantom"}
    assert {row["path"] for row in images} == {p.relative_to(out / "dicom").as_posix() for p in out.rglob("*.dcm")}
    assert all("SYNTHETIC" in text for text in archive.studies(columns=["report"])["report"].to_pylist())
    assert len(archive.labels()) == 0
