"""Released files are read without running anything in them, and what is not one is named."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from hilum.errors import CheckpointError, ModelError, UsageError
from hilum.models import Model, import_checkpoint


class Harmful:
    def __reduce__(self) -> tuple:
        return os.system, ("touch /tmp/hilum-was-harmed",)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_web_page_is_not_a_checkpoint(tmp_path: Path) -> None:
    page = write(tmp_path / "best.pt", b"\n<!DOCTYPE html><html><body>Sign in</body></html>")
    with pytest.raises(CheckpointError, match="this is a web page, not a checkpoint"):
        import_checkpoint("chexzero", page, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\x00\x01garbage" * 50, "not a PyTorch checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint("chexzero", write(tmp_path / "a.pt", content), tmp_path / "out")


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    Path("/tmp/hilum-was-harmed").unlink(missing_ok=True)
    torch.save({"model": Harmful()}, tmp_path / "new.pt")
    write(tmp_path / "old.pt", pickle.dumps(Harmful()))
    for name in ("new.pt", "old.pt"):
        with pytest.raises(CheckpointError):
            import_checkpoint("chexzero", tmp_path / name, tmp_path / "out")
    assert not Path("/tmp/hilum-was-harmed").exists()


def test_missing_unexpected_and_misshapen_tensors_are_listed(golden: Path, tmp_path: Path) -> None:
    tensors = torch.load(golden / "chexzero" / "checkpoint_a.pt", weights_only=True)
    del tensors["ln_final.bias"]
    tensors["visual.extra"] = torch.zeros(1)
    tensors["logit_scale"] = torch.zeros(2)
    torch.save(tensors, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint("chexzero", tmp_path / "odd.pt", tmp_path / "out")
    for part in ("1 missing: ln_final.bias", "1 unexpected: visual.extra", "logit_scale: expected (), got (2,)"):
        assert part in str(caught.value)


def test_a_checkpoint_of_another_method_is_named(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"module.encoder_q.conv1.weight": torch.zeros(1)}}, tmp_path / "moco.pt")
    with pytest.raises(CheckpointError, match=r"looks like a checkpoint of moco-cxr: hilum import moco-cxr .*moco\.pt"):
        import_checkpoint("chexzero", tmp_path / "moco.pt", tmp_path / "out")
    torch.save({"layer4.weight": torch.zeros(1)}, tmp_path / "resnet.pt")
    with pytest.raises(CheckpointError, match=r"expected a CLIP ViT state dict.*layer4\.weight"):
        import_checkpoint("chexzero", tmp_path / "resnet.pt", tmp_path / "out")


def test_half_precision_tensors_and_openai_s_extra_entries_are_taken(golden: Path, tmp_path: Path) -> None:
    tensors = torch.load(golden / "chexzero" / "checkpoint_a.pt", weights_only=True)
    halves = {name: t.half() for name, t in tensors.items()}
    torch.save(
        {**halves, "input_resolution": torch.tensor(224), "vocab_size": torch.tensor(49408)}, tmp_path / "half.pt"
    )
    import_checkpoint("chexzero", tmp_path / "half.pt", tmp_path / "out")
    vectors = Model.load(tmp_path / "out").embed_texts(["edema"])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)


def test_an_unknown_release_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'chexzero'"):
        import_checkpoint("chexzer", tmp_path / "a.pt", tmp_path / "out")


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_pixels_that_are_not_8_bit_gray_are_refused(golden: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    import_checkpoint("chexzero", golden / "chexzero" / "checkpoint_a.pt", tmp_path / "out")
    with pytest.raises(ModelError, match=r"expected a \(height, width\) array of uint8"):
        Model.load(tmp_path / "out").embed_images([pixels])
