"""Bad input ends in a rejects row or one message that says what to do: exit code 3, 1 or 2, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import make_small_archive

from hilum.archive import Archive

Call = Callable[..., tuple[int, str, str]]
IDS = [f"i{k}" for k in range(24)]


def picture(kind: str, seed: int = 0) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 40), dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def reasons(archive: Path) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in Archive.open(archive).rejects().to_pylist()}


# Images


def test_bad_dicom_files_are_rejected_with_a_reason_and_the_good_one_enters(
    tmp_path: Path, call: Call, write_dicom: Callable[..., Path]
) -> None:
    root = tmp_path / "export"
    whole = write_dicom(root / "good.dcm", image="1.1").read_bytes()
    write(root / "short.dcm", write_dicom(tmp_path / "other.dcm", image="1.2").read_bytes()[: len(whole) // 2])
    write(root / "zero.dcm", b"")
    write(root / "garbage.dcm", np.random.default_rng(1).bytes(4000))
    write(root / "page.dcm", "<html>please log in</html>")
    write_dicom(root / "nopixels.dcm", image="1.3", pixels=False)
    (root / "folder.dcm").mkdir()
    code, out, err = call("ingest", "dicom", root, "-o", tmp_path / "a", "--workers", "0")
    assert code == 3
    assert "added: 1 image" in out
    assert "rejected: 5 files" in out
    assert f"hilum info {tmp_path / 'a'} --rejects" in err
    assert reasons(tmp_path / "a") == {
        "short.dcm": "truncated",
        "zero.dcm": "empty",
        "garbage.dcm": "not_an_image",
        "page.dcm": "not_an_image",
        "nopixels.dcm": "no_pixels",
    }
    code, out, _ = call("info", tmp_path / "a", "--rejects")
    assert code == 0
    assert "no_pixels\tnopixels.dcm\t" in out
    assert len(out.splitlines()) == 5


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_bad_pictures_are_rejected_with_a_reason_and_the_good_one_enters(tmp_path: Path, call: Call, kind: str) -> None:
    good = picture(kind)
    write(tmp_path / "good.x", good)
    write(tmp_path / "short.x", good[: len(good) // 2])
    write(tmp_path / "zero.x", b"")
    write(tmp_path / "garbage.x", np.random.default_rng(2).bytes(3000))
    (tmp_path / "folder.x").mkdir()
    names = ["good.x", "short.x", "zero.x", "garbage.x", "folder.x", "absent.x"]
    table = write(tmp_path / "t.csv", "path,patient_id\n" + "".join(f"{name},p\n" for name in names))
    code, out, _ = call("ingest", "table", table, "-o", tmp_path / "a", "--workers", "0")
    assert (code, len(Archive.open(tmp_path / "a"))) == (3, 1)
    assert "rejected: 5 files" in out
    found = {Path(path).name: reason for path, reason in reasons(tmp_path / "a").items()}
    assert found == {
        "short.x": "truncated",
        "zero.x": "empty",
        "garbage.x": "not_an_image",
        "folder.x": "is_directory",
        "absent.x": "missing",
    }


# Tables to ingest


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("path;patient_id\n0.png;p0\n1.png;p1\n", 0, "separated by semicolon"),
        ("path\tpatient_id\n0.png\tp0\n1.png\tp1\n", 0, "separated by tab"),
        (b"\xef\xbb\xbfpath,patient_id\r\n0.png,p0\r\n1.png,p1\r\n", 0, ""),
        (b"path,patient_id,report\n0.png,p0,\xe9panchement\n1.png,p1,\n", 0, "not UTF-8 (byte 32); read as Latin-1"),
        ("picture,patient_id\n0.png,p0\n", 1, "has no column of image paths. Name it: --map image=COLUMN"),
        ("path,patient_id,patient_id\n0.png,p0,x\n1.png,p1,y\n", 0, "'patient_id' is there more than once"),
        ("path,patient_id\n0.png,p0,extra\n", 1, "does not have the same columns in every row"),
        ("path,patient_id\n", 1, "has a header and no rows"),
        ("", 1, "is empty"),
        ("<!doctype html><html></html>", 1, "is an HTML or XML page, not a table"),
        (b"PK\x03\x04....", 1, "is an Excel workbook or a zip file"),
    ],
)
def test_tables_as_they_come_are_read_or_named(
    tmp_path: Path, call: Call, caplog: pytest.LogCaptureFixture, content: bytes | str, code: int, said: str
) -> None:
    for k in range(2):
        write(tmp_path / f"{k}.png", picture("png", k))
    table = write(tmp_path / "t.csv", content)
    got, _, err = call("ingest", "table", table, "-o", tmp_path / "a", "--workers", "0")
    assert got == code, err
    assert said in err + caplog.text
    assert (tmp_path / "a").exists() == (code == 0), "a table that cannot be used leaves no archive behind"
    if code == 0:
        assert len(Archive.open(tmp_path / "a")) == 2


def test_doubled_and_blank_ids_are_rejected_row_by_row(tmp_path: Path, call: Call) -> None:
    for k in range(4):
        write(tmp_path / f"{k}.png", picture("png", k))
    rows = "0.png,a,p0\n1.png,a,p1\n2.png,nan,p2\n3.png,b,\n"
    table = write(tmp_path / "t.csv", "path,image_id,patient_id\n" + rows)
    code, out, err = call("ingest", "table", table, "-o", tmp_path / "a", "--workers", "0")
    assert code == 3
    assert "rejected: 3 files (blank_id 2, duplicate_id 1)" in out
    assert "row 3: 'image_id' is blank" in err
    assert Archive.open(tmp_path / "a").images(["image_id"])["image_id"].to_pylist() == ["a"]


# Tables to evaluate


def scores(path: Path, head: str = "image_id,Edema", cells: dict[int, str] | None = None, more: str = "") -> Path:
    cells = cells or {}
    rows = [f"{name},{cells.get(k, f'{(k % 7) / 7:.3f}')}" for k, name in enumerate(IDS)]
    return write(path, "\n".join([head, *rows]) + "\n" + more)


def truth(path: Path, always: int | None = None) -> Path:
    rows = [f"{name},{k % 2 if always is None else always}" for k, name in enumerate(IDS)]
    return write(path, "\n".join(["image_id,Edema", *rows]) + "\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cells": {7: "1.7"}}, "row 8: the score of 'Edema' is '1.7'; expected a number from 0 to 1"),
        ({"cells": {7: "-0.2"}}, "row 8: the score of 'Edema' is '-0.2'"),
        ({"cells": {7: "nan"}}, "row 8: the score of 'Edema' is blank or NaN"),
        ({"cells": {7: ""}}, "row 8: the score of 'Edema' is blank or NaN"),
        ({"cells": {7: "high"}}, "row 8: the score of 'Edema' is 'high'"),
        ({"cells": {7: "inf"}}, "row 8: the score of 'Edema' is 'inf'"),
        ({"head": "image_id,Edemma"}, "Did you mean 'Edema' by 'Edemma'?"),
        ({"head": "picture,Edema"}, "share no id column"),
        ({"more": "i3,0.5\n"}, "row 25: the id 'i3' in 'image_id' is already in row 4"),
        ({"more": "nan,0.5\n"}, "row 25: the id in 'image_id' is blank or NaN"),
    ],
)
def test_scores_that_cannot_be_used_are_named_by_file_row_and_column(
    tmp_path: Path, call: Call, change: dict, said: str
) -> None:
    words = ("--truth", truth(tmp_path / "t.csv"), "--scores", scores(tmp_path / "s.csv", **change))
    code, _, err = call("evaluate", *words, "-o", tmp_path / "out", "--replicates", "5")
    assert code == 1
    assert "s.csv" in err or "Edemma" in err
    assert said in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", ["semicolon", "mark", "latin"])
def test_odd_but_readable_scores_give_the_same_numbers(tmp_path: Path, call: Call, how: str) -> None:
    plain = scores(tmp_path / "s.csv").read_text()
    odd = {
        "semicolon": plain.replace(",", ";").encode(),
        "mark": b"\xef\xbb\xbf" + plain.encode(),
        "latin": plain.replace("\n", ",\u00e9\n").replace("Edema,\u00e9", "Edema,note").encode("latin-1"),
    }[how]
    results = []
    for name, content in (("plain", plain.encode()), ("odd", odd)):
        table = write(tmp_path / name / "s.csv", content)
        words = ("--truth", truth(tmp_path / "t.csv"), "--scores", table, "--replicates", "5")
        code, _, err = call("evaluate", *words, "-o", tmp_path / f"out-{name}")
        assert code == 0, err
        results.append((tmp_path / f"out-{name}" / "results.csv").read_text())
    assert results[0] == results[1]


def test_one_class_truth_is_missing_with_a_reason(tmp_path: Path, call: Call) -> None:
    for always, reason in ((0, "no positive among 24"), (1, "no negative among 24")):
        words = ("--truth", truth(tmp_path / "t.csv", always), "--scores", scores(tmp_path / "s.csv"))
        code, out, _ = call("evaluate", *words, "-o", tmp_path / "out", "--replicates", "5")
        assert code == 0
        assert f"Edema: {reason}" in out
        auroc = next(line for line in (tmp_path / "out/results.csv").read_text().splitlines() if ",Edema,auroc" in line)
        assert ",auroc,,,," in auroc
        assert reason in auroc


# Archives and models


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    archive = make_small_archive(tmp_path / "newer", count=4)
    manifest = json.loads((archive / "archive.json").read_text())
    (archive / "archive.json").write_text(json.dumps(manifest | {"format_version": 99}))
    return archive


def test_an_archive_from_a_newer_version_is_refused_by_every_verb(newer: Path, tmp_path: Path, call: Call) -> None:
    table = write(tmp_path / "t.csv", "path\nx.png\n")
    for words in (["info"], ["check"], ["ingest", "table", table, "-o"], ["pretrain", "chexzero", "--tiny", "-o", "r"]):
        code, _, err = call(*words, newer)
        assert code == 1
        assert "was written by a newer hilum: archive format 99, this one reads up to 1" in err


def test_what_is_no_archive_is_named(tmp_path: Path, call: Call, write_dicom: Callable[..., Path]) -> None:
    export = write_dicom(tmp_path / "export" / "a.dcm", image="1.1").parent
    code, _, err = call("info", tmp_path / "nowhere")
    assert (code, "no such archive. Make one with: hilum ingest SOURCE PATH -o" in err) == (1, True)
    code, _, err = call("info", export)
    assert (code, "is not an archive: it holds no archive.json" in err) == (1, True)
    file = write(tmp_path / "file", "x")
    for words in (["info", file], ["ingest", "dicom", export, "-o", file]):
        code, _, err = call(*words)
        assert (code, "is a file; an archive is a directory" in err) == (1, True)
    code, _, err = call("ingest", "dicom", export, "-o", export)
    assert (code, "is not empty (a.dcm)" in err) == (1, True)


def test_swapped_model_and_archive_are_told_apart(tmp_path: Path, call: Call) -> None:
    archive = make_small_archive(tmp_path / "archive", count=4)
    model = write(tmp_path / "model" / "model.safetensors", b"").parent
    for verb in ("zeroshot", "embed"):
        code, _, err = call(verb, archive, model)
        assert code == 1
        assert "Models come first, the archive last" in err
    code, _, err = call("zeroshot", model)
    assert (code, "needs a model and an archive" in err) == (2, True)


def test_a_model_that_is_not_there_or_a_file_is_named(tmp_path: Path, call: Call) -> None:
    archive = make_small_archive(tmp_path / "archive", count=4)
    code, _, err = call("zeroshot", tmp_path / "nothing", archive)
    assert (code, "expected a model folder, there is none" in err) == (1, True)
    code, _, err = call("zeroshot", write(tmp_path / "best.pt", b"x"), archive)
    assert (code, "this is a file" in err, "hilum import" in err) == (1, True, True)


def test_a_checkpoint_that_is_a_web_page_is_named(tmp_path: Path, call: Call) -> None:
    page = write(tmp_path / "best.pt", "<!DOCTYPE html><html><title>Sign in</title></html>")
    code, _, err = call("import", "chexzero", page, "-o", tmp_path / "m")
    assert (code, "this is a web page, not a checkpoint" in err) == (1, True)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("name", "meant"), [("pleural efusion", "Pleural Effusion"), ("cardiomegally", "Cardiomegaly")]
)
def test_a_misspelled_finding_is_refused_with_a_suggestion(tmp_path: Path, call: Call, name: str, meant: str) -> None:
    code, _, err = call("zeroshot", tmp_path / "m", make_small_archive(tmp_path / "a", count=4), "--finding", name)
    assert code == 2
    assert f"finding '{name}' looks misspelled. Did you mean '{meant}'?" in err


def test_scores_are_not_written_over_a_folder_and_that_is_said_first(tmp_path: Path, call: Call) -> None:
    archive = make_small_archive(tmp_path / "a", count=4)
    code, _, err = call("zeroshot", tmp_path / "no-model", archive, "--out", tmp_path / "a")
    assert (code, "is a folder; expected the name of a CSV file" in err) == (2, True)
    under = write(tmp_path / "file", "x") / "scores.csv"
    code, _, err = call("zeroshot", tmp_path / "no-model", archive, "--out", under)
    assert (code, "is a file, not a folder" in err) == (2, True)


# Options


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "dicm", ".", "-o", "a"], "Did you mean 'dicom'?"),
        (["ingest", "dicom", "."], "name a source, its folder and the archive"),
        (["ingest", "dicom", ".", "-o", "a", "--split", "random"], "expected one of auto, hashed, official, none"),
        (["ingest", "dicom", ".", "-o", "a", "--map", "report"], "expected two names with '=' between them"),
        (["ingest", "dicom", ".", "-o", "a", "--map", "view=x"], "maps no 'view'"),
        (["ingest", "dicom", ".", "-o", "a", "--workers", "-1"], "--workers"),
        (["ingst"], "Did you mean 'ingest'?"),
        (["info", "a", "--jsn"], "--json"),
        (["zeroshot", "m", "a", "--batch-size", "0"], "--batch-size"),
        (["zeroshot", "m", "a", "--prompts", "chexzro"], "There are: biovil, chexzero"),
        (["pretrain", "chexzro", "a", "-o", "r"], "Did you mean 'chexzero'?"),
        (["pretrain", "chexzero", "a"], "-o RUN is missing"),
        (["pretrain", "chexzero", "a", "-o", "r", "--precision", "8"], "expected one of 32-true"),
        (["pretrain", "chexzero", "a", "-o", "r", "--devices", "0"], "--devices"),
        (["pretrain", "chexzero", "a", "-o", __file__], "is a file; expected a folder"),
        (["evaluate", "--truth", "t.csv", "-o", "e"], "--scores"),
        (["phantom", "p", "--patients", "0"], "must be at least 1"),
        (["import", "chexzro", "x.pt", "-o", "m"], "Did you mean 'chexzero'?"),
    ],
)
def test_wrong_words_are_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    code, _, err = call(*words)
    assert (code, said in err) == (2, True), err
    assert not list(tmp_path.iterdir())


def test_a_file_where_phantoms_should_go_is_named(tmp_path: Path, call: Call) -> None:
    code, _, err = call("phantom", write(tmp_path / "file", "x"), "--patients", "1", "--workers", "1")
    assert (code, "is a file; expected a folder" in err) == (1, True)


# The disk


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE")
def test_a_full_disk_during_ingest_is_named_and_the_next_run_goes_on(tmp_path: Path, call: Call) -> None:
    for k in range(4):
        write(tmp_path / f"{k}.png", picture("png", k))
    table = write(tmp_path / "t.csv", "path,patient_id\n" + "".join(f"{k}.png,p{k}\n" for k in range(4)))
    words = ["ingest", "table", str(table), "-o", str(tmp_path / "a"), "--workers", "0"]
    full = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); from hilum.cli import main; main()"
    )
    command = [sys.executable, "-c", full, *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ, check=False)
    assert ran.returncode == 1, ran.stderr
    assert "is full. What was committed before is kept; free some space and run the same command again" in ran.stderr
    assert "Traceback" not in ran.stderr
    code, _, err = call(*words)
    assert code == 0, err
    assert len(Archive.open(tmp_path / "a")) == 4
