"""A text tower starts from a folder with its weights, or from nothing with a vocabulary of the user's reports."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.models.test_text_towers import bert_config, hf_folder

from hilum.errors import ModelError, TrainingError
from hilum.methods.text_start import start_text

REPORTS = ["No pleural effusion.", "Small pleural effusion.", "No pneumothorax."] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertModel

    torch.manual_seed(0)
    return hf_folder(tmp_path_factory.mktemp("bert") / "folder", BertModel(bert_config()))


def test_a_size_learns_its_vocabulary_from_the_reports_and_has_no_unused_pooler() -> None:
    started = start_text("bert-tiny", REPORTS, context=16, vocabulary=200)
    assert started.tensors == 0
    assert started.tokenizer.pieces(started.tokenizer.encode(["pleural effusion"])[0]) == ["pleural", "effusion"]
    assert started.tower.net.get_input_embeddings().num_embeddings == started.tokenizer.size
    assert started.tower.positions == started.tokenizer.context_length == 16
    assert not any(name.startswith("pooler.") for name, _ in started.tower.net.named_parameters())
    assert all(weight.requires_grad for weight in started.tower.parameters())


def test_a_pooler_that_is_used_is_kept_and_trained() -> None:
    tower = start_text("bert-tiny", REPORTS, 16, 200, pooler=True).tower
    assert any(name.startswith("pooler.") for name, _ in tower.net.named_parameters())


def test_a_folder_gives_weights_and_vocabulary_and_its_unused_pooler_stays_frozen(folder: Path) -> None:
    started = start_text(str(folder), iter(()), context=16, vocabulary=200)
    assert started.tensors > 30
    assert started.tokenizer.context_length == 16
    frozen = {name for name, weight in started.tower.net.named_parameters() if not weight.requires_grad}
    assert frozen == {"pooler.dense.weight", "pooler.dense.bias"}
    assert all(weight.requires_grad for weight in start_text(str(folder), (), 16, 200, pooler=True).tower.parameters())


def test_a_folder_with_fewer_positions_than_the_context_cuts_texts_to_them(folder: Path) -> None:
    assert start_text(str(folder), (), context=256, vocabulary=200).tokenizer.context_length == 24


@pytest.mark.parametrize("text_model", ["/nowhere/bert", "weights.bin"])
def test_a_folder_that_is_not_there_is_refused(text_model: str) -> None:
    with pytest.raises(TrainingError, match=r"no such folder\. Give a local Hugging Face folder, or a size"):
        start_text(text_model, REPORTS, 16, 200)


def test_a_misspelled_size_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ModelError, match=r"no text tower 'bert-tinny'\. Did you mean 'bert-tiny'"):
        start_text("bert-tinny", REPORTS, 16, 200)


def test_the_paper_s_text_tower_is_asked_of_nobody_when_downloads_are_off() -> None:
    with pytest.raises(ModelError, match=r"downloads are off .* --set text_model=FOLDER"):
        start_text("bio-clinicalbert", REPORTS, 16, 200)
