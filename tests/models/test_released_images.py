"""Importers of image-only releases: what they keep, what they refuse, and whom they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hilum.cli import main
from hilum.errors import CheckpointError, UsageError
from hilum.models import IMPORTERS, Model, build_tower, import_checkpoint, tower_named
from hilum.models.imagenet import imagenet_model
from hilum.models.pixel_statistics import CHEXPERT_MEAN, HALF_MEAN, HALF_STD, IMAGENET_MEAN
from hilum.models.preprocess_kinds import ShorterSideCrop, Squash
from hilum.models.released.moco_cxr import import_moco_cxr
from hilum.models.released.recognize import recognize
from hilum.models.released.refers import import_refers
from hilum.models.released.s2mts2 import import_s2mts2
from hilum.models.released.shapes import densenet_of, resnet_of, vit_of

MOCO = "moco_cxr/mlp_ckpt_step2.pth.tar"
MEDAUG = "medaug/append_ckpt.pth.tar"
S2MTS2 = "s2mts2/pretrain_ckpt_step2.pth.tar"
REFERS_FLAT = "refers/refers_flat_checkpoint.pth"
REFERS_FULL = "refers/pretrain_visual_checkpoint_7.pth"
PIXELS = [np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)]


def content_of(file: Path) -> dict[str, Any]:
    return torch.load(file, weights_only=True)


def saved(tmp_path: Path, content: dict[str, Any], name: str = "changed.pth.tar") -> Path:
    torch.save(content, tmp_path / name)
    return tmp_path / name


def momentum_checkpoint(
    tower: str, head: dict[str, torch.Tensor], arch: str, prefix: str = "module."
) -> dict[str, Any]:
    """A container as MoCo-CXR's, with the weights of a fresh tower."""
    encoder = build_tower(tower_named(tower)).weights() | head
    state = {f"{prefix}{side}.{name}": t for side in ("encoder_q", "encoder_k") for name, t in encoder.items()}
    state |= {f"{prefix}queue": torch.zeros(8, 16), f"{prefix}queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 20, "arch": arch, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}


@pytest.mark.parametrize(
    ("importer", "file", "tensors", "left_out"),
    [
        ("moco-cxr", MOCO, 54, {"the head": 4, "the key encoder": 58, "the queue": 2}),
        ("medaug", MEDAUG, 54, {"the head": 4, "the key encoder": 58, "the queue": 5}),
        ("s2mts2", S2MTS2, 103, {"the projection": 4, "the key encoder": 107, "the queue": 2}),
        ("refers", REFERS_FLAT, 38, {}),
        ("refers", REFERS_FULL, 38, {}),
    ],
)
def test_every_entry_of_a_file_is_kept_or_counted(
    golden: Path, tmp_path: Path, importer: str, file: str, tensors: int, left_out: dict[str, int]
) -> None:
    done = import_checkpoint(importer, golden / file, tmp_path / "model")[0]
    model = Model.load(tmp_path / "model")
    assert (done.tensors, model.provenance["left_out"]) == (tensors, left_out)
    entries = content_of(golden / file)
    entries = next((entries[key] for key in ("state_dict", "model") if key in entries), entries)
    assert tensors + sum(left_out.values()) == len(entries)
    assert done.fingerprint == model.fingerprint
    assert done.sha256 == model.provenance["sha256"]
    assert not model.encoder.has_text
    assert model.features(PIXELS).shape == (1, model.encoder.image_tower.feature_dim)


def test_the_original_s_preprocessing_lies_in_the_folder(golden: Path) -> None:
    moco = import_moco_cxr(golden / MOCO).preprocess
    assert moco == ShorterSideCrop(canvas_px=320, mean=CHEXPERT_MEAN, std=(0.085585,) * 3)
    assert import_moco_cxr(golden / MEDAUG, "medaug").preprocess == moco
    assert import_s2mts2(golden / S2MTS2).preprocess == Squash(canvas_px=256, mean=IMAGENET_MEAN)
    refers = import_refers(golden / REFERS_FLAT)
    assert refers.preprocess == Squash(canvas_px=refers.encoder.image_tower.image_size, mean=IMAGENET_MEAN)


@pytest.mark.parametrize(
    ("arch", "head_name", "kept", "head"),
    [
        ("resnet18", "fc", 120, 4),
        pytest.param("resnet50", "fc", 318, 4, marks=pytest.mark.slow),
        pytest.param("densenet121", "classifier", 725, 4, marks=pytest.mark.slow),
    ],
)
def test_the_released_sizes_give_the_published_counts(
    tmp_path: Path, arch: str, head_name: str, kept: int, head: int
) -> None:
    width = build_tower(tower_named(arch)).feature_dim
    layers = {"0.weight": torch.zeros(width, width), "0.bias": torch.zeros(width)}
    layers |= {"2.weight": torch.zeros(128, width), "2.bias": torch.zeros(128)}
    content = momentum_checkpoint(arch, {f"{head_name}.{name}": t for name, t in layers.items()}, arch)
    model = import_moco_cxr(saved(tmp_path, content))
    assert model.provenance["tensors"] == kept
    assert model.provenance["left_out"]["the head"] == head
    assert model.provenance["epochs"] == 20
    assert model.encoder.architecture.tower == tower_named(arch)


def test_medaug_and_moco_cxr_do_not_pass_for_each_other(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="looks like a checkpoint of medaug: hilum import medaug"):
        import_checkpoint("moco-cxr", golden / MEDAUG, tmp_path / "model")
    with pytest.raises(CheckpointError, match="looks like a checkpoint of moco-cxr"):
        import_checkpoint("medaug", golden / MOCO, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("importer", "given", "release"),
    [
        ("moco-cxr", S2MTS2, "s2mts2"),
        ("moco-cxr", REFERS_FULL, "refers"),
        ("moco-cxr", "chexbert/chexbert_tiny.pt", "chexbert"),
        ("s2mts2", MOCO, "moco-cxr"),
        ("refers", MEDAUG, "medaug"),
        ("chexzero", REFERS_FLAT, "refers"),
        ("chexzero", S2MTS2, "s2mts2"),
        ("chexbert", REFERS_FLAT, "refers"),
        ("chexbert", MOCO, "moco-cxr"),
    ],
)
def test_a_file_of_another_release_names_the_importer_that_fits(
    golden: Path, tmp_path: Path, importer: str, given: str, release: str
) -> None:
    options = {"vocab": "vocab.txt"} if importer == "chexbert" else {}
    with pytest.raises(CheckpointError, match=f"looks like a checkpoint of {release}: hilum import {release} "):
        import_checkpoint(importer, golden / given, tmp_path / "model", **options)


def test_clip_is_recognized_by_image_importers(tmp_path: Path) -> None:
    content = {"visual.conv1.weight": torch.zeros(4, 3, 2, 2), "text_projection": torch.zeros(4, 4)}
    with pytest.raises(CheckpointError, match="looks like a checkpoint of chexzero"):
        import_checkpoint("refers", saved(tmp_path, content), tmp_path / "model")


@pytest.mark.parametrize(
    ("names", "release"),
    [
        (["gloria.img_encoder.model.conv1.weight", "state_dict"], "gloria"),
        (["image_projection.projection.weight", "text_projection.projection.weight"], "cxr-clip"),
        (["image_encoder", "text_encoder", "image_proj", "text_proj", "config"], "convirt"),
        (["module.encoder_q.classifier_group.0.weight", "module.queue"], "s2mts2"),
        (["module.encoder_q.features.conv0.weight", "module.encoder_q.classifier.weight"], "moco-cxr"),
        (["visual.vit.transformer.encoder.layer.0.attn.query.weight"], "refers"),
        (["layer1.0.conv1.weight"], None),
        ([], None),
    ],
)
def test_a_release_is_recognized_by_its_names(names: list[str], release: str | None) -> None:
    assert recognize(names) == release


def changed(state: dict[str, Any], change: str) -> dict[str, Any]:
    state = dict(state)
    name = next(n for n in state if n.endswith(("bn1.weight", "norm0.weight", "attention_norm.weight")))
    if change == "missing":
        del state[name]
    elif change == "extra":
        state[f"{name}.more"] = torch.zeros(1)
    else:
        state[name] = torch.zeros(3)
    return state


@pytest.mark.parametrize(
    ("importer", "file", "under"),
    [
        ("moco-cxr", MOCO, "state_dict"),
        ("s2mts2", S2MTS2, "state_dict"),
        ("refers", REFERS_FLAT, ""),
        ("refers", REFERS_FULL, "model"),
    ],
)
@pytest.mark.parametrize(
    ("change", "said"), [("missing", "1 missing"), ("extra", "1 unexpected"), ("shape", r"got \(3,\)")]
)
def test_tensors_that_do_not_fit_are_listed(
    golden: Path, tmp_path: Path, importer: str, file: str, under: str, change: str, said: str
) -> None:
    content = content_of(golden / file)
    content = content | {under: changed(content[under], change)} if under else changed(content, change)
    with pytest.raises(CheckpointError, match=said):
        import_checkpoint(importer, saved(tmp_path, content), tmp_path / "model")


def test_an_entry_beside_the_encoders_and_the_queue_is_refused(golden: Path, tmp_path: Path) -> None:
    content = content_of(golden / MOCO)
    content["state_dict"]["module.teacher.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"1 unexpected \(module\.teacher\.weight\)"):
        import_moco_cxr(saved(tmp_path, content))
    del content["state_dict"]["module.teacher.weight"], content["state_dict"]["module.queue_ptr"]
    with pytest.raises(CheckpointError, match=r"1 missing \(module\.queue_ptr\)"):
        import_moco_cxr(saved(tmp_path, content))


def test_an_architecture_that_contradicts_the_shapes_is_refused(tmp_path: Path) -> None:
    content = momentum_checkpoint(
        "resnet-tiny", {"fc.weight": torch.zeros(16, 128), "fc.bias": torch.zeros(16)}, "resnet50"
    )
    with pytest.raises(CheckpointError, match="says arch 'resnet50', but its shapes are of another resnet"):
        import_moco_cxr(saved(tmp_path, content))


def test_a_backbone_that_hilum_does_not_build_is_named(tmp_path: Path) -> None:
    state = {
        "module.encoder_q.layers.0.weight": torch.zeros(1),
        "module.queue": torch.zeros(1),
        "module.queue_ptr": torch.zeros(1),
    }
    with pytest.raises(CheckpointError, match=r"arch 'mnasnet1_0'.*neither a ResNet nor a DenseNet"):
        import_moco_cxr(saved(tmp_path, {"state_dict": state, "arch": "mnasnet1_0"}))


def test_moco_s_linear_and_mlp_heads_can_be_kept(golden: Path) -> None:
    for file, widths in (("lin_ckpt_step2.pth.tar", 1), ("mlp_ckpt_step2.pth.tar", 2)):
        model = import_moco_cxr(golden / "moco_cxr" / file, keep_head=True)
        assert len(model.encoder.architecture.head.widths) == widths
        assert model.embed_dim == model.encoder.image_tower.feature_dim


def test_the_authors_own_s2mts2_prefix_and_old_names_give_the_same_model(golden: Path, tmp_path: Path) -> None:
    content = content_of(golden / S2MTS2)
    renamed = {
        "module." + re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): tensor
        for name, tensor in content["state_dict"].items()
    }
    assert any(".norm.1." in name for name in renamed)
    again = import_s2mts2(saved(tmp_path, content | {"state_dict": renamed}))
    assert again.fingerprint == import_s2mts2(golden / S2MTS2).fingerprint


def test_s2mts2_features_are_pooled_unless_the_original_s_way_is_asked_for(golden: Path) -> None:
    pooled, headed = import_s2mts2(golden / S2MTS2), import_s2mts2(golden / S2MTS2, features="head")
    assert pooled.fingerprint != headed.fingerprint
    assert not np.allclose(pooled.features(PIXELS), headed.features(PIXELS))
    assert (headed.features(PIXELS) >= 0).all()
    with pytest.raises(UsageError, match="expected pooled or head"):
        import_s2mts2(golden / S2MTS2, features="both")  # type: ignore[arg-type]


def test_both_refers_files_give_the_same_model_and_heads_are_checked(golden: Path, tmp_path: Path) -> None:
    flat, full = (import_refers(golden / file, heads=4) for file in (REFERS_FLAT, REFERS_FULL))
    flat_weights, full_weights = flat.encoder.tensors(), full.encoder.tensors()
    assert flat_weights.keys() == full_weights.keys()
    with pytest.raises(UsageError, match="do not divide the width"):
        import_refers(golden / REFERS_FLAT, heads=5)
    with pytest.raises(UsageError, match="expected 1 or more"):
        import_refers(golden / REFERS_FLAT, heads=0)
    content = content_of(golden / REFERS_FLAT) | {"head.weight": torch.zeros(5, 32), "head.bias": torch.zeros(5)}
    assert import_refers(saved(tmp_path, content)).provenance["left_out"] == {"the classifier": 2}


def test_parts_of_refers_beside_the_transformer_are_counted(golden: Path, tmp_path: Path) -> None:
    content = content_of(golden / REFERS_FULL)
    content["model"] |= {"fusion.fc1.weight": torch.zeros(1, 96), "textual.output.bias": torch.zeros(40)}
    assert import_refers(saved(tmp_path, content)).provenance["left_out"] == {"other parts": 2}
    content["model"]["visual.other.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"visual\.other\.weight"):
        import_refers(saved(tmp_path, content))


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "resnet-tiny", "densenet121-leaky", "densenet-tiny", "vit-tiny"]
)
def test_shapes_tell_the_description(name: str) -> None:
    description = tower_named(name)
    weights = build_tower(description).weights()
    if description.family == "resnet":
        assert resnet_of(weights) == description
    elif description.family == "densenet":
        assert densenet_of(weights, description.leaky_slope) == description
    else:
        assert vit_of(weights, heads=description.heads) == description


