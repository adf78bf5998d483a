"""`hilum pretrain`: profile, variants, several archives, and the baseline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.training.test_pretrain import FAST

import hilum

Call = Callable[..., tuple[int, str, str]]


def settings(*more: str) -> list[str]:
    return [word for setting in (*FAST, *more) for word in ("--set", setting)]


def test_profile_shows_where_the_time_went(call: Call, small_archive: Path, tmp_path: Path) -> None:
    command = (
        "pretrain",
        "chexzero",
        small_archive,
        "-o",
        tmp_path / "run",
        "--tiny",
        "--profile",
        *settings("epochs=1"),
    )
    code, out, err = call(*command)
    assert code == 0
    assert out.strip() == str(tmp_path / "run")
    assert "where the time went" in err
    assert all(section in err for section in ("forward", "backward", "wait for examples"))
    assert "all but the towers' forward and backward pass:" in err
    assert "train: 48 images" in err
    assert "kept step" in err


def test_several_archives_train_one_model(call: Call, small_archive: Path, tmp_path: Path) -> None:
    more = settings("epochs=1", "weights=1,0.5", "texts=impression,both")
    code, _, _ = call("pretrain", "chexzero", small_archive, small_archive, "-o", tmp_path / "run", "--tiny", *more)
    assert code == 0
    made = hilum.Model.load(tmp_path / "run").provenance
    assert made["text_policy"] == "impression, both"
    assert made["steps"] == (48 + 24) // 16


def test_of_several_processes_the_first_alone_tells(
    call: Call, small_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hilum.training.processes.is_first", lambda: False)
    more = settings("epochs=0.34")
    code, out, err = call("pretrain", "chexzero", small_archive, "-o", tmp_path / "run", "--tiny", "--profile", *more)
    assert code == 0
    assert out == ""
    assert "where the time went" not in err
    assert "kept step" not in err


def test_dry_run_shows_a_variant_s_settings(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = call("pretrain", "cxr-clip", "--variant", "m+c", "--dry-run")
    assert code == 0
    assert "('sections', 'prompts')" in out
    code, _, err = call("pretrain", "cxr-clip", "--variant", "m+x", "--dry-run")
    assert code == 2
    assert "no variant 'm+x'. There are: m, m+c, m+c+c14, swin-t, clip" in err


def test_left_out_the_method_is_one_of_a_list_with_variants(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    code, out, _ = call("pretrain")
    assert code == 0
    assert "--tiny, m, m+c, m+c+c14, swin-t, clip" in out
    assert all(name in out for name in ("moco-cxr", "medaug", "s2mts2", "chexzero", "imagenet"))


def test_the_baseline_is_a_model_without_a_step(call: Call, small_archive: Path, tmp_path: Path) -> None:
    code, _, err = call("pretrain", "imagenet", small_archive, "-o", tmp_path / "run", "--tiny")
    assert code == 0, err
    model = hilum.Model.load(tmp_path / "run")
    assert model.provenance["steps"] == 0
    assert model.provenance["init"] == "random"  # nobody trained so small a tower on ImageNet
    assert json.loads((tmp_path / "run" / "config.json").read_text())["provenance"]["made_by"] == "pretrain imagenet"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("chexzero",), "ARCHIVE is missing"),
        (("chexzero", "archive"), "-o RUN is missing"),
        (("chexzero", "archive", "-o", "run", "--precision", "half"), "expected one of 32-true, bf16-mixed, 16-mixed"),
        (("cxrclip", "archive", "-o", "run"), "Did you mean 'cxr-clip'"),
        (("imagenet", "archive", "-o", "run", "--set", "towr=resnet18"), "Did you mean 'tower'"),
    ],
)
def test_wrong_words_are_refused_with_what_to_type(call: Call, words: tuple[str, ...], message: str) -> None:
    code, _, err = call("pretrain", *words)
    assert code == 2
    assert message in err
