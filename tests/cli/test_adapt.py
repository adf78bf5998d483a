"""Probe, finetune, predict and study, as they are typed: results on stdout, errors in one line, the right exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Call
from tests.conftest import make_small_archive
from tests.studies.conftest import SETTINGS
from tests.tasks.conftest import tiny_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapt")
    make_small_archive(folder / "archive", labels=True)
    tiny_model(0, "ours").save(folder / "ours")
    tiny_model(1, "base").save(folder / "base")
    return folder


def test_a_probe_is_fitted_measured_and_written(call: Call, place: Path, tmp_path: Path) -> None:
    code, out, err = call(
        "probe",
        place / "ours",
        place / "archive",
        "-o",
        tmp_path / "probe",
        "--fraction",
        "0.5",
        "--target",
        "effusion",
    )
    assert code == 0
    assert "Pleural Effusion" in out
    assert "part: 0.5 of patients, seed 0" in err
    written = {path.name for path in (tmp_path / "probe").iterdir()}
    assert {"results.csv", "scores-test.csv", "scores-val.csv", "head.json", "report.html"} <= written
    code, out, _ = call("predict", tmp_path / "probe", place / "archive")
    assert code == 0
    assert out.splitlines()[0] == '"image_id","study_id","patient_id","Pleural Effusion"'
    assert len(out.splitlines()) == 97


def test_results_as_json(call: Call, place: Path, tmp_path: Path) -> None:
    code, out, _ = call("probe", place / "ours", place / "archive", "-o", tmp_path / "probe", "--shots", "4", "--json")
    assert code == 0
    assert {row["metric"] for row in json.loads(out)} >= {"auroc", "mcc"}


def test_a_model_is_finetuned_and_scores_new_files(call: Call, place: Path, tmp_path: Path) -> None:
    settings = ["--set", "epochs=1", "--set", "batch_size=16"]
    code, out, err = call("finetune", place / "ours", place / "archive", "-o", tmp_path / "run", *settings)
    assert code == 0
    assert out.splitlines()[-1] == str(tmp_path / "run")
    assert "pass 1/1" in err
    (tmp_path / "broken.png").write_bytes(b"no picture")
    from PIL import Image

    Image.new("L", (64, 80), 120).save(tmp_path / "new.png")
    files = [tmp_path / "new.png", tmp_path / "broken.png"]
    code, out, err = call("predict", tmp_path / "run", *files, "-o", tmp_path / "scores.csv", "--workers", "0")
    assert code == 3
    assert "no score:" in err
    assert "broken.png" in err
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 2


def test_without_words_the_settings_are_shown(call: Call) -> None:
    code, out, _ = call("finetune", "--recipe", "modern")
    assert code == 0
    assert "layer_decay" in out


def test_a_study_runs_resumes_and_reports(call: Call, place: Path, tmp_path: Path) -> None:
    for name in ("archive", "ours", "base"):
        (tmp_path / name).symlink_to(place / name)
    (tmp_path / "study.toml").write_text(SETTINGS)
    code, out, _ = call("study", tmp_path / "study.toml", "-o", tmp_path / "out", "--dry-run")
    assert code == 0
    assert "4 cells: 0 done, 4 to do, 0 missing" in out
    assert not (tmp_path / "out").exists()
    code, out, err = call("study", tmp_path / "study.toml", "-o", tmp_path / "out")
    assert code == 0
    assert "Largest improvement over base" in out
    assert "4 cells done, 0 missing" in out
    assert err.count(" done ") == 4
    code, out, err = call("study", tmp_path / "study.toml", "-o", tmp_path / "out", "--json")
    assert err.count(" kept ") == 4
    assert {row["model"] for row in json.loads(out)} == {"ours", "base"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["probe", "nowhere", "ARCHIVE", "-o", "OUT"], 1, "expected a model folder"),
        (["probe", "MODEL", "ARCHIVE", "-o", "OUT", "--target", "pneumothorx"], 2, "Did you mean 'Pneumothorax'"),
        (["probe", "MODEL", "ARCHIVE", "-o", "OUT", "--fraction", "2"], 2, "a share above 0"),
        (["probe", "MODEL", "ARCHIVE", "-o", "OUT", "--fraction", "0.02"], 2, "of one class: nothing can be learned"),
        (["probe", "MODEL", "ARCHIVE", "-o", "OUT", "--by", "study"], 2, "expected patient or image"),
        (["finetune", "MODEL", "ARCHIVE", "-o", "OUT", "--recipe", "old"], 2, "There are: paper, modern"),
        (["finetune", "MODEL", "ARCHIVE", "-o", "OUT", "--set", "epoch=1"], 2, "Did you mean 'epochs'"),
        (["finetune", "MODEL"], 2, "ARCHIVE is missing"),
        (["predict", "MODEL", "ARCHIVE"], 1, "expected a model with a head"),
        (["study", "nowhere.toml", "-o", "OUT"], 2, "cannot be read"),
    ],
)
def test_wrong_words_are_one_line_and_the_right_code(
    call: Call, place: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    known = {"MODEL": place / "ours", "ARCHIVE": place / "archive", "OUT": tmp_path / "out"}
    got, _, err = call(*(known.get(word, word) for word in words))
    assert got == code
    assert message in err
