"""Image towers: by name, equal to torchvision's, at any resolution, and what they may start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from hilum.errors import ModelError
from hilum.models import Model
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder, ProjectionHead
from hilum.models.image_towers import NAMED, build_tower, described, tower_named
from hilum.models.preprocess_kinds import ShorterSideCrop
from hilum.models.tower_weights import CLASSIFIER, load_pretrained, resize_positions
from hilum.models.towers_resnet import ResNet
from hilum.models.towers_vit import ViT


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_the_feature_equals_torchvisions_before_its_classifier(name: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)().eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    tower = build_tower(tower_named(name)).eval()
    weights = {k: v for k, v in theirs.state_dict().items() if not k.startswith(CLASSIFIER)}
    assert len(weights) == {"resnet18": 120, "resnet50": 318, "densenet121": 725}[name]
    tower.load_weights(weights)
    setattr(theirs, "fc" if name.startswith("resnet") else "classifier", torch.nn.Identity())
    images = torch.randn(2, 3, 64, 80)
    with torch.inference_mode():
        ours, expected = tower(images), theirs(images)
    assert ours.shape == (2, tower.feature_dim)
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_leaky_densenet_has_no_relu_left() -> None:
    tower = build_tower(tower_named("densenet-tiny-leaky"))
    kinds = [type(m).__name__ for m in tower.modules()]
    assert "ReLU" not in kinds
    assert kinds.count("LeakyReLU") == 1 + 2 * 8 + 3 + 1  # stem, two a layer, transitions, the last


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("ResNet-50", "resnet50"),
        ("resnet_18", "resnet18"),
        ("DenseNet121", "densenet121"),
        ("ViT-B/16", "vit-b-16"),
        ("vit_b_32", "vit-b-32"),
        ("Swin_T", "swin-t"),
        ("swin-tiny", "swin-t"),
    ],
)
def test_common_spellings_name_the_same_tower(spelling: str, expected: str) -> None:
    assert tower_named(spelling) == NAMED[expected]


@pytest.mark.parametrize(
    ("name", "feature_dim", "parameters"),
    [("resnet50", 2048, 23_508_032), ("densenet121-leaky", 1024, 6_953_856), ("swin-t", 768, 27_519_354)],
)
def test_standard_towers_have_the_published_size(name: str, feature_dim: int, parameters: int) -> None:
    tower = build_tower(tower_named(name))
    assert tower.feature_dim == feature_dim
    assert sum(p.numel() for p in tower.parameters()) == parameters


@pytest.mark.slow
def test_vit_b_16_has_the_published_size() -> None:
    assert sum(p.numel() for p in build_tower(tower_named("vit-b-16")).parameters()) == 85_798_656


@pytest.mark.parametrize(
    "name", ["resnet-tiny", "densenet-tiny", "densenet-tiny-leaky", "vit-tiny", "swin-micro", "mobilenetv3_small_050"]
)
def test_any_resolution_gives_the_same_widths(name: str) -> None:
    tower = build_tower(tower_named(name)).eval()
    for side in (64, 72, 100):
        with torch.inference_mode():
            maps = tower.feature_maps(torch.randn(2, 3, side, side))
            pooled = tower(torch.randn(2, 3, side, side))
        assert maps.pooled.shape == pooled.shape == (2, tower.feature_dim)
        assert maps.local.shape[:2] == (2, tower.local_dim)


def test_the_local_map_of_a_resnet_is_the_last_stage_but_one() -> None:
    tower = build_tower(tower_named("resnet-tiny")).eval()
    seen = []
    tower.layer3.register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.inference_mode():
        maps = tower.feature_maps(torch.randn(1, 3, 64, 64))
    assert torch.equal(maps.local, seen[0])
    assert maps.local.shape == (1, 64, 8, 8)


def test_a_resnet_of_three_stages_takes_the_names_of_three() -> None:
    tower = build_tower(ResNet(block="basic", layers=(1, 1, 1), widths=(8, 12, 16), stem_width=8, stem="3x3"))
    assert {name.split(".")[0] for name in tower.weights()} == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    assert "layer1.0.downsample.0.weight" not in tower.weights()


def test_swin_can_give_its_top_left_token() -> None:
    mean = build_tower(tower_named("swin-micro")).eval()
    first = build_tower(tower_named("swin-micro", pool="first")).eval()
    first.load_weights(mean.weights())
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        maps = mean.feature_maps(images)
        assert torch.allclose(maps.pooled, maps.local.mean((2, 3)), atol=1e-6)
        assert torch.equal(first(images), first.feature_maps(images).local[:, :, 0, 0])


def test_a_vit_drops_where_the_recipe_says_and_not_in_attention() -> None:
    net = build_tower(tower_named("vit-tiny", dropout=0.1)).net
    assert net.pos_drop.p == net.blocks[0].mlp.drop1.p == net.blocks[0].mlp.drop2.p == 0.1
    assert net.blocks[0].attn.proj_drop.p == net.blocks[0].attn.attn_drop.p == 0.0


@pytest.mark.parametrize(
    ("name", "hint"), [("resnet5o", "resnet50"), ("vit-b-61", "vit-b-16"), ("convnext_tinny", "convnext")]
)
def test_an_unknown_name_is_refused_with_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(ModelError, match=f"no image tower '{name}'.*Did you mean '{hint}"):
        tower_named(name)


def test_an_unknown_field_of_a_description_is_named() -> None:
    with pytest.raises(ModelError, match="tower resnet50: growth: Extra inputs"):
        tower_named("resnet50", growth=3)
    with pytest.raises(ModelError, match="2 layers and 4 widths"):
        build_tower(tower_named("resnet50", layers=(1, 1)))


def test_a_saved_description_gives_the_same_tower() -> None:
    for name, description in NAMED.items():
        assert described(description.model_dump(mode="json")) == description, name


def weight_file(tmp_path: Path, name: str, extra: dict[str, torch.Tensor], drop: str = "") -> Path:
    weights = {
        k: v.contiguous() for k, v in build_tower(tower_named(name)).weights().items() if not drop or drop not in k
    }
    path = tmp_path / "weights.safetensors"
    save_file(weights | extra, path)
    return path


def test_a_classifier_may_be_left_out_and_nothing_else(tmp_path: Path) -> None:
    tower = build_tower(tower_named("resnet-tiny"))
    loaded = load_pretrained(tower, str(weight_file(tmp_path, "resnet-tiny", {"fc.weight": torch.zeros(3, 128)})))
    assert (loaded.tensors, loaded.left_out) == (72, ("fc.weight",))
    with pytest.raises(ModelError, match=r"1 unexpected: projector\.weight"):
        load_pretrained(tower, str(weight_file(tmp_path, "resnet-tiny", {"projector.weight": torch.zeros(3)})))
    with pytest.raises(ModelError, match=r"missing: layer4"):
        load_pretrained(tower, str(weight_file(tmp_path, "resnet-tiny", {}, drop="layer4.")))


def test_batch_counters_may_be_absent(tmp_path: Path) -> None:
    path = weight_file(tmp_path, "resnet-tiny", {}, drop="num_batches_tracked")
    assert load_pretrained(build_tower(tower_named("resnet-tiny")), str(path)).tensors == 72


def test_old_densenet_names_and_containers_are_read(tmp_path: Path) -> None:
    source = build_tower(tower_named("densenet-tiny"))
    torch.nn.init.normal_(source.features.norm5.weight)
    old = {k.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): v for k, v in source.weights().items()} | {
        "classifier.weight": torch.zeros(2, 48)
    }
    assert any(".norm.1." in k for k in old)
    torch.save({"state_dict": old, "epoch": 3}, tmp_path / "old.pth")
    tower = build_tower(tower_named("densenet-tiny"))
    load_pretrained(tower, str(tmp_path / "old.pth"))
    assert all(torch.equal(v, tower.weights()[k]) for k, v in source.weights().items())


def test_a_tower_can_start_from_a_model_folder(tmp_path: Path) -> None:
    encoder = ImageEncoder(ImageArchitecture(tower=tower_named("vit-tiny"), head=ProjectionHead(widths=(64, 16))))
    Model(encoder, ShorterSideCrop(canvas_px=64), None, device="cpu").save(tmp_path / "model")
    larger = build_tower(tower_named("vit-tiny", image_size_px=96))
    assert load_pretrained(larger, str(tmp_path / "model")).tensors == 30
    assert larger.net.pos_embed.shape == (1, 145, 64)
    assert torch.equal(larger.net.norm.weight, encoder.image_tower.net.norm.weight)
    with pytest.raises(ModelError, match="do not fit the resnet tower"):
        load_pretrained(build_tower(tower_named("resnet-tiny")), str(tmp_path / "model"))


def test_a_position_grid_keeps_its_corners_when_it_grows() -> None:
    positions = torch.randn(1, 5, 3)
    grown = resize_positions(positions, 10)
    assert torch.equal(grown[:, 0], positions[:, 0])
    assert torch.allclose(grown[:, [1, 3, 7, 9]], positions[:, 1:], atol=1e-6)
    assert torch.allclose(grown[:, 5], positions[:, 1:].mean(1), atol=1e-6)


@pytest.mark.parametrize("init", ["imagenet", "nowhere.pth"])
def test_weights_that_are_not_to_be_had_say_what_to_do(init: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HILUM_OFFLINE", "1")
    with pytest.raises(ModelError, match=f"init={init}.*random"):
        load_pretrained(build_tower(tower_named("resnet18")), init)


def test_imagenet_weights_of_a_shape_that_has_none_are_refused() -> None:
    with pytest.raises(ModelError, match="no ImageNet weights for a resnet tower of this shape"):
        load_pretrained(build_tower(tower_named("resnet-tiny")), "imagenet")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_a_damaged_npz_is_a_named_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vit.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"vit\.npz"):
        load_pretrained(build_tower(tower_named("vit-tiny")), str(tmp_path / "vit.npz"))


def test_an_npz_with_another_number_of_heads_or_blocks_is_refused(golden: Path) -> None:
    file = golden / "refers" / "vit_init.npz"
    with np.load(golden / "refers" / "io.npz") as arrays:
        width, layers, heads, mlp, patch, side = map(int, arrays["vit_cfg"])
    settings = {"width": width, "layers": layers, "heads": heads, "mlp": mlp, "patch": patch, "image_size": side}
    with pytest.raises(ModelError, match=f"{heads} heads; the tower has 1"):
        load_pretrained(build_tower(ViT(**settings | {"heads": 1})), str(file))
    with pytest.raises(ModelError, match="no array 'Transformer/encoderblock_"):
        load_pretrained(build_tower(ViT(**settings | {"layers": layers + 1})), str(file))
    with pytest.raises(ModelError, match=r"unexpected: Transformer\.encoderblock_"):
        load_pretrained(build_tower(ViT(**settings | {"layers": layers - 1})), str(file))


def test_an_image_encoder_comes_back_from_its_folder(tmp_path: Path) -> None:
    head = ProjectionHead(widths=(32, 8))
    encoder = ImageEncoder(ImageArchitecture(tower=tower_named("resnet-tiny"), head=head))
    model = Model(encoder, ShorterSideCrop(canvas_px=64), None, {"name": "small"}, device="cpu")
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model", device="cpu")
    pixels = [np.random.default_rng(i).integers(0, 256, (90, 70), dtype=np.uint8) for i in range(3)]
    assert np.array_equal(again.embed_images(pixels), model.embed_images(pixels))
    assert np.array_equal(again.features(pixels), again.embed_images(pixels, normalize=False))
    assert again.features(pixels).shape == (3, 128)
    assert again.fingerprint == model.fingerprint
    assert not (tmp_path / "model" / "tokenizer.json").exists()
    with pytest.raises(ModelError, match="no text tower"):
        again.embed_texts(["pleural effusion"])


def test_a_head_gives_the_features_only_where_asked() -> None:
    tower, head = tower_named("resnet-tiny"), ProjectionHead(widths=(32, 8))
    images = torch.randn(2, 3, 64, 64)
    pooled = ImageEncoder(ImageArchitecture(tower=tower, head=head)).eval()
    headed = ImageEncoder(ImageArchitecture(tower=tower, head=head, features="head")).eval()
    headed.load_tensors(pooled.tensors())
    with torch.inference_mode():
        assert pooled.encode_images(images).shape == (2, pooled.embed_dim) == (2, 128)
        assert headed.encode_images(images).shape == (2, headed.embed_dim) == (2, 8)
        assert torch.equal(headed.encode_images(images), pooled.project(images))
    with pytest.raises(ModelError, match="no projection head"):
        ImageEncoder(ImageArchitecture(tower=tower)).project(images)
    with pytest.raises(ModelError, match="has no head"):
        ImageEncoder(ImageArchitecture(tower=tower, features="head"))
