"""The command line of ingest: what is typed, what is printed, and the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from hilum.archive import Archive
from hilum.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(stopped.value.code or 0), said.out, said.err


def test_a_folder_enters_with_exit_code_0(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "ingest", "dicom", export, "-o", tmp_path / "a", "--workers", "0")
    assert code == 0
    assert "added: 4 images" in out
    assert "3 studies, 2 with a report" in out
    assert len(Archive.open(tmp_path / "a")) == 4


def test_rejected_files_give_exit_code_3_and_a_reason(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (export / "bad.dcm").write_bytes(b"junk")
    code, out, err = call(capsys, "ingest", "dicom", export, "-o", tmp_path / "a", "--workers", "0")
    assert code == 3
    assert "rejected: 1 file (not_an_image 1)" in out
    assert "bad.dcm" in err
    code, _, err = call(capsys, "ingest", "dicom", export, "-o", tmp_path / "b", "--workers", "0", "--strict")
    assert (code, "bad.dcm" in err) == (1, True)


def test_without_a_source_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["ingest"], ["sources"]):
        code, out, _ = call(capsys, *command)
        assert code == 0
        for name in ("dicom", "table", "nih", "covid", "licence", "layout"):
            assert name in out


def test_one_source_is_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "sources", "reflacx")
    assert code == 0
    for said in (
        "reflacx-9 (multi-label, unconfirmed)",
        "with mimic",
        "certainty: 1 to 5",
        "files/ of MIMIC-CXR",
        "size:",
    ):
        assert said in out
    code, _, err = call(capsys, "sources", "reflax")
    assert (code, "Did you mean 'reflacx'" in err) == (2, True)


def test_settings_of_a_source_are_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p").mkdir()
    command = ("ingest", "padchest", tmp_path / "p", "-o", tmp_path / "a", "--set")
    code, _, err = call(capsys, *command, "labeled_by=me")
    assert (code, "expected all or physician" in err) == (2, True)
    code, _, err = call(capsys, *command, "labelled=all")
    assert (code, "no setting 'labelled'. It takes: labeled_by" in err) == (2, True)
    code, _, err = call(capsys, *command, "labeled_by=physician")
    assert (code, "lacks PADCHEST" in err) == (1, True)


def test_a_table_is_mapped_from_the_command_line(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (export / "t.csv").write_text("f,pid,v,Edema\np1/s1/a.dcm,P,Frontal,1\n")
    code, _, _ = call(
        capsys, "ingest", "table", export / "t.csv", "-o", tmp_path / "a", "--workers", "0", "--map", "image=f",
        "--map", "patient_id=pid", "--map", "view=v", "--view-map", "Frontal=pa", "--labels", "Edema", "--seed", "3",
    )  # fmt: skip
    assert code == 0
    assert Archive.open(tmp_path / "a").labels(["finding"])["finding"].to_pylist() == ["Edema"]


def test_salt_comes_from_a_file_or_the_environment(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "salt").write_text("a salt of more than sixteen bytes\n")
    command = ("ingest", "dicom", export, "--workers", "0", "-o")
    assert call(capsys, *command, tmp_path / "a", "--pseudonymize", tmp_path / "salt")[0] == 0
    monkeypatch.setenv("HILUM_SALT", "a salt of more than sixteen bytes")
    assert call(capsys, *command, tmp_path / "b", "--pseudonymize", "env")[0] == 0
    ids = [sorted(Archive.open(tmp_path / p).images(["image_id"])["image_id"].to_pylist()) for p in ("a", "b")]
    assert ids[0] == ids[1]
    monkeypatch.delenv("HILUM_SALT")
    assert call(capsys, *command, tmp_path / "c", "--pseudonymize", "env")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ingest", "dicom"], 2, "hilum ingest SOURCE PATH -o ARCHIVE"),
        (["ingest", "dicon", "x", "-o", "y"], 2, "Did you mean 'dicom'"),
        (["ingest", "dicom", "no-such-folder", "-o", "y"], 1, "does not exist"),
        (["ingest", "table", "x", "-o", "y", "--map", "view"], 2, "expected two names"),
    ],
)
def test_wrong_calls_say_what_to_do(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    got, _, err = call(capsys, *arguments)
    assert got == code
    assert said in err
    assert not (tmp_path / "y").exists()


def test_a_dry_run_writes_nothing(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "ingest", "dicom", export, "-o", tmp_path / "a", "--dry-run")
    assert (code, "to add: 4 images" in out, (tmp_path / "a").exists()) == (0, True, False)
