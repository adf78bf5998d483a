"""`hilum semisupervise`: from a model and an archive to results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import make_small_archive

from hilum.models import Model
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder
from hilum.models.preprocess_kinds import Squash
from hilum.models.towers_resnet import ResNet

Call = Callable[..., tuple[int, str, str]]


def test_a_model_is_finetuned_and_measured(call: Call, tmp_path: Path) -> None:
    tower = ResNet(block="basic", layers=(1, 1), widths=(8, 16), stem_width=8, stem="3x3")
    model = Model(ImageEncoder(ImageArchitecture(tower=tower)), Squash(canvas_px=32), None, {}, "cpu")
    model.save(tmp_path / "model")
    archive = make_small_archive(tmp_path / "archive", labels=True)
    words = ("--fraction", "0.4", "--tiny", "--set", "epochs=1", "-o", tmp_path / "out")
    code, out, err = call("semisupervise", tmp_path / "model", archive, *words)
    assert code == 0, err
    assert "19 labeled, 29 unlabeled" in err
    assert "Pneumothorax" in out
    assert (tmp_path / "out" / "evaluation" / "results.csv").is_file()
    assert (tmp_path / "out" / "head.json").is_file()


def test_the_recipe_is_shown(call: Call) -> None:
    code, out, _ = call("semisupervise", "model", "archive", "-o", "out", "--variant", "two-students", "--dry-run")
    assert code == 0
    assert "history_beta" in out
    assert call("recipe", "show", "semi-supervised")[0] == 0
