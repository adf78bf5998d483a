"""A study is done cell by cell, goes on where it was stopped, shares cells out, and outlives what is broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hilum.errors import UsageError
from hilum.studies import Step, Store, cells_of, load_study, plan, run_cells, run_study
from hilum.tasks import probe
from tests.studies.conftest import SETTINGS
from tests.tasks.conftest import tiny_model


def steps_of(study_file: Path, out: Path, stop_after: int | None = None) -> list[Step]:
    steps: list[Step] = []

    def on_cell(step: Step) -> None:
        steps.append(step)
        if len(steps) == stop_after:
            raise KeyboardInterrupt

    try:
        run_cells(load_study(study_file), Store(out), on_cell=on_cell)
    except KeyboardInterrupt:
        assert len(steps) == stop_after
    return steps


def test_a_cell_s_scores_are_those_of_the_probe_itself(study_file: Path, made: Path) -> None:
    out = study_file.parent / "out"
    steps = steps_of(study_file, out)
    assert [step.what for step in steps] == ["done"] * 4
    store, study = Store(out), load_study(study_file)
    for cell in cells_of(study):
        saved, record = store.scores(cell), store.record(cell)
        assert record is not None
        model = tiny_model({"ours": 0, "base": 1}[cell.model])
        probed = probe(model, made / "archive", fraction=cell.fraction)
        assert saved.image_ids == probed.examples["test"].image_ids
        assert (saved.values == probed.scores["test"]).all()
        assert record.inputs["model"] == model.fingerprint
        assert record.made["images"] == {"train": 48 if cell.fraction == 1 else 24, "val": 32, "test": 16}
        assert {"data", "split", "settings"} <= record.inputs.keys()
        assert record.made["code"]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_stopped_study_goes_on_where_it_was(study_file: Path, stop: int) -> None:
    out = study_file.parent / "out"
    steps_of(study_file, out, stop_after=stop)
    assert [step.what for step in steps_of(study_file, out)] == ["kept"] * stop + ["done"] * (4 - stop)


def test_a_cell_whose_model_data_or_settings_changed_is_done_again(study_file: Path) -> None:
    out = study_file.parent / "out"
    steps_of(study_file, out)
    (study_file.parent / "ours").unlink()
    tiny_model(7).save(study_file.parent / "ours")
    assert [step.what for step in steps_of(study_file, out)] == ["done", "done", "kept", "kept"]
    study_file.write_text(SETTINGS + '\n[probe]\nprotocol = "cxrlearn"\n')
    assert [step.what for step in steps_of(study_file, out)] == ["done"] * 4


def test_a_cell_that_another_worker_holds_is_left_to_it(study_file: Path) -> None:
    out = study_file.parent / "out"
    store, first = Store(out), cells_of(load_study(study_file))[0]
    with store.claim(first.name) as is_ours:
        assert is_ours
        assert [step.what for step in steps_of(study_file, out)] == ["elsewhere", "done", "done", "done"]
    assert [step.what for step in steps_of(study_file, out)] == ["done", "kept", "kept", "kept"]


def test_a_half_written_record_counts_as_none(study_file: Path) -> None:
    out = study_file.parent / "out"
    steps_of(study_file, out)
    path = next((out / "cells").glob("*.json"))
    path.write_text(path.read_text()[:40])
    assert sorted(step.what for step in steps_of(study_file, out)) == ["done", "kept", "kept", "kept"]


BROKEN = """
[[models]]
name = "absent"
folder = "nowhere"

[[models]]
name = "broken"
checkpoint = "broken.pt"
release = "moco-cxr"

[[datasets]]
name = "gone"
archive = "no-archive"