def test_the_command_prints_counts_and_hash(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["import", "refers", str(golden / REFERS_FLAT), "--heads", "4", "-o", str(tmp_path / "m")])
    said = capsys.readouterr().out
    assert "38 tensors, none missing, none unexpected" in said
    assert re.search(r"sha256\s+[0-9a-f]{64}", said)
    assert Model.load(tmp_path / "m").encoder.architecture.tower.heads == 4
    with pytest.raises(SystemExit, match="0"):
        main(["import"])
    said = capsys.readouterr().out
    assert all(name in said for name in IMPORTERS)


def test_an_option_of_another_importer_is_refused(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hilum import moco-cxr has no option heads"):
        import_checkpoint("moco-cxr", golden / MOCO, tmp_path / "m", heads=4)


def test_the_imagenet_baseline_is_a_folder_like_any_other(tmp_path: Path) -> None:
    weights = build_tower(tower_named("resnet18")).weights() | {
        "fc.weight": torch.zeros(1000, 512),
        "fc.bias": torch.zeros(1000),
    }
    torch.save(weights, tmp_path / "resnet18.pth")
    model = imagenet_model("resnet18", str(tmp_path / "resnet18.pth"), image_size_px=64)
    assert (model.name, model.provenance["tensors"]) == ("resnet18-imagenet", 120)
    assert model.provenance["left_out"] == ["fc.bias", "fc.weight"]
    model.save(tmp_path / "model")
    assert Model.load(tmp_path / "model").features(PIXELS).shape == (1, 512)
    assert model.preprocess == Squash(canvas_px=64)
    assert imagenet_model("vit-tiny", "random", 64).preprocess == Squash(canvas_px=64, mean=HALF_MEAN, std=HALF_STD)
