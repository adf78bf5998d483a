"""A run ends the same however often it is stopped, and refuses what cannot work before its first step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import make_small_archive

import hilum
from hilum.archive import Archive
from hilum.errors import HilumError, ModelError, RecipeError, TrainingError, UsageError
from hilum.methods.chexzero import CheXzeroMethod
from hilum.training import Progress, pretrain

FAST = [
    "side_px=64",
    "canvas_px=64",
    "batch_size=16",
    "vision_width=8",
    "text_width=64",
    "text_layers=1",
    "validate_every=4",
]


class Stop(Exception):
    """Stands for a killed process: raised between two steps."""


def run(archive: Path, out: Path, stop_at: int | None = None, epochs: int = 4, save_every: int = 1) -> hilum.Model:
    def on_step(progress: Progress) -> None:
        if progress.step == stop_at:
            raise Stop

    settings = [*FAST, f"epochs={epochs}"]
    pretrain("chexzero", archive, out, tiny=True, settings=settings, save_every=save_every, on_step=on_step)
    return hilum.Model.load(out)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whole(small_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run(small_archive, out)
    return out


@pytest.mark.parametrize(("stops", "save_every"), [((1,), 1), ((4, 5, 11), 1), ((7,), 5)])
def test_a_stopped_run_ends_with_bitwise_the_same_weights(
    small_archive: Path, whole: Path, tmp_path: Path, stops: tuple[int, ...], save_every: int
) -> None:
    for stop in stops:
        with pytest.raises(Stop):
            run(small_archive, tmp_path / "run", stop, save_every=save_every)
    run(small_archive, tmp_path / "run", save_every=save_every)
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes(), name
    steps = [
        line.split(",")[0] for line in (tmp_path / "run" / "training" / "metrics.csv").read_text().splitlines()[1:]
    ]
    assert steps == [str(s) for s in range(1, 13)]


@pytest.mark.slow
def test_a_run_killed_with_sigkill_ends_with_bitwise_the_same_weights(
    small_archive: Path, whole: Path, tmp_path: Path
) -> None:
    settings = [part for s in [*FAST, "epochs=4"] for part in ("--set", s)]
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "hilum",
        "pretrain",
        "chexzero",
        str(small_archive),
        "-o",
        str(out),
        "--tiny",
        "--save-every",
        "1",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, *settings], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "training" / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "config.json").exists(), "killed too late to prove anything"
    subprocess.run([*command, *settings], env=environment, check=True, stderr=subprocess.DEVNULL)
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_two_runs_with_one_seed_give_equal_files_and_another_seed_does_not(
    small_archive: Path, whole: Path, tmp_path: Path
) -> None:
    run(small_archive, tmp_path / "a" / "run")
    assert (tmp_path / "a" / "run" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    pretrain("chexzero", small_archive, tmp_path / "b", tiny=True, settings=[*FAST, "epochs=1"], seed=1)
    assert hilum.Model.load(tmp_path / "b").fingerprint != hilum.Model.load(whole).fingerprint


def test_a_finished_run_called_again_changes_nothing(small_archive: Path, whole: Path) -> None:
    before = (whole / "model.safetensors").read_bytes()
    run(small_archive, whole)
    assert (whole / "model.safetensors").read_bytes() == before


def test_the_model_folder_says_what_made_it(whole: Path) -> None:
    made = json.loads((whole / "config.json").read_text())["provenance"]
    assert made["counts"]["train"] == {"images": 48, "images_without_text": 0, "pairs": 48, "texts_cut": 0}
    assert made["text_policy"] == "impression"
    assert made["recipe"]["side_px"] == 64
    card = (whole / "README.md").read_text()
    assert "not a medical device" in card
    assert "| train | 48 | 0 | 48 | 0 |" in card
    assert (whole / "tokenizer.json").exists()


def test_the_step_is_chosen_by_zero_shot_auroc_where_a_dataset_gave_labels(tmp_path: Path) -> None:
    archive = make_small_archive(tmp_path / "archive", labels=True)
    done = pretrain("chexzero", archive, tmp_path / "run", tiny=True, settings=[*FAST, "epochs=2"])
    assert done.selected_by == "val_auroc"
    assert done.best is not None
    assert 0 <= done.best["val_auroc"] <= 1
    assert "dataset:disks" in (tmp_path / "run" / "README.md").read_text()


def test_another_recipe_does_not_go_on_with_a_run(small_archive: Path, whole: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds another run: .*epochs was 4.0, now 9.0"):
        pretrain("chexzero", small_archive, whole, tiny=True, settings=[*FAST, "epochs=9"])


def test_a_loss_that_is_not_finite_stops_with_the_batch_s_images(small_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is nan.* images: i\d+") as caught:
        pretrain(
            "chexzero",
            small_archive,
            tmp_path / "run",
            tiny=True,
            settings=[*FAST, "learning_rate=1e30", "warmup=0", "clip_norm=none"],
        )
    assert "not_finite.json" in str(caught.value)
    assert len(json.loads((tmp_path / "run" / "training" / "not_finite.json").read_text())["image_ids"]) == 16


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (["batch_size=500"], TrainingError, "larger than the 48 training examples"),
        (["side=64"], RecipeError, "has no setting 'side'. Did you mean 'side_px'"),
        (["bacth_size=64"], RecipeError, "Did you mean 'batch_size'"),
        (["batch_size=0"], RecipeError, "batch_size: Input should be greater than 1"),
        (["batch_size"], RecipeError, "not of the form key=value"),
        (["text_policy=history"], HilumError, "unknown text policy"),
        (["init=openai"], ModelError, "init=openai: CLIP ViT-B/32 weights are needed and downloads are off"),
        (["init=/nowhere.pt"], ModelError, "no such file"),
        (["tower=vit", "side_px=65"], TrainingError, "not a multiple of patch_px"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    small_archive: Path, tmp_path: Path, settings: list[str], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        pretrain("chexzero", small_archive, tmp_path / "run", tiny=True, settings=[*FAST, *settings])
    assert not (tmp_path / "run" / "training" / "last.pt").exists()


def test_a_refused_batch_size_leaves_the_folder_for_the_next_try(small_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="larger than"):
        pretrain("chexzero", small_archive, tmp_path / "run", tiny=True, settings=[*FAST, "batch_size=500"])
    pretrain("chexzero", small_archive, tmp_path / "run", tiny=True, settings=[*FAST, "batch_size=24", "epochs=1"])


@pytest.mark.parametrize("chunk", ["none", "5"])
def test_mixed_precision_trains_and_keeps_its_losses_in_float32(
    small_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: str
) -> None:
    seen: set[tuple[torch.dtype, bool]] = set()

    def losses(self: Any, rows: dict[str, torch.Tensor], ranks: Any) -> dict[str, torch.Tensor]:
        seen.add((rows["images"].dtype, torch.is_autocast_enabled("cpu")))
        return genuine(self, rows, ranks)

    genuine = CheXzeroMethod.losses
    monkeypatch.setattr(CheXzeroMethod, "losses", losses)
    settings = [*FAST, "epochs=1", f"chunk={chunk}"]
    pretrain("chexzero", small_archive, tmp_path / "run", tiny=True, settings=settings, precision="bf16-mixed")
    assert seen == {(torch.float32, False)}
    assert hilum.Model.load(tmp_path / "run").embed_texts(["effusion"]).dtype == np.float32


def test_an_unknown_method_is_refused_with_a_suggestion(small_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'chexzero'"):
        pretrain("chexzeo", small_archive, tmp_path / "run")


def test_an_archive_without_reports_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    archive = make_small_archive(tmp_path / "archive")
    bare = Archive.create(tmp_path / "bare")
    full = Archive.open(archive)
    bare.add_images(
        full.images([*[c for c in full.images().column_names if c != "row"], "pixels"]).drop_columns(["row"])
    )
    bare.add_studies(
        pa.Table.from_pylist([{"study_id": f"s{i}", "patient_id": f"p{i}", "source": "disks"} for i in range(96)])
    )
    with pytest.raises(TrainingError, match=r"no image of the split 'train' has a report text .* without text: 48"):
        pretrain("chexzero", tmp_path / "bare", tmp_path / "run", tiny=True, settings=FAST)


def test_weights_to_start_from_are_really_used(small_archive: Path, whole: Path, tmp_path: Path) -> None:
    settings = [*FAST, f"init={whole}", "epochs=0.34", "learning_rate=1e-12", "augment=none"]
    pretrain("chexzero", small_archive, tmp_path / "run", tiny=True, settings=settings)
    before, after = hilum.Model.load(whole), hilum.Model.load(tmp_path / "run")
    assert np.abs(before.embed_texts(["effusion"]) - after.embed_texts(["effusion"])).max() < 1e-4


def test_a_model_says_which_archives_and_sources_it_has_seen(small_archive: Path, tmp_path: Path) -> None:
    settings = ["side_px=32", "canvas_px=32", "batch_size=16", "queue=16", "epochs=1"]
    pretrain("moco-cxr", small_archive, tmp_path / "run", tiny=True, settings=settings)
    made = hilum.Model.load(tmp_path / "run").provenance
    assert made["archives"] == [str(small_archive.resolve())]
    assert made["sources"] == sorted(Archive.open(small_archive).manifest.sources)
