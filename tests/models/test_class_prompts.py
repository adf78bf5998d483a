"""Prompts of severity, subtype and location; and three ways to make one similarity of several prompts."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hilum.errors import UsageError
from hilum.models.class_prompts import class_prompts, sampled_prompts
from hilum.models.prompt_pooling import pooled_similarity
from hilum.models.zero_shot import pair_scores, pooled_pair_scores


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_prompts_are_counted_and_ordered_as_in_the_releases() -> None:
    prompts = class_prompts("cxr-clip")
    assert {name: len(texts) for name, texts in prompts.items()} == {
        "Atelectasis": 210,
        "Cardiomegaly": 15,
        "Consolidation": 192,
        "Edema": 18,
        "Pleural Effusion": 54,
    }
    assert len(set(prompts["Pleural Effusion"])) == 36  # one subtype stands twice
    assert prompts["Atelectasis"][0] == "subsegmental atelectasis at the mid lung zone"
    assert prompts["Pleural Effusion"][9] == "small left bilateral pleural effusion"


def test_spelling_and_blanks_are_the_releases_own_only_where_asked_for() -> None:
    right, theirs, blanks = (class_prompts(style) for style in ("right", "cxr-clip", "gloria"))
    assert not any("uppper" in text or "apperance" in text for texts in right.values() for text in texts)
    assert any("uppper" in text for text in theirs["Consolidation"])
    assert any("apperance" in text for text in blanks["Consolidation"])
    assert not any("apperance" in text for text in theirs["Consolidation"])
    assert " pulmonary edema " in blanks["Edema"]
    assert "pulmonary edema" in theirs["Edema"]
    for texts in right.values():
        assert len(set(texts)) == len(texts)
        assert all(text == text.strip() for text in texts)
    with pytest.raises(UsageError, match="expected one of right, cxr-clip, gloria"):
        class_prompts("wrong")  # type: ignore[arg-type]


def test_sampled_prompts_are_drawn_without_replacement_and_by_seed() -> None:
    one, two = (sampled_prompts(class_prompts(), 5, random.Random(6)) for _ in range(2))
    assert one == two
    assert all(len(set(texts)) == 5 for texts in one.values())
    assert len(sampled_prompts(class_prompts(), 99, random.Random(6))["Cardiomegaly"]) == 15


def test_each_pool_equals_its_loop() -> None:
    images, prompts = unit(5, 8), [unit(3, 8, seed=1), unit(1, 8, seed=2), unit(6, 8, seed=3)]
    for n, image in enumerate(images):
        for c, vectors in enumerate(prompts):
            cosines = [float(image @ vector) for vector in vectors]
            mean = vectors.mean(axis=0)
            expected = {
                "embedding": float(image @ mean / np.linalg.norm(mean)),
                "mean": float(np.mean(cosines)),
                "max": max(cosines),
            }
            for pool, value in expected.items():
                assert pooled_similarity(images, prompts, pool)[n, c] == pytest.approx(value, abs=1e-6)


def test_with_one_prompt_a_side_all_pools_give_the_pair_s_score() -> None:
    images, asked, against = unit(4, 8), unit(3, 1, 8, seed=1), unit(3, 1, 8, seed=2)
    expected = pair_scores(images, asked[:, 0], against[:, 0])
    for pool in ("embedding", "mean", "max"):
        assert np.allclose(pooled_pair_scores(images, list(asked), list(against), pool), expected, atol=1e-6)


def test_a_class_without_prompts_or_an_unknown_pool_is_refused() -> None:
    with pytest.raises(UsageError, match="a class has no prompts"):
        pooled_similarity(unit(2, 4), [unit(0, 4)])
    with pytest.raises(UsageError, match="expected one of embedding, mean, max"):
        pooled_similarity(unit(2, 4), [unit(1, 4)], "median")
