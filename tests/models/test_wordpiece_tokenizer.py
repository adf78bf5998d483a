"""The tokenizer pads, cuts and counts, is the same after saving, and is not fooled by text that spells special tokens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hilum.errors import CheckpointError, ModelError
from hilum.models.gloria_text import split_sentences
from hilum.models.wordpiece_tokenizer import WordPieceTokenizer

REPORTS = ["No pleural effusion.", "Small pleural effusion, no pneumothorax.", "Cardiomegaly. No effusion."] * 3


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer.learned_from(REPORTS, 120, context_length=8)


def test_a_row_is_cls_pieces_sep_padding(tokenizer: WordPieceTokenizer) -> None:
    rows = tokenizer(["no effusion", ""])
    assert rows.shape == (2, 8)
    assert rows.dtype == np.int64
    assert tokenizer.pieces(rows[0])[:4] == ["[CLS]", "no", "effusion", "[SEP]"]
    assert list(rows[1][:3]) == [tokenizer.first_id, tokenizer.last_id, tokenizer.pad_id]


def test_a_long_text_is_cut_before_sep_and_counted(tokenizer: WordPieceTokenizer) -> None:
    text = "no effusion " * 10
    assert tokenizer.lengths([text, "no"]).tolist() == [22, 3]
    row = tokenizer([text])[0]
    assert row[-1] == tokenizer.last_id
    assert tokenizer.pieces(row[1:3]) == ["no", "effusion"]
    with pytest.raises(ModelError, match="text of 22 tokens is longer than the model's 8"):
        tokenizer([text], too_long="error")


def test_the_same_reports_give_the_same_vocabulary() -> None:
    one, two = (WordPieceTokenizer.learned_from(REPORTS, 100).to_json() for _ in range(2))
    assert json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)


def test_a_saved_tokenizer_needs_nothing_else(tokenizer: WordPieceTokenizer) -> None:
    saved = json.loads(json.dumps(tokenizer.to_json(), sort_keys=True))
    again = WordPieceTokenizer.from_json(saved)
    texts = ["Pneumothorax, small.", "no CARDIOMEGALY", "é"]
    assert np.array_equal(again(texts), tokenizer(texts))
    assert again.to_json() == tokenizer.to_json()
    with pytest.raises(ModelError, match="damaged"):
        WordPieceTokenizer.from_json({**saved, "tokenizer": {"version": "1.0"}})


def test_a_report_cannot_spell_a_special_token(tmp_path: Path, tokenizer: WordPieceTokenizer) -> None:
    from tokenizers import AddedToken, Tokenizer

    made = Tokenizer.from_str(json.dumps(tokenizer.to_json()["tokenizer"]))
    made.add_special_tokens([AddedToken(t, special=True) for t in ("[CLS]", "[SEP]", "[PAD]")])
    made.save(str(tmp_path / "tokenizer.json"))
    read = WordPieceTokenizer.from_path(tmp_path / "tokenizer.json", 32)
    inside = read.encode(["no [SEP] effusion [PAD] [CLS]"])[0]
    assert not {read.first_id, read.last_id, read.pad_id} & set(inside)
    again = WordPieceTokenizer.from_json(json.loads(json.dumps(read.to_json())))
    assert again.encode(["no [SEP] effusion"]) == read.encode(["no [SEP] effusion"])


def test_case_is_what_the_tokenizer_files_say(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "no", "No"]) + "\n")
    assert WordPieceTokenizer.from_path(tmp_path / "vocab.txt").encode(["No"]) == [[4]]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    for place in (tmp_path / "vocab.txt", tmp_path):
        assert WordPieceTokenizer.from_path(place).encode(["No"]) == [[5]]
    assert WordPieceTokenizer.from_path(tmp_path / "vocab.txt", lowercase=True).encode(["No"]) == [[4]]


def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("heart\nlung\n")
    with pytest.raises(CheckpointError, match=r"no line '\[UNK\]'"):
        WordPieceTokenizer.from_path(tmp_path / "words.txt")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ModelError, match=r"not a tokenizer\.json"):
        WordPieceTokenizer.from_path(tmp_path / "a.json")


def test_cleaning_by_words_reads_prompts_as_gloria_reads_reports() -> None:
    plain = WordPieceTokenizer.learned_from(REPORTS, 120, cleaning="none")
    words = WordPieceTokenizer.learned_from(REPORTS, 120, cleaning="words")
    assert words.clean("1. No effusion,\n2. Cardiomegaly.") == "no effusion cardiomegaly"
    assert plain.clean("1. No effusion,\n2. Cardiomegaly.") == "1. No effusion, 2. Cardiomegaly."
    assert words.encode(["Cardiomegaly"]) == words.encode(["cardiomegaly."])  # one word alone is not lost
    assert split_sentences("Cardiomegaly", min_words=2, compat="gloria") == []


@pytest.mark.parametrize(
    ("text", "released", "ours"),
    [
        ("Nodule of 3.5 mm. Clear.", ["nodule of", "5 mm"], ["nodule of 3 5 mm", "clear"]),
        ("1.No edema\n2. no  effusion", ["no edema", "no effusion"], ["no edema", "no effusion"]),
        ("in 2019.", [], ["in"]),
        ("", [], []),
    ],
)
def test_sentences_are_split_as_released_or_without_cutting_decimals(
    text: str, released: list[str], ours: list[str]
) -> None:
    assert split_sentences(text, min_words=2, compat="gloria") == released
    assert split_sentences(text) == ours
