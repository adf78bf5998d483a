"""Gradient maps point at what a head was fitted to see, for every kind of tower, and are Grad-CAM where they should be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tests.tasks.explaining.planted import SQUARE_PX, head_for_squares, model_of, pictures

from hilum.errors import ModelError
from hilum.models import LongerSidePadCrop, PadThenResize, Preprocessing
from hilum.models.head import Head
from hilum.tasks.explaining import explain
from hilum.tasks.explaining.gradients import gradient_map
from hilum.tasks.explaining.layers import evidence_layer, own_modules
from hilum.tasks.explaining.question import HeadQuestion

SLACK_PX = 4  # half of a cell


def share_of_hits(tower: str, side_px: int = 64, preprocess: Preprocessing | None = None) -> float:
    model = model_of(tower, side_px, preprocess)
    head = head_for_squares(model)
    hits = []
    for image, (y, x) in zip(*pictures(20, 3), strict=True):
        row, column = explain(model, image, "square", head=head).peak
        hits.append(
            y - SLACK_PX <= row < y + SQUARE_PX + SLACK_PX and x - SLACK_PX <= column < x + SQUARE_PX + SLACK_PX
        )
    return float(np.mean(hits))


# By chance it would be about 0.08.
@pytest.mark.parametrize(
    ("tower", "least"),
    [("resnet-tiny", 0.8), ("densenet-tiny", 0.6), ("vit-tiny", 0.9), ("swin-micro", 0.7), ("clip-vit", 0.9)],
)
def test_the_highest_point_lies_in_the_square_that_the_head_sees(tower: str, least: float) -> None:
    assert share_of_hits(tower) >= least


@pytest.mark.slow
@pytest.mark.parametrize(("tower", "least"), [("clip-resnet", 0.9), ("convnext_atto", 0.6)])
def test_larger_towers_point_at_the_square_too(tower: str, least: float) -> None:
    assert share_of_hits(tower, 128) >= least


@pytest.mark.parametrize(
    "preprocess", [PadThenResize(canvas_px=64), LongerSidePadCrop(canvas_px=56, resize_px=64)], ids=repr
)
def test_the_map_is_led_back_through_padding_and_cuts(preprocess: Preprocessing) -> None:
    assert share_of_hits("vit-tiny", preprocess.canvas_px, preprocess) >= 0.9


def test_where_the_last_grid_is_averaged_the_map_is_grad_cam() -> None:
    from captum.attr import LayerGradCam

    model = model_of("resnet-tiny", 96)  # 6 x 6 cells: the last stage itself
    question = HeadQuestion(head_for_squares(model), "Square")
    square = torch.from_numpy(model.preprocess.squares(pictures(1, 5)[0]))
    encoder = own_modules(model.encoder)
    images = model.preprocess.tensor(square)
    layer = evidence_layer(encoder, 96)
    cam = LayerGradCam(lambda batch: question.answer(encoder, batch), layer.module).attribute(images.clone())
    ours = gradient_map(model, square, question).values
    assert ours.shape == (6, 6)
    assert np.allclose(ours, cam[0, 0].detach().numpy(), rtol=1e-3, atol=1e-6)


def test_a_head_is_asked_by_its_own_names_and_suggests_them() -> None:
    model = model_of("resnet-tiny")
    head = Head("multi-label", ("Edema", "Pleural Effusion"), np.ones((2, 128), np.float32), np.zeros(2, np.float32))
    image = pictures(1, 0)[0][0]
    assert explain(model, image, "pleural_effusion", head=head).how == "gradient"
    with pytest.raises(ModelError, match="Did you mean 'Pleural Effusion'"):
        explain(model, image, "plural effusion", head=head)


def test_ordered_classes_have_one_map() -> None:
    model = model_of("resnet-tiny")
    weights = np.random.default_rng(0).normal(size=(1, 128)).astype(np.float32)
    head = Head("ordinal", ("none", "mild", "severe"), weights, np.array([-1, 1], np.float32))
    image = pictures(1, 0)[0][0]
    mild, severe = (explain(model, image, name, head=head).values for name in ("mild", "severe"))
    assert np.array_equal(mild, severe, equal_nan=True)


def test_nothing_stays_hooked_and_threads_do_not_disturb_each_other() -> None:
    model = model_of("vit-tiny")
    head = head_for_squares(model)
    images = pictures(8, 7)[0]
    alone = [explain(model, image, "square", head=head).values for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: explain(model, image, "square", head=head).values, images))
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one, other, atol=1e-6, equal_nan=True)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.encoder.modules())
    assert not any(parameter.grad is not None for parameter in model.encoder.parameters())


def test_the_copy_for_hooks_shares_its_weights() -> None:
    model = model_of("clip-vit")
    copied = own_modules(model.encoder)
    assert {id(one) for one in copied.parameters()} == {id(one) for one in model.encoder.parameters()}
