"""`hilum evaluate`: the help's example runs, results on stdout, exit codes as documented."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from hilum.cli import main
from hilum.evaluation import read_csv

from .conftest import Study


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_the_example_of_the_help_runs(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import hilum.cli.evaluate as verb

    example = next(line for line in (verb.evaluate.__doc__ or "").splitlines() if "Example:" in line)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.csv").write_bytes(study.score_files["good"].read_bytes())
    assert run(*shlex.split(example.split("Example: hilum ")[1])) == 0
    shown = capsys.readouterr().out
    assert "mean over 4 of 5 findings" in shown
    assert "Research use only" in shown
    assert "1000 resamples of 80 images" in shown
    assert {"results.csv", "report.html"} <= {path.name for path in (tmp_path / "evaluation").iterdir()}


def test_one_option_takes_several_files(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert (
        run(
            "evaluate", "--truth", study.truth_file, "--scores", *study.score_files.values(),
            "--readers", *study.reader_files.values(), "--thresholds-from", *study.validation_files.values(),
            "--patient", "patient_id", "--replicates", 10, "-o", out,
        )
        == 0
    )  # fmt: skip
    models = {row.model for row in read_csv(out / "results.csv")}
    assert {"good", "poor", "reader_a", "reader_b", "good - poor", "poor - reader_b"} <= models
    assert "10 resamples of 40 patients" in capsys.readouterr().out


def test_json_holds_every_result(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    scores = study.score_files["good"]
    assert run("evaluate", "--truth", study.truth_file, "--scores", scores, "--replicates", 5, "-o", out, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(read_csv(out / "results.csv"))
    assert rows[0]["metric"] == "auroc"


def test_bad_input_is_one_message_and_exit_1(study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("image_id,Edema\n0000,7\n")
    assert run("evaluate", "--truth", study.truth_file, "--scores", bad, "-o", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "row 1: the score of 'Edema' is '7'" in error
    assert not (tmp_path / "out").exists()


def test_wrong_usage_is_exit_2(study: Study, tmp_path: Path) -> None:
    assert run("evaluate", "--truth", study.truth_file) == 2
    scores = study.score_files["good"]
    assert run("evaluate", "--truth", study.truth_file, "--scores", scores, "--level", 95, "-o", tmp_path / "o") == 2
