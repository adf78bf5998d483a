"""Reports written by a run of REFERS, from training to a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.conftest import call as call

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.methods.method import Share
from hilum.models import Model
from hilum.tables import read_table
from hilum.tasks.report_writing import load_writer, write_reports
from hilum.training import pretrain

Call = Callable[..., tuple[int, str, str]]

QUICK = (
    *("tower=vit-tiny", "side_px=32", "canvas_px=40", "batch_size=16", "epochs=8", "learning_rate=2e-3"),
    *(
        "generator_width=32",
        "generator_feed_forward=64",
        "vocabulary=120",
        "report_length=24",
        "validate_every=12",
        "warmup=0.05",
    ),
)


@pytest.fixture(scope="module")
def run(small_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refers") / "run"
    done = pretrain("refers", small_archive, folder, tiny=True, settings=QUICK)
    assert done.best is not None
    return folder


def test_a_run_ends_in_a_model_of_images_whose_feature_is_the_class_token(run: Path, small_archive: Path) -> None:
    model = Model.load(run, "cpu")
    archive = Archive.open(small_archive)
    pixels = list(archive.pixels(np.arange(3)))
    writer = load_writer(run)
    squares = torch.from_numpy(writer.preprocess.squares(pixels))
    classes, _ = writer.look(squares.unsqueeze(1).expand(-1, 3, -1, -1))
    assert np.allclose(model.features(pixels), classes[:, 0].detach().numpy(), atol=1e-5)
    assert model.tokenizer is None


def test_every_study_of_a_split_gets_a_report_in_the_words_that_were_learned(run: Path, small_archive: Path) -> None:
    written = write_reports(run, small_archive, batch_size=5)
    assert len(written) == 16
    known = {"left", "right", "effusion", "pneumothorax", "no", ".", ""}
    for one in written:
        assert set(one.written.replace(".", " .").split()) <= known
        assert one.report.split(".")[0].split()[0] in ("Left", "Right")
    assert len(write_reports(run, small_archive, most=3, beams=2)) == 3


def test_the_generator_of_a_state_is_that_of_the_run(run: Path, small_archive: Path) -> None:
    from hilum.methods.refers import RefersMethod

    writer = load_writer(run)
    share = Share(Archive.open(small_archive))
    method = RefersMethod(writer.recipe)
    method.prepare([share])
    state = torch.load(run / "training" / "best.pt", weights_only=True)["method"]
    method.load_state_dict(state, strict=True)
    views = method.read(method.collect(share, "test"), np.arange(6), None).views
    assert method.write(views) == writer.write(views)


def test_the_command_writes_a_table(run: Path, small_archive: Path, tmp_path: Path, call: Call) -> None:
    code, _, err = call("write", run, small_archive, "-o", tmp_path / "written.csv", "--most", "4")
    assert code == 0, err
    assert read_table(tmp_path / "written.csv").column_names == ["study_id", "written", "report"]


def test_a_run_of_another_method_is_refused(tmp_path: Path, small_archive: Path) -> None:
    with pytest.raises(UsageError, match="not a finished run of refers"):
        write_reports(tmp_path, small_archive)
