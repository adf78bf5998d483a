"""REFERS as a method: batches, processes, what is released and what is right, and bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.methods.two_processes import run_two

from hilum.archive import Archive
from hilum.errors import ModelError, TrainingError
from hilum.methods.method import Share
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.refers import Refers, RefersMethod
from hilum.methods.refers_studies import StudyBatch
from hilum.methods.report_pieces import ReportPieces
from hilum.methods.text_start import start_text
from hilum.models import Model
from hilum.models.towers_vit import ViT

REPORTS = ["Left effusion.", "No acute process of the right lung.", "Bright nodule, left base.", "Clear."] * 2
SMALL_TOWER = ViT(image_size=32, patch=16, width=16, layers=1, heads=2, mlp=32)


def recipe(**settings: Any) -> Refers:
    small = {"side_px": 32, "canvas_px": 40, "text_vocabulary": 300, "vocabulary": 120, "text_length": 24}
    generator = {"report_length": 16, "generator_width": 32, "generator_heads": 2, "generator_feed_forward": 32}
    return Refers.model_validate({**Refers.tiny, **small, **generator, "batch_size": 8, **settings})


def small(**settings: Any) -> RefersMethod:
    """A method without dropout whose vocabularies are learned from `REPORTS`."""
    torch.manual_seed(0)
    method = RefersMethod(recipe(**settings), SMALL_TOWER)
    pieces = ReportPieces.learned_from(REPORTS, method.recipe.vocabulary, method.recipe.compat)
    method.build(pieces, start_text("bert-tiny", REPORTS, method.recipe.text_length, 300, pooler=True))
    for module in method.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return method


def a_batch(method: RefersMethod) -> StudyBatch:
    draws = torch.Generator().manual_seed(1)
    views = torch.randint(256, (8, 3, 32, 32), generator=draws).to(torch.uint8)
    tokens, lengths = (torch.from_numpy(rows) for rows in method.pieces.rows(REPORTS, method.recipe.report_length))
    ids = torch.from_numpy(method.tokenizer(REPORTS))
    return StudyBatch(views, torch.full((8, 3, 2), 32), ids, ids, tokens, tokens, lengths, lengths, views)


def step_of(ranks: Ranks, compat: bool) -> dict[str, Any]:
    method = small(compat=compat, captioning="both")
    whole = a_batch(method)
    mine = whole.part(8 // ranks.world * ranks.rank, 8 // ranks.world * (ranks.rank + 1))
    losses, _ = method(mine, None, ranks)
    losses["loss"].backward()
    gradients = {name: p.grad for name, p in method.named_parameters() if p.requires_grad}
    return {"losses": {k: float(v.detach()) for k, v in losses.items()}, "gradients": gradients}


def right_and_released(ranks: Ranks) -> list[dict[str, Any]]:
    return [step_of(ranks, compat) for compat in (False, True)]


def test_two_processes_with_half_a_batch_give_the_losses_and_gradients_of_one() -> None:
    two = run_two(right_and_released)
    for number, one in enumerate(right_and_released(ALONE)):
        first, second = (r[number] for r in two)
        for name, loss in one["losses"].items():  # reports differ in length, and so do the processes' counts of words
            assert (first["losses"][name] + second["losses"][name]) / 2 == pytest.approx(loss, abs=1e-5), name
        for name, gradient in one["gradients"].items():
            assert gradient is not None, name
            assert torch.allclose((first["gradients"][name] + second["gradients"][name]) / 2, gradient, atol=1e-5), name


def test_an_example_is_a_study_with_its_views_and_report(small_archive: Path) -> None:
    share = Share(Archive.open(small_archive))
    method = RefersMethod(recipe(), SMALL_TOWER)
    method.prepare([share])
    examples = method.collect(share, "train")
    assert examples.counts == {
        "studies": 48,
        "studies_without_text": 0,
        "studies_used": 48,
        "images": 48,
        "texts_cut": 0,
    }
    batch = method.read(examples, np.arange(4), np.random.default_rng(0))
    assert batch.pixels.shape == (4, 3, 40, 40)
    assert method.augment(batch, torch.Generator().manual_seed(0)).views.shape == (4, 3, 32, 32)
    fixed = method.read(examples, np.arange(4), None)
    assert torch.equal(fixed.views[:, 0], fixed.views[:, 2])  # one image, three times
    assert len(method.write(fixed.views)) == 4


def mirrored_batch(method: RefersMethod, seed: int) -> tuple[StudyBatch, StudyBatch]:
    """A batch of half-dark pictures, before and after augmentation."""
    pixels = torch.zeros(8, 3, 40, 40, dtype=torch.uint8)
    pixels[..., :20] = 200
    texts = ["left base"] * 8
    words = [[torch.from_numpy(r) for r in method.pieces.rows(said, 16)] for said in (texts, ["right base longer"] * 8)]
    ids = [torch.from_numpy(method.tokenizer(said)) for said in (texts, ["right base longer"] * 8)]
    batch = StudyBatch(pixels, torch.full((8, 3, 2), 40), *ids, words[0][0], words[1][0], words[0][1], words[1][1])
    return batch, method.augment(batch, torch.Generator().manual_seed(seed))


def bright_left(views: torch.Tensor) -> torch.Tensor:
    return views[..., :8].float().mean((-1, -2)) > views[..., -8:].float().mean((-1, -2))


def test_a_mirrored_study_s_views_are_mirrored_together_and_its_report_says_so() -> None:
    method = small()
    method._plan = tuple(replace(s, scale=(0.95, 1.0)) if hasattr(s, "ratio") else s for s in method._plan)
    seen = set()
    for seed in range(4):
        batch, augmented = mirrored_batch(method, seed)
        left = bright_left(augmented.views)
        assert bool((left == left[:, :1]).all())
        for number in range(8):
            upright = bool(left[number, 0])
            length = int(augmented.lengths[number])
            expected = (batch.tokens if upright else batch.mirrored_tokens)[number, :length]
            assert torch.equal(augmented.tokens[number, :length], expected)
            assert length == int((batch.lengths if upright else batch.mirrored_lengths)[number])
            assert torch.equal(augmented.ids[number], (batch.ids if upright else batch.mirrored_ids)[number])
            seen.add(upright)
    assert seen == {True, False}


def test_as_released_views_are_mirrored_apart_and_the_report_follows_the_first() -> None:
    method = small(compat=True)
    method._plan = tuple(replace(s, scale=(0.95, 1.0)) if hasattr(s, "ratio") else s for s in method._plan)
    batch, augmented = mirrored_batch(method, 0)
    left = bright_left(augmented.views)
    assert bool((left != left[:, :1]).any())
    for number in range(8):
        expected = batch.lengths if left[number, 0] else batch.mirrored_lengths
        assert int(augmented.lengths[number]) == int(expected[number])


def test_norms_are_spared_from_decay_and_as_released_bert_s_are_not() -> None:
    rates = {"learning_rate": 1e-3, "text_learning_rate": 1e-4}
    assert {round(g["rate"], 6) for g in small(**rates).parameter_groups()} == {1.0, 0.1}
    assert decayed_vectors(False) == set()
    assert all("LayerNorm" in name for name in decayed_vectors(True))
    assert decayed_vectors(True)


def decayed_vectors(compat: bool) -> set[str]:
    method = small(compat=compat)
    kept = {id(p) for group in method.parameter_groups() if group["weight_decay"] > 0 for p in group["params"]}
    return {name for name, p in method.named_parameters() if id(p) in kept and p.ndim < 2}


def test_written_reports_are_those_that_were_learned() -> None:
    method = small(captioning="forward")
    batch = a_batch(method)
    optimizer = torch.optim.AdamW(method.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        method(batch)[0]["loss"].backward()
        optimizer.step()
    expected = [" ".join(text.lower().split()) for text in REPORTS]
    assert method.write(batch.views) == expected
    assert method.write(batch.views, beams=3) == expected


def test_the_exported_encoder_gives_the_class_token_again_from_its_folder(tmp_path: Path) -> None:
    method = small()
    pixels = [np.random.default_rng(i).integers(0, 256, (50, 40)).astype(np.uint8) for i in range(3)]
    method.model({"name": "m"}, "cpu").save(tmp_path / "m")
    features = Model.load(tmp_path / "m", "cpu").features(pixels)
    squares = torch.from_numpy(method.preprocess.squares(pixels))
    classes, _ = method.eval().look(squares.unsqueeze(1).expand(-1, 3, -1, -1))
    assert np.allclose(features, classes[:, 0].detach().numpy(), atol=1e-5)


def test_an_archive_without_reports_is_refused_before_a_vocabulary_is_learned(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a")
    image = {"image_id": "i", "study_id": "s", "patient_id": "p", "height": 40, "width": 40, "split": "train"}
    archive.add_images(pa.Table.from_pylist([{**image, "pixels": bytes(1600)}]))
    with pytest.raises(TrainingError, match="needs reports"):
        RefersMethod(recipe(), SMALL_TOWER).prepare([Share(archive)])


def test_a_tower_whose_tokens_are_not_as_wide_as_its_feature_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"cannot be added\. Take a vision transformer"):
        RefersMethod(recipe(tower="resnet18"))
    with pytest.raises(ModelError, match="Did you mean 'vit-b-16'"):
        RefersMethod(recipe(tower="vit-b-61"))


def test_heads_that_do_not_divide_the_generator_are_refused() -> None:
    with pytest.raises(TrainingError, match="generator_width=32 does not divide by generator_heads=5"):
        small(generator_heads=5)