[[datasets]]
name = "silent"
archive = "archive"
target = "Cardiomegaly"
"""


def test_missing_models_and_broken_datasets_become_missing_cells_with_their_reasons(study_file: Path) -> None:
    (study_file.parent / "broken.pt").write_bytes(b"no checkpoint")
    study_file.write_text(
        SETTINGS.replace("[statistics]", BROKEN + "\n[statistics]").replace("[1.0, 0.5]", "[1.0, 0.01]")
    )
    report = run_study(study_file, study_file.parent / "out")
    reasons = {
        (r.cell.model, r.cell.dataset, r.cell.fraction): r.reason for r in report.records if r.status == "missing"
    }
    assert "expected a model folder, there is none" in reasons["absent", "disks", 1.0]
    assert "broken.pt" in reasons["broken", "disks", 1.0]
    assert "no such archive" in reasons["ours", "gone", 1.0]
    assert "says nothing of Cardiomegaly" in reasons["ours", "silent", 1.0]
    assert "of one class: nothing can be learned" in reasons["ours", "disks", 0.01]
    assert report.done == 2
    assert any(row.model == "ours" and row.value is not None for row in report.rows)
    page = (study_file.parent / "out" / "study.html").read_text()
    assert "expected a model folder, there is none" in page


def test_what_breaks_inside_a_cell_does_not_end_the_study(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr("hilum.studies.adapting.probe", breaks)
    steps = steps_of(study_file, study_file.parent / "out")
    assert [step.what for step in steps] == ["missing"] * 4
    assert steps[0].reason == "ZeroDivisionError: deep inside"


def test_finetuning_and_zero_shot_are_cells_too(study_file: Path) -> None:
    settings = '[finetune]\nsettings = ["epochs=1", "batch_size=16"]\n'
    study_file.write_text(
        SETTINGS.replace('["probe"]', '["zero-shot", "finetune"]').replace("[1.0, 0.5]", "[0.5]") + settings
    )
    out = study_file.parent / "out"
    steps = {step.cell.name: step for step in steps_of(study_file, out)}
    assert steps["disks~ours~finetune~0.5~0"].what == "done"
    assert "no text tower" in steps["disks~ours~zero-shot~1~0"].reason
    record = Store(out).record(steps["disks~ours~finetune~0.5~0"].cell)
    assert record is not None
    assert record.made["best_epoch"] == 1
    assert not list((out / "runs").glob("*")), "models are not kept unless asked"


def test_a_dry_run_shows_the_cells_with_an_estimate_and_writes_nothing(study_file: Path) -> None:
    out = study_file.parent / "out"
    study_file.write_text(SETTINGS.replace("[statistics]", BROKEN + "\n[statistics]"))
    (study_file.parent / "broken.pt").write_bytes(b"no checkpoint")
    planned = plan(load_study(study_file), Store(out, read_only=True))
    assert not out.exists()
    what = {(one.cell.model, one.cell.dataset): one for one in planned}
    assert what["ours", "disks"].what == "to do"
    assert what["ours", "disks"].seconds > 0
    assert what["absent", "disks"].what == "missing"
    assert what["broken", "disks"].reason.endswith("imported when the study is run.")


def test_several_workers_need_the_file(study_file: Path) -> None:
    with pytest.raises(UsageError, match="needs the study's TOML file"):
        run_study(load_study(study_file), study_file.parent / "out", workers=2)


@pytest.mark.slow
def test_two_workers_do_each_cell_once(study_file: Path) -> None:
    study_file.write_text(SETTINGS.replace("[1.0, 0.5]", "[1.0, 0.9, 0.8, 0.7, 0.6, 0.5]"))
    report = run_study(study_file, study_file.parent / "out", workers=2)
    assert report.done == 12
    assert report.waiting == 0


@pytest.mark.slow
def test_a_study_killed_with_sigkill_goes_on(study_file: Path) -> None:
    out = study_file.parent / "out"
    command = [sys.executable, "-m", "hilum", "study", str(study_file), "-o", str(out), "--no-report"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(out.glob("cells/*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run_study(study_file, out).done == 4
    for path in (out / "cells").glob("*.json"):
        assert json.loads(path.read_text())["status"] == "done"
