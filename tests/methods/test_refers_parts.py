"""REFERS' parts: captions of mirrored images, fusion, losses, the generator, and writing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hilum.methods.refers_captions import mirrored
from hilum.methods.refers_fusion import ViewFusion
from hilum.methods.refers_generator import ReportGenerator
from hilum.methods.refers_loss import backwards, caption_cost, mean_cost, report_contrast
from hilum.methods.refers_studies import draw_views
from hilum.methods.report_decoding import decode
from hilum.methods.views import StudyViews

START, END = 1, 2


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_left_and_right_change_places_as_words_and_keep_their_case() -> None:
    text = "LEFT base, right-sided tube; rightward shift. Bright copyright of Leftover, uprightness"
    expected = "RIGHT base, left-sided tube; leftward shift. Bright copyright of Leftover, uprightness"
    assert mirrored(text) == expected
    assert mirrored(mirrored(text)) == text


def test_as_released_the_letters_are_exchanged_wherever_they_stand() -> None:
    assert mirrored("Bright LEFT lung, left base", compat=True) == "Bleft LEFT lung, right base"


def test_fusion_is_the_loop_over_patches_and_views() -> None:
    fusion, patches = ViewFusion(4, 3), rows(2, 3, 5, 4)
    expected = torch.empty(2, 15, 4)
    for study, view, patch in itertools.product(range(2), range(3), range(5)):
        seen = torch.cat([patches[study, v, patch] for v in range(3)])
        weight = torch.sigmoid(fusion.gate.weight[view] @ seen + fusion.gate.bias[view])
        expected[study, view * 5 + patch] = weight * patches[study, view, patch]
    assert torch.allclose(fusion(patches), expected, atol=1e-6)


@pytest.mark.parametrize("image_weight", [0.0, 0.75, 1.0])
def test_the_contrast_is_the_loop_over_studies(image_weight: float) -> None:
    images, texts = F.normalize(rows(5, 8), dim=1), F.normalize(rows(5, 8, seed=1), dim=1)
    total = 0.0
    for i in range(5):
        to_text = [math.exp(float(images[i] @ texts[j]) / 0.1) for j in range(5)]
        to_image = [math.exp(float(images[j] @ texts[i]) / 0.1) for j in range(5)]
        total -= image_weight * math.log(to_text[i] / sum(to_text))
        total -= (1 - image_weight) * math.log(to_image[i] / sum(to_image))
    assert report_contrast(3 * images, texts, 0.1, image_weight).item() == pytest.approx(total / 5, abs=1e-5)


def test_both_directions_send_gradients_and_as_released_one_alone() -> None:
    def gradients(one_way: bool) -> tuple[float, torch.Tensor]:
        images, texts = rows(5, 8).requires_grad_(), rows(5, 8, seed=1)
        loss = report_contrast(images, texts, 0.1, 0.75, one_way)
        loss.backward()
        assert images.grad is not None
        return loss.item(), images.grad

    both, released = gradients(False), gradients(True)
    assert both[0] == pytest.approx(released[0])
    images = rows(5, 8).requires_grad_()
    (report_contrast(images, rows(5, 8, seed=1), 0.1, 1.0) * 0.75).backward()
    assert torch.allclose(released[1], images.grad, atol=1e-6)
    assert not torch.allclose(both[1], released[1], atol=1e-3)


def test_a_report_costs_its_words_but_not_its_start_nor_padding() -> None:
    tokens = torch.tensor([[1, 5, 6, 2], [1, 4, 2, 0]])
    logits = rows(2, 4, 8)
    cost, words = caption_cost(logits, tokens, 0)
    log_p = logits.log_softmax(-1)
    assert words.tolist() == [3, 2]
    assert cost[1].item() == pytest.approx(-(log_p[1, 0, 4] + log_p[1, 1, 2]).item(), abs=1e-5)
    assert mean_cost(cost, words).item() == pytest.approx(cost.sum().item() / 5)


def test_words_from_the_end_keep_their_padding_behind() -> None:
    tokens, lengths = torch.tensor([[1, 5, 2, 0], [1, 4, 7, 2]]), torch.tensor([3, 4])
    assert backwards(tokens, lengths).tolist() == [[2, 5, 1, 0], [2, 7, 4, 1]]
    assert torch.equal(backwards(backwards(tokens, lengths), lengths), tokens)


def small_generator(sharing: ReportGenerator | None = None) -> ReportGenerator:
    torch.manual_seed(0)
    generator = ReportGenerator(8, 7, 16, 1, 2, 32, 5, sharing=sharing).eval()
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim > 1:
                parameter.mul_(20)  # so that its words differ
    return generator


def test_a_word_is_predicted_from_those_before_it_alone() -> None:
    generator, visual = small_generator(), rows(1, 4, 8)
    before = generator(visual, torch.tensor([[1, 3, 4, 2]]), torch.tensor([4]))
    after = generator(visual, torch.tensor([[1, 3, 6, 5]]), torch.tensor([4]))
    assert torch.allclose(before[:, :2], after[:, :2], atol=1e-5)
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-3)


def test_padding_changes_no_prediction() -> None:
    generator, visual = small_generator(), rows(1, 4, 8)
    short = generator(visual, torch.tensor([[1, 3, 2]]), torch.tensor([3]))
    padded = generator(visual, torch.tensor([[1, 3, 2, 0, 0]]), torch.tensor([3]))
    assert torch.allclose(short, padded[:, :3], atol=1e-5)


def test_output_and_word_embedding_are_one_and_the_other_direction_shares_them() -> None:
    forward = small_generator()
    backward = ReportGenerator(8, 7, 16, 1, 2, 32, 5, sharing=forward)
    assert forward.output.weight is forward.embedding.words.weight
    assert backward.output is forward.output
    assert backward.projection is forward.projection
    assert backward.decoder[0].linear1.weight is not forward.decoder[0].linear1.weight


def every_report(generator: ReportGenerator, visual: torch.Tensor) -> tuple[list[int], float]:
    """The most probable report of all, by trying them."""
    best: tuple[list[int], float] = ([], -math.inf)
    for length in range(1, 5):
        for said in itertools.product([2, 3, 4, 5, 6], repeat=length):
            if END in said[:-1] or (said[-1] != END and length < 4):
                continue
            tokens = torch.tensor([[START, *said]])
            with torch.no_grad():
                logits = generator(visual, tokens, torch.tensor([len(said) + 1]))
            logits[..., [0, START]] = -torch.inf
            score = logits[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None]).sum().item()
            if score > best[1]:
                best = ([START, *said], score)
    return best


def test_beams_wide_enough_find_the_most_probable_report_and_greedy_takes_word_by_word() -> None:
    generator, visual = small_generator(), rows(4, 4, 8, seed=3)
    found, scores = decode(generator, visual, START, END, beams=1000)
    greedy, greedy_scores = decode(generator, visual, START, END)
    for number in range(4):
        said, score = every_report(generator, visual[number : number + 1])
        assert [i for i in found[number].tolist() if i] == said
        assert scores[number].item() == pytest.approx(score, abs=1e-4)
    assert bool((greedy_scores <= scores + 1e-5).all())
    logits = generator(visual, greedy[:, :2], torch.full((4,), 2)).detach()
    logits[..., [0, START]] = -torch.inf
    assert torch.equal(logits[:, 0].argmax(-1), greedy[:, 1])


def test_every_image_of_a_study_is_seen_once_before_one_is_seen_twice_frontal_ones_first() -> None:
    views = StudyViews.of(["a", "a", "b", "b", "b", "b"], ["lateral", "ap", "lateral", "pa", "pa", "unknown"])
    rng = np.random.default_rng(0)
    for _ in range(20):
        two = draw_views(views, 0, 3, rng)
        assert set(two) == {0, 1}
        assert [views.kinds[i] for i in two] in (["AP", "AP", "Lateral"], ["AP", "Lateral", "Lateral"])
        four = draw_views(views, 1, 3, rng)
        assert len(set(four)) == 3
        assert views.kinds[four[0]] == "PA"
    assert draw_views(views, 0, 3, None).tolist() == [1, 0, 0]


def test_as_released_views_are_drawn_with_replacement_in_any_order() -> None:
    views = StudyViews.of(["b"] * 3, ["lateral", "pa", "pa"])
    rng = np.random.default_rng(0)
    drawn = [tuple(draw_views(views, 0, 3, rng, compat=True)) for _ in range(200)]
    assert any(len(set(three)) < 3 for three in drawn)
    assert len(set(drawn)) > 20  # of 27
