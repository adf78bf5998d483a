"""GLoRIA's words and similarities equal the obvious loops; any ResNet will do; the model folder keeps everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.errors import ModelError
from hilum.models import LongerSidePadCrop, Model, WordPieceTokenizer, text_tower_named, tower_named
from hilum.models.gloria import GloriaArchitecture, GloriaEncoder, aggregate_words
from hilum.models.gloria_similarity import (
    both_similarity,
    global_similarity,
    local_similarity,
    slots_for_prompts,
    word_cosines,
    z_scored,
)
from hilum.models.image_towers import TowerDescription

LAST, PAD = 3, 0


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loop_words(hidden: Tensor, ids: Tensor, continued: Tensor) -> tuple[list[Tensor], list[int]]:
    """Word by word: pieces that go on are added to the word before; nothing after the first [SEP]."""
    texts, counts = [], []
    for states, row in zip(hidden, ids.tolist(), strict=True):
        words: list[Tensor] = []
        for state, number in zip(states, row, strict=True):
            if continued[number] and words:
                words[-1] = words[-1] + state
            else:
                words.append(state)
            if number == LAST:
                break
        texts.append(torch.stack(words))
        counts.append(len(words) - 1 - (LAST in row))
    return texts, counts


def loop_local(regions: Tensor, words: Tensor, counts: list[int]) -> Tensor:
    """Section 3.7's local similarity for one image and one text at a time."""
    out = torch.zeros(len(regions), len(words))
    for b, image in enumerate(regions.flatten(2)):
        for i, count in enumerate(counts):
            if not count:
                continue
            w = (
                F.pad(words[i], (0, 1 + count - words.shape[2]))[:, 1 : 1 + count]
                if count >= words.shape[2]
                else words[i][:, 1 : 1 + count]
            )
            a = (image.T @ w).softmax(dim=1)  # over words
            alpha = (4 * a).softmax(dim=0)  # over regions
            v = image @ alpha
            out[b, i] = 5 * F.cosine_similarity(w, v, dim=0, eps=1e-8).max()
    return out


def test_words_are_the_sums_of_their_pieces() -> None:
    continued = torch.zeros(12, dtype=torch.bool)
    continued[[8, 9]] = True
    ids = torch.tensor(
        [
            [2, 5, 8, 9, 6, 3, 0, 0],
            [2, 3, 5, 6, 0, 0, 0, 0],  # what follows [SEP] is not read
            [2, 5, 6, 7, 8, 10, 11, 5],  # cut before its [SEP]
            [2, 8, 5, 8, 3, 3, 8, 5],
        ]
    )
    hidden = draws(4, 8, 6)
    words = aggregate_words(hidden, ids, continued, LAST)
    texts, counts = loop_words(hidden, ids, continued)
    assert words.counts.tolist() == counts
    assert words.features.shape[2] == max(len(t) for t in texts)
    for features, expected in zip(words.features, texts, strict=True):
        assert torch.allclose(features[:, : len(expected)].T, expected, atol=1e-6)
        assert not features[:, len(expected) :].any()


@pytest.mark.parametrize("counts", [[3, 1, 5, 0], [8, 2, 1, 4]])
def test_local_similarity_equals_the_loop_over_pairs(counts: list[int]) -> None:
    regions, words = draws(3, 6, 4, 5), draws(4, 6, 7, seed=1)
    words[1, :, 3:] = 0
    got = local_similarity(regions, words, torch.tensor(counts))
    assert torch.allclose(got, loop_local(regions, words, counts), atol=2e-6)
    assert got.abs().max() <= 5 + 1e-5


def test_word_cosines_are_those_of_the_attended_regions_and_have_gradients() -> None:
    regions, words = draws(2, 5, 9).requires_grad_(), draws(3, 5, 4, seed=2).requires_grad_()
    there = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    cosines = word_cosines(regions, words, there)
    products = torch.einsum("bdr,mdt->bmtr", regions, words).masked_fill(~there[None, :, :, None], -1e30)
    weights = (4 * products.softmax(dim=2)).softmax(dim=3)
    found = torch.einsum("bmtr,bdr->bmdt", weights, regions)
    expected = F.cosine_similarity(words[None].expand_as(found), found, dim=2)
    assert torch.allclose(cosines[:, there], expected[:, there], atol=1e-6)
    cosines.sum().backward()
    assert torch.isfinite(regions.grad).all()
    assert torch.isfinite(words.grad).all()


def test_slots_count_words_or_as_released_characters() -> None:
    prompts, counted = ["mild edema ", "[x] a"], torch.tensor([2, 3])
    assert slots_for_prompts(prompts, counted, 97).tolist() == [2, 3]
    assert slots_for_prompts(prompts, counted, 97, compat="gloria").tolist() == [11, 4]
    with pytest.raises(ModelError, match="has 11 of them; the encoder has 10 word slots"):
        slots_for_prompts(prompts, counted, 11, compat="gloria")
    with pytest.raises(ModelError, match="expected None or 'gloria'"):
        slots_for_prompts(prompts, counted, 97, compat="convirt")


