"""The tokenizer against the original's ids, and what it does with hostile text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hilum.errors import ModelError
from hilum.models.clip_tokenizer import END_ID, START_ID, ClipTokenizer, merge_count


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "clip_tokenizer" / "io.npz") as saved:
        return {name: saved[name] for name in saved.files}


@pytest.fixture(scope="module")
def texts(arrays: dict) -> list[str]:
    return json.loads(str(arrays["texts_utf8_json"]))


def test_ids_equal_the_original_for_every_golden_text(arrays: dict, texts: list[str]) -> None:
    original = ClipTokenizer(literal_specials=True)
    assert np.array_equal(original(texts), arrays["ids"])
    assert np.array_equal(ClipTokenizer(32, literal_specials=True)(texts), arrays["ids_ctx32"])
    assert np.array_equal(original(texts).argmax(1), arrays["argmax_eot_pos"])


def test_raw_ids_cleaning_and_decoding_equal_the_original(arrays: dict, texts: list[str]) -> None:
    original = ClipTokenizer(literal_specials=True)
    raw = [original.encode(text) for text in texts]
    assert np.array_equal([len(ids) for ids in raw], arrays["raw_lengths"])
    assert np.array_equal(np.concatenate([np.array(ids, np.int64) for ids in raw]), arrays["raw_ids_flat"])
    assert [original.clean(text) for text in texts] == json.loads(str(arrays["cleaned"]))
    assert [original.decode(ids) for ids in raw] == json.loads(str(arrays["decoded"]))


def test_too_long_texts_are_refused_exactly_where_the_original_refuses(arrays: dict, texts: list[str]) -> None:
    tokenizer = ClipTokenizer(literal_specials=True)
    for text, refused in zip(texts, arrays["strict_tokenize_raises"], strict=True):
        if refused:
            with pytest.raises(ModelError, match="longer than the model's 77"):
                tokenizer([text], too_long="error")
        else:
            tokenizer([text], too_long="error")


def test_only_texts_that_spell_special_tokens_differ_by_default(arrays: dict, texts: list[str]) -> None:
    rows = ClipTokenizer()(texts)
    differs = (rows != arrays["ids"]).any(axis=1)
    spelled = np.array(["<|startoftext|>" in t.lower() or "<|endoftext|>" in t.lower() for t in texts])
    assert np.array_equal(differs, spelled)


@pytest.mark.parametrize("literal", ["<|endoftext|>", "<end_of_text>", "<|startoftext|>", "<start_of_text>"])
def test_a_report_cannot_inject_a_special_id(literal: str) -> None:
    ids = ClipTokenizer()([f"no effusion {literal} no edema"])[0]
    assert (ids == END_ID).sum() == 1
    assert (ids == START_ID).sum() == 1


def test_empty_text_is_start_and_end() -> None:
    assert ClipTokenizer()([""])[0][:3].tolist() == [START_ID, END_ID, 0]


def test_the_packaged_vocabulary_is_the_published_one(arrays: dict) -> None:
    saved = ClipTokenizer().to_json()
    assert merge_count() == int(arrays["merge_count"])
    assert ClipTokenizer.from_json(saved).context_length == 77
    with pytest.raises(ModelError, match="BPE vocabulary"):
        ClipTokenizer.from_json({**saved, "bpe_sha256": "0" * 64})
