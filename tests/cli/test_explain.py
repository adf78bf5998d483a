"""`hilum explain` and `hilum pointing`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Call
from tests.tasks.explaining.planted import head_for_squares, model_of, pictures

from hilum.models import ClipTokenizer, Model


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = model_of("clip-vit")
    return Model(model.encoder, model.preprocess, ClipTokenizer(), {"name": "clip"}, device="cpu").save(
        tmp_path_factory.mktemp("explain") / "clip"
    )


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "square.png"
    Image.fromarray(pictures(1, 4)[0][0]).save(path)
    return path


def test_a_file_is_explained_as_a_picture_and_as_an_array(call: Call, clip: Path, png: Path, tmp_path: Path) -> None:
    out, array = tmp_path / "map.png", tmp_path / "map.npy"
    code, said, told = call("explain", clip, png, "left pleural effusion", "-o", out, "--array", array)
    assert code == 0
    assert said.strip() == str(out)
    assert "Research use only" in told
    assert Image.open(out).size[0] > 500
    values = np.load(array)
    assert values.shape == (80, 64)
    assert np.isnan(values).any()


def test_an_image_of_an_archive_is_explained_by_its_id(
    call: Call, clip: Path, small_archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map.png"
    code, said, _ = call(
        "explain", clip, "i5", "edema", "--archive", small_archive, "-o", out, "--how", "patches", "--json"
    )
    told = json.loads(said)
    assert code == 0
    assert told["how"] == "patches"
    assert told["against"] == "normal radiographs"
    assert 0 <= told["peak"]["row"] < told["height"] == 80
    assert told["seen"] == pytest.approx(0.8)


def test_a_finetuned_model_is_asked_by_its_head(call: Call, png: Path, tmp_path: Path) -> None:
    model = model_of("resnet-tiny")
    model.save(tmp_path / "finetuned")
    head_for_squares(model).save(tmp_path / "finetuned")
    out = tmp_path / "map.png"
    assert call("explain", tmp_path / "finetuned", png, "square", "-o", out)[0] == 0
    code, _, told = call("explain", tmp_path / "finetuned", png, "edema", "-o", out)
    assert code == 1
    assert "the head scores Square" in told


def test_wrong_calls_are_told_before_anything_is_written(call: Call, clip: Path, png: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    for words, expected, said in (
        ((clip, png, "edema", "-o", tmp_path / "map.jpg"), 2, "ends in .png"),
        ((clip, png, "edema", "-o", tmp_path / "no" / "map.png"), 2, "there is no folder"),
        ((clip, "i5", "edema", "-o", out), 2, "with its --archive"),
        ((clip, png, "edema", "-o", out, "--how", "words"), 2, "only GLoRIA"),
        ((clip, png, "edema", "-o", out, "--how", "guess"), 2, "expected auto"),
        ((tmp_path, png, "edema", "-o", out), 1, "not a model folder"),
    ):
        code, _, told = call("explain", *words)
        assert (code, said in told) == (expected, True), told
    assert not out.exists()


def test_images_alone_have_nothing_to_be_asked(call: Call, png: Path, tmp_path: Path) -> None:
    model_of("resnet-tiny").save(tmp_path / "images")
    code, _, told = call("explain", tmp_path / "images", png, "edema", "-o", tmp_path / "map.png")
    assert code == 1
    assert "hilum probe" in told


def test_the_pointing_game_prints_every_finding_and_writes_its_results(
    call: Call, clip: Path, small_archive: Path, tmp_path: Path
) -> None:
    boxes, out, points = tmp_path / "boxes.csv", tmp_path / "results.csv", tmp_path / "points.csv"
    rows = [f"i{k},{'Pleural Effusion' if k % 2 else 'Pneumothorax'},10,20,40,60" for k in range(12)]
    boxes.write_text("\n".join(["image_id,finding,x0,y0,x1,y1", *rows]), encoding="utf-8")
    code, said, _ = call(
        "pointing", clip, small_archive, boxes, "-o", out, "--points", points, "--replicates", "20", "-f", "effusion"
    )
    assert code == 0
    assert "Pleural Effusion" in said
    assert "Pneumothorax" not in said
    assert said.splitlines()[-1].startswith("all")
    assert "pointing - pointing_fixed_place" in out.read_text(encoding="utf-8")
    assert len(points.read_text(encoding="utf-8").splitlines()) == 7