def test_scores_are_standardized_over_the_images_but_not_for_one() -> None:
    scores = draws(5, 3)
    z = z_scored(scores)
    assert torch.allclose(z.mean(dim=0), torch.zeros(3), atol=1e-6)
    assert torch.allclose(z.std(dim=0, correction=0), torch.ones(3), atol=1e-6)
    assert torch.equal(z_scored(scores[:1]), scores[:1])


def test_both_is_the_mean_of_local_and_global() -> None:
    images, texts = draws(3, 4), draws(2, 4, seed=1)
    whole = global_similarity(images, texts)
    assert torch.allclose(whole, F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T, atol=1e-6)
    assert torch.allclose(both_similarity(whole + 2, whole), whole + 1)


REPORTS = ["Left effusion. No pneumothorax.", "Right pneumothorax, small. No effusion.", "Cardiomegaly"] * 3


def small(tower: TowerDescription, context: int = 16) -> tuple[GloriaEncoder, WordPieceTokenizer]:
    tokenizer = WordPieceTokenizer.learned_from(REPORTS, 60, context_length=context, cleaning="words")
    text = text_tower_named("bert-tiny", vocab_size=tokenizer.size, width=32, heads=2, layers=4, positions=context)
    torch.manual_seed(0)
    encoder = GloriaEncoder(
        GloriaArchitecture(
            image_tower=tower, text_tower=text, upsample_px=75, text_layers=3, slots=context, last_id=tokenizer.last_id
        )
    )
    encoder.set_vocabulary(tokenizer)
    return encoder.eval(), tokenizer


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet-tiny", "vit-tiny"])
def test_any_tower_with_a_local_map_will_do(name: str) -> None:
    encoder, tokenizer = small(tower_named(name, 64))
    images = draws(2, 3, 64, 64)
    regions, whole = encoder.both_features(images)
    assert regions.shape[:2] == (2, 32)
    assert torch.allclose(encoder.encode_images(images), whole, atol=1e-5)
    assert torch.allclose(encoder.local_features(images), regions, atol=1e-5)
    assert encoder.image_features(images).shape == (2, encoder.feature_dim)
    words = encoder.word_features(torch.from_numpy(tokenizer(["no effusion", "cardiomegaly"])))
    assert words.counts.tolist() == [2, 1]
    assert local_similarity(regions, words.features, words.counts).shape == (2, 2)


@torch.no_grad()
def test_the_tower_sees_the_images_enlarged_with_corners_aligned() -> None:
    encoder, _ = small(tower_named("resnet-tiny"))
    images = draws(1, 3, 40, 40)
    larger = F.interpolate(images, (75, 75), mode="bilinear", align_corners=True)
    assert torch.equal(encoder.upsampled(images), larger)
    assert torch.allclose(encoder.image_features(images), encoder.image_tower(larger), atol=1e-6)


@torch.no_grad()
def test_a_sentence_is_the_mean_over_all_slots_and_all_chosen_layers() -> None:
    encoder, tokenizer = small(tower_named("resnet-tiny"))
    ids = torch.from_numpy(tokenizer(["left effusion", "no"]))
    states = encoder.text_tower.hidden(ids, layers=3)
    vectors = encoder.encode_texts(ids)
    for i in range(2):
        length = int((ids[i] != 0).sum())
        expected = sum(layer[i, :length].sum(dim=0) for layer in states) / encoder.architecture.slots
        assert torch.allclose(vectors[i], expected, atol=1e-5)


def test_the_folder_keeps_the_vocabulary_and_gives_the_same_vectors(tmp_path: Path) -> None:
    encoder, tokenizer = small(tower_named("resnet-tiny"))
    model = Model(encoder, LongerSidePadCrop(resize_px=72, canvas_px=64), tokenizer, device="cpu")
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model", device="cpu")
    assert again.fingerprint == model.fingerprint
    assert torch.equal(again.encoder.continued, encoder.continued)
    assert encoder.continued.any()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 80, 60), np.uint8)
    assert np.array_equal(again.embed_images(pixels), model.embed_images(pixels))
    assert np.array_equal(again.embed_texts(REPORTS[:3]), model.embed_texts(REPORTS[:3]))


def test_a_vocabulary_that_does_not_fit_is_refused() -> None:
    encoder, tokenizer = small(tower_named("resnet-tiny"))
    many = [f"word{chr(97 + i)}{chr(97 + j)} said" for i in range(26) for j in range(26)] * 2
    with pytest.raises(ModelError, match="the text tower has embeddings for"):
        encoder.set_vocabulary(WordPieceTokenizer.learned_from(many, 400))
    other = GloriaEncoder(encoder.architecture.model_copy(update={"last_id": 4}))
    with pytest.raises(ModelError, match=r"\[SEP\] and \[PAD\]"):
        other.set_vocabulary(tokenizer)
