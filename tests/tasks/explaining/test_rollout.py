"""Attention rollout equals the definition, and both kinds of vision transformer give their attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tasks.explaining.planted import model_of, pictures

from hilum.errors import UsageError
from hilum.models.head import Head
from hilum.tasks.explaining import Heatmap, explain
from hilum.tasks.explaining.rollout import rolled_out


def rollout_of(tower: str) -> Heatmap:
    model = model_of(tower)
    head = Head("binary", ("Edema",), np.ones((1, 64), np.float32), np.zeros(1, np.float32))
    return explain(model, pictures(1, 0)[0][0], "edema", how="rollout", head=head)


def test_rollout_equals_the_products_of_half_attention_half_identity() -> None:
    attentions = [
        torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(seed)).softmax(dim=-1) for seed in range(3)
    ]
    by_hand = np.eye(5)
    for attention in attentions:
        mean = np.zeros((5, 5))
        for head in range(2):
            mean += attention[0, head].numpy() / 2
        by_hand = (0.5 * mean + 0.5 * np.eye(5)) @ by_hand
    assert np.allclose(rolled_out(attentions)[0].numpy(), by_hand, atol=1e-6)
    assert np.allclose(rolled_out(attentions).sum(dim=-1).numpy(), 1, atol=1e-6)


@pytest.mark.parametrize("tower", ["vit-tiny", "clip-vit", "vit_tiny_patch16_224"])
def test_vision_transformers_roll_out_in_shares_of_even_attention(tower: str) -> None:
    if tower == "vit_tiny_patch16_224":
        model = model_of(tower)
        head = Head("binary", ("Edema",), np.ones((1, 192), np.float32), np.zeros(1, np.float32))
        heatmap = explain(model, pictures(1, 0)[0][0], "edema", how="rollout", head=head)
    else:
        heatmap = rollout_of(tower)
    assert np.nanmean(heatmap.values) == pytest.approx(1, abs=0.2)
    assert np.nanmin(heatmap.values) > 0
    assert heatmap.against == ""
    assert "does not depend on the phrase" in heatmap.note


def test_other_towers_have_no_rollout() -> None:
    model = model_of("resnet-tiny")
    head = Head("binary", ("Edema",), np.ones((1, 128), np.float32), np.zeros(1, np.float32))
    with pytest.raises(UsageError, match="needs a vision transformer"):
        explain(model, pictures(1, 0)[0][0], "edema", how="rollout", head=head)
