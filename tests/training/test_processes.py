"""Two processes train as one: the same examples, exact resume, and an end that both reach."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import hilum

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HILUM_OFFLINE": "1", "GLOO_SOCKET_IFNAME": "lo"}
# A transformer, for batch statistics would be those of half a batch; SGD, for Adam magnifies rounding.
SETTINGS = [
    "tower=vit",
    "patch_px=16",
    "vision_width=64",
    "vision_layers=1",
    "side_px=64",
    "canvas_px=64",
    "text_layers=1",
]
SETTINGS += ["text_width=64", "batch_size=16", "epochs=2", "validate_every=3", "sentences=0", "augment=none"]
SETTINGS += ["optimizer=sgd", "learning_rate=0.05"]


def command(archive: Path, out: Path, devices: int, extra: list[str] | None = None) -> list[str]:
    settings = [part for setting in [*SETTINGS, *(extra or [])] for part in ("--set", setting)]
    start = [sys.executable, "-m", "hilum", "pretrain", "chexzero", str(archive), "-o", str(out), "--tiny", *settings]
    return [*start, "--devices", str(devices), "--save-every", "1"]


def trained(archive: Path, out: Path, devices: int, extra: list[str] | None = None) -> dict[str, np.ndarray]:
    done = subprocess.run(command(archive, out, devices, extra), env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return load_file(out / "model.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="tests processes of the CPU")
def test_two_processes_end_with_the_weights_of_one(small_archive: Path, tmp_path: Path) -> None:
    one = trained(small_archive, tmp_path / "one", 1)
    two = trained(small_archive, tmp_path / "two", 2)
    for name, weight in one.items():
        assert np.abs(weight - two[name]).max() <= 1e-5, name
    assert hilum.Model.load(tmp_path / "two").provenance["steps"] == 6


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="tests processes of the CPU")
def test_two_processes_with_cached_gradients_end_with_the_weights_of_one(small_archive: Path, tmp_path: Path) -> None:
    one = trained(small_archive, tmp_path / "one", 1)
    two = trained(small_archive, tmp_path / "two", 2, ["chunk=3"])
    for name, weight in one.items():
        assert np.abs(weight - two[name]).max() <= 1e-5, name


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="tests processes of the CPU")
def test_two_processes_killed_and_started_again_end_with_bitwise_the_same_weights(
    small_archive: Path, tmp_path: Path
) -> None:
    extra = ["augment=light", "sentences=0.5", "optimizer=adamw"]
    whole = trained(small_archive, tmp_path / "whole", 2, extra)
    out = tmp_path / "killed"
    process = subprocess.Popen(
        command(small_archive, out, 2, extra), env=ENVIRONMENT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (out / "training" / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "config.json").exists(), "killed too late to prove anything"
    again = trained(small_archive, out, 2, extra)
    for name, weight in whole.items():
        assert np.array_equal(weight, again[name]), name


@pytest.mark.slow
def test_an_error_of_the_first_process_ends_all(small_archive: Path, tmp_path: Path) -> None:
    trained(small_archive, tmp_path / "run", 1)
    other = subprocess.run(
        command(small_archive, tmp_path / "run", 2, ["epochs=3"]), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert other.returncode != 0
    assert "holds another run" in other.stderr
