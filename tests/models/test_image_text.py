"""Image-text encoders of two towers: projections, pooling and the model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hilum.models import Model, Projection, ShorterSideCrop, WordPieceTokenizer, text_tower_named, tower_named
from hilum.models.encoder import parameter_count
from hilum.models.gloria import GloriaArchitecture, GloriaEncoder
from hilum.models.image_text import ImageTextArchitecture, ImageTextEncoder
from hilum.models.projections import build_projection

REPORTS = ["Left effusion. No pneumothorax.", "Right pneumothorax, small.", "Cardiomegaly."] * 3


def test_the_encoders_have_the_published_numbers_of_parameters() -> None:
    clinical = text_tower_named("bio-clinicalbert")
    relu = Projection(form="mlp-relu")
    with torch.device("meta"):
        cxr_clip = ImageTextArchitecture(image_tower=tower_named("resnet50"), text_tower=clinical)
        assert parameter_count(ImageTextEncoder(cxr_clip)) == 133_261_121
        swin = ImageTextArchitecture(image_tower=tower_named("swin-t", pool="first"), text_tower=clinical)
        assert parameter_count(ImageTextEncoder(swin)) == 136_617_083
        convirt = ImageTextArchitecture(
            image_tower=tower_named("resnet50"),
            text_tower=clinical,
            pooling="max",
            image_projection=relu,
            text_projection=relu,
            logit_scale=None,
        )
        encoder = ImageTextEncoder(convirt)
        assert parameter_count(encoder) == 138_048_064
        encoder.text_tower.freeze(6)
        frozen = sum(p.numel() for p in encoder.parameters() if not p.requires_grad)
        assert frozen == 65_192_448  # embeddings and six layers, as in the paper
        gloria = GloriaArchitecture(image_tower=tower_named("resnet50"), text_tower=clinical)
        assert parameter_count(GloriaEncoder(gloria)) == 134_178_368


@torch.no_grad()
def test_each_projection_is_its_formula() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 6)
    one = build_projection(Projection(), 6, 4)
    assert torch.equal(one(x), F.linear(x, one.weight, one.bias))
    two = build_projection(Projection(form="mlp-relu"), 6, 4)
    assert two[0].out_features == 6
    assert torch.allclose(two(x), two[2](two[0](x).clamp(min=0)))
    residual = build_projection(Projection(form="mlp-residual"), 6, 4).eval()
    first = residual.projection(x)
    expected = F.layer_norm(
        first + residual.fc(F.gelu(first)), (4,), residual.layer_norm.weight, residual.layer_norm.bias
    )
    assert torch.allclose(residual(x), expected, atol=1e-6)


@pytest.mark.parametrize("pooling", ["eos", "bos", "cls", "mean", "max"])
@pytest.mark.parametrize("tower", ["resnet-tiny", "vit-tiny", "swin-micro"])
def test_a_saved_model_gives_the_same_vectors(tmp_path: Path, tower: str, pooling: str) -> None:
    tokenizer = WordPieceTokenizer.learned_from(REPORTS, 60, context_length=16)
    text = text_tower_named("bert-tiny", vocab_size=tokenizer.size, width=32, heads=2, positions=16)
    torch.manual_seed(0)
    architecture = ImageTextArchitecture(
        image_tower=tower_named(tower, 64),
        text_tower=text,
        embed_dim=12,
        pooling=pooling,
        image_projection=Projection(form="mlp-residual"),
        logit_scale=10.0,
    )
    model = Model(ImageTextEncoder(architecture), ShorterSideCrop(canvas_px=64), tokenizer, device="cpu")
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model", device="cpu")
    assert again.fingerprint == model.fingerprint
    assert again.encoder.logit_scale.exp().item() == pytest.approx(10)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 80, 70), np.uint8)
    assert np.array_equal(again.embed_images(pixels), model.embed_images(pixels))
    assert np.array_equal(again.embed_texts(REPORTS[:3]), model.embed_texts(REPORTS[:3]))
    assert again.features(pixels).shape == (2, again.encoder.feature_dim)
    assert again.embed_texts(REPORTS[:3]).shape == (3, 12)
