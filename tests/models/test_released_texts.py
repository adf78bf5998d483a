"""Importers of ConVIRT, GLoRIA and CXR-CLIP: what they make, what they refuse, and that nothing in a file is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hilum.checkpoints import read_checkpoint
from hilum.cli import main
from hilum.errors import CheckpointError, UsageError
from hilum.models import Model, import_checkpoint
from hilum.models.released.convirt import import_convirt
from hilum.models.released.cxr_clip import import_cxr_clip
from hilum.models.released.gloria import import_gloria
from hilum.models.released.swin import swin_of, swin_to_timm

FILES = {
    "convirt": ("convirt", "best_model.pt"),
    "gloria": ("gloria", "chexpert_tiny.pt"),
    "cxr-clip": ("cxr_clip", "swin_model-best.pt"),
}


@pytest.fixture(scope="module")
def vocab(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with np.load(golden / "convirt" / "io.npz") as saved:
        words = [str(word) for word in saved["bert_vocab"]]
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return path


def file_of(golden: Path, name: str) -> Path:
    return golden.joinpath(*FILES[name])


@pytest.mark.parametrize("name", list(FILES))
def test_the_command_writes_a_folder_that_embeds_images_and_texts(
    golden: Path, vocab: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    command = ["import", name, str(file_of(golden, name)), "-o", str(out), "--vocab", str(vocab), "--heads", "2"]
    with pytest.raises(SystemExit, match="0"):
        main(command)
    assert "none missing, none unexpected" in capsys.readouterr().out
    model = Model.load(out, device="cpu")
    assert model.provenance["made_by"] == f"import {name}"
    assert len(model.provenance["sha256"]) == 64
    pixels = np.random.default_rng(0).integers(0, 256, (1, 90, 70), np.uint8)
    images, texts = model.embed_images(pixels), model.embed_texts(["no effusion", "heart size is normal"])
    assert images.shape[1] == texts.shape[1] == model.embed_dim
    assert model.features(pixels).shape == (1, model.encoder.feature_dim)


def test_preprocessing_is_the_releases_own(golden: Path, vocab: Path) -> None:
    convirt = import_convirt(file_of(golden, "convirt"), vocab).preprocess
    assert (convirt.kind, convirt.canvas_px, convirt.mean[0]) == ("pad-then-resize", 224, 0.485)
    gloria = import_gloria(file_of(golden, "gloria"), vocab).preprocess
    assert (gloria.kind, gloria.resize_px, gloria.canvas_px, gloria.mean[0]) == ("longer-side-pad-crop", 256, 224, 0.5)
    swin = import_cxr_clip(file_of(golden, "cxr-clip"), vocab).preprocess
    assert (swin.kind, swin.canvas_px, swin.mean[0]) == ("shorter-side-crop", 224, 0.5)
    resnet = import_cxr_clip(golden / "cxr_clip" / "resnet_model-best.pt", vocab).preprocess
    assert resnet.mean[0] == 0.485


@pytest.mark.parametrize("name", list(FILES))
def test_a_vocabulary_is_needed_and_must_fit(golden: Path, vocab: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"--vocab is missing; .* holds no tokenizer"):
        import_checkpoint(name, file_of(golden, name), tmp_path / "model")
    short = tmp_path / "vocab.txt"
    short.write_text("\n".join(vocab.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(CheckpointError, match=r"has 170 tokens, but .* has embeddings for 171"):
        import_checkpoint(name, file_of(golden, name), tmp_path / "model", vocab=short)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_of_another_release_names_its_own_importer(golden: Path, vocab: Path, tmp_path: Path, name: str) -> None:
    others = {**FILES, "chexzero": ("chexzero", "checkpoint_a.pt"), "moco-cxr": ("moco_cxr", "lin_ckpt_step0.pth.tar")}
    for other, place in others.items():
        if other != name:
            with pytest.raises(CheckpointError, match=f"hilum import {other} "):
                import_checkpoint(name, golden.joinpath(*place), tmp_path / "model", vocab=vocab)


def changed(source: Path, target: Path, under: str, change: Any) -> Path:
    content = read_checkpoint(source)
    change(content[under] if under else content)
    torch.save(content, target)
    return target


def test_missing_and_unexpected_tensors_are_listed(golden: Path, vocab: Path, tmp_path: Path) -> None:
    def less(part: dict[str, Any]) -> None:
        part.pop(next(name for name in part if name.endswith("layer2.0.conv2.weight")))

    def more(part: dict[str, Any]) -> None:
        part["bert_model.encoder.extra"] = torch.zeros(1)

    file = changed(file_of(golden, "gloria"), tmp_path / "a.ckpt", "state_dict", less)
    with pytest.raises(CheckpointError, match=r"1 missing: image_tower\.layer2\.0\.conv2\.weight"):
        import_gloria(file, vocab)
    file = changed(file_of(golden, "convirt"), tmp_path / "b.pt", "text_encoder", more)
    with pytest.raises(CheckpointError, match=r"1 unexpected: text_tower\.net\.encoder\.extra"):
        import_convirt(file, vocab)
    file = changed(file_of(golden, "cxr-clip"), tmp_path / "c.tar", "model", lambda m: m.update(extra=torch.zeros(1)))
    with pytest.raises(CheckpointError, match=r"1 of \d+ tensors are not expected: extra"):
        import_cxr_clip(file, vocab)

    def without_key(part: dict[str, Any]) -> None:
        part.pop(next(name for name in part if name.endswith("blocks.0.attention.self.key.weight")))

    file = changed(file_of(golden, "cxr-clip"), tmp_path / "d.tar", "model", without_key)
    with pytest.raises(CheckpointError, match="query alone"):
        import_cxr_clip(file, vocab)


class RunsOnLoad:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize(
    ("name", "under", "importer"),
    [("gloria", "hyper_parameters", import_gloria), ("cxr-clip", "config", import_cxr_clip)],
)
def test_foreign_configurations_are_not_run_and_the_release_s_settings_stand_in(
    golden: Path, vocab: Path, tmp_path: Path, name: str, under: str, importer: Any
) -> None:
    def hostile(content: dict[str, Any]) -> None:
        content[under] = RunsOnLoad(tmp_path / "it_ran")

    file = changed(file_of(golden, name), tmp_path / "file.ckpt", "", hostile)
    model, expected = importer(file, vocab, heads=2), importer(file_of(golden, name), vocab, heads=2)
    assert not (tmp_path / "it_ran").exists()
    assert model.encoder.architecture == expected.encoder.architecture
    pixels = np.random.default_rng(0).integers(0, 256, (1, 90, 70), np.uint8)
    assert np.array_equal(model.embed_images(pixels), expected.embed_images(pixels))


def test_gloria_s_prefix_may_stand_twice(golden: Path, vocab: Path, tmp_path: Path) -> None:
    content = read_checkpoint(file_of(golden, "gloria"))
    content["state_dict"] = {f"gloria.{name}": tensor for name, tensor in content["state_dict"].items()}
    torch.save(content, tmp_path / "a.ckpt")
    twice, once = import_gloria(tmp_path / "a.ckpt", vocab), import_gloria(file_of(golden, "gloria"), vocab)
    assert twice.fingerprint == once.fingerprint


def test_a_flat_resnet_of_convirt_is_a_model_of_images(golden: Path, vocab: Path, tmp_path: Path) -> None:
    image = read_checkpoint(file_of(golden, "convirt"))["image_encoder"]
    torch.save(image | {"fc.weight": torch.zeros(5, 128), "fc.bias": torch.zeros(5)}, tmp_path / "flat.pt")
    flat = import_convirt(tmp_path / "flat.pt")
    assert not flat.encoder.has_text
    assert flat.provenance["left_out"] == {"the classifier": 2}
    alone = import_convirt(file_of(golden, "convirt"), images_only=True)
    whole = import_convirt(file_of(golden, "convirt"), vocab)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 90, 70), np.uint8)
    assert np.allclose(flat.features(pixels), whole.features(pixels), atol=1e-5)
    assert np.array_equal(flat.features(pixels), alone.features(pixels))


@torch.no_grad()
def test_swin_weights_of_today_s_transformers_become_timm_s(tmp_path: Path) -> None:
    from transformers import SwinConfig, SwinModel

    from hilum.models import build_tower

    torch.manual_seed(0)
    config = SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[2, 2, 1], num_heads=[1, 2, 4], window_size=4, mlp_ratio=2.0
    )
    net = SwinModel(config).eval()
    for parameter in net.parameters():
        parameter.normal_(0, 0.3)
    tensors = swin_to_timm(net.state_dict())
    description = swin_of(tmp_path, tensors, 64)
    assert (description.layers, description.heads, description.window) == ((2, 2, 1), (1, 2, 4), 4)
    tower = build_tower(description).eval()
    tower.load_weights(tensors)
    images = torch.randn(2, 3, 64, 64)
    expected = net(images).last_hidden_state
    got = tower.feature_maps(images)
    assert torch.allclose(got.local.flatten(2).transpose(1, 2), expected, atol=1e-4)
    assert torch.allclose(got.pooled, expected[:, 0], atol=1e-4)
