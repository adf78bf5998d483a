"""Text towers pool as defined, ignore padding, load strictly, and come out of local Hugging Face folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hilum.errors import ModelError
from hilum.models.encoder import parameter_count
from hilum.models.hf_folder import from_hf_folder
from hilum.models.text_towers import Bert, TextTower, Transformers, build_text_tower, text_tower_named

TINY = Bert(vocab_size=50, width=32, layers=3, heads=2, feed_forward=48, positions=20)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "no", "effusion", "##al"]


@pytest.fixture(scope="module")
def tower() -> TextTower:
    torch.manual_seed(0)
    return build_text_tower(TINY).eval()


def rows(*lengths: int, width: int = 12) -> Tensor:
    ids = torch.zeros(len(lengths), width, dtype=torch.int64)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.arange(2, 2 + length)
    return ids


def test_bio_clinicalbert_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert parameter_count(build_text_tower(text_tower_named("emilyalsentzer/Bio_ClinicalBERT"))) == 108_310_272


@torch.no_grad()
def test_each_pooling_is_its_definition(tower: TextTower) -> None:
    ids = rows(4, 9)
    (hidden,) = tower.hidden(ids)
    for i, length in enumerate((4, 9)):
        own = hidden[i, :length]
        expected = {
            "eos": own[-1],
            "bos": own[0],
            "cls": torch.tanh(tower.net.pooler.dense(own[0])),
            "mean": own.mean(dim=0),
            "max": own.max(dim=0).values,
        }
        for pooling, vector in expected.items():
            assert torch.allclose(tower(ids, pooling)[i], vector, atol=1e-6), pooling


@torch.no_grad()
def test_padding_changes_nothing(tower: TextTower) -> None:
    ids = rows(5, 7)
    for pooling in ("eos", "bos", "cls", "mean", "max"):
        alone = torch.cat([tower(ids[:1, :5], pooling), tower(ids[1:, :7], pooling)])
        assert torch.allclose(tower(ids, pooling), alone, atol=1e-6), pooling


@torch.no_grad()
def test_the_last_layers_are_those_of_the_network(tower: TextTower) -> None:
    ids = rows(6, 6, width=6)
    states = tower.net(input_ids=ids, output_hidden_states=True).hidden_states
    got = tower.hidden(ids, layers=2)
    assert len(got) == 2
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(got, states[-2:], strict=True))


def test_what_a_tower_cannot_do_is_said(tower: TextTower) -> None:
    with pytest.raises(ModelError, match="texts of 21 tokens; the text tower has positions for 20"):
        tower.hidden(torch.ones(1, 21, dtype=torch.int64))
    with pytest.raises(ModelError, match="the last 4 layers of a text tower of 3"):
        tower.hidden(rows(3), layers=4)
    with pytest.raises(ModelError, match="expected one of eos, bos"):
        tower(rows(3), "average")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="needs a text tower with BERT's pooler"):
        build_text_tower(TINY.model_copy(update={"pooler": False}))(rows(3), "cls")
    with pytest.raises(ModelError, match="Did you mean 'bert-tiny'"):
        text_tower_named("bert-tinny")
    with pytest.raises(ModelError, match="layerss: Extra inputs"):
        text_tower_named("bert-tiny", layerss=3)
    with pytest.raises(ModelError, match="do not divide by 5 heads"):
        build_text_tower(TINY.model_copy(update={"heads": 5}))


def test_freezing_leaves_only_the_later_layers_to_train() -> None:
    tower = build_text_tower(TINY)
    tower.freeze(2)
    trained = {name.split(".")[3] for name, p in tower.named_parameters() if p.requires_grad and ".layer." in name}
    assert trained == {"2"}
    assert not any(p.requires_grad for p in tower.net.embeddings.parameters())
    tower.freeze(-1)
    assert not any(p.requires_grad for n, p in tower.named_parameters() if "pooler" not in n)
    with pytest.raises(ModelError, match="first 4 layers of a text tower of 3"):
        tower.freeze(4)


def test_weights_load_strictly(tower: TextTower) -> None:
    other = build_text_tower(TINY)
    weights = tower.weights()
    other.load_weights(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in other.weights().items())
    lacking = {name: tensor for name, tensor in weights.items() if "layer.1.output" not in name}
    with pytest.raises(ModelError, match=r"4 missing: encoder\.layer\.1\.output"):
        other.load_weights(lacking)


def hf_folder(place: Path, model: Any, lowercase: bool = True) -> Path:
    model.save_pretrained(place)
    (place / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (place / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}), encoding="utf-8")
    return place


def bert_config() -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=24,
    )


@torch.no_grad()
def test_a_hugging_face_folder_gives_the_same_encoder(tmp_path: Path) -> None:
    from transformers import BertModel

    net = BertModel(bert_config()).eval()
    found = from_hf_folder(hf_folder(tmp_path, net, lowercase=False))
    assert isinstance(found.tower.description, Bert)
    ids = rows(5)
    expected = net(input_ids=ids[:, :5])
    assert torch.allclose(found.tower.eval()(ids, "bos"), expected.last_hidden_state[:, 0], atol=1e-6)
    assert torch.allclose(found.tower(ids, "cls"), expected.pooler_output, atol=1e-6)
    assert found.tokenizer.context_length == 24
    assert found.tokenizer.pieces(found.tokenizer.encode(["no NO"])[0]) == ["no", "[UNK]"]  # cased, as the folder says


@torch.no_grad()
def test_an_old_folder_of_a_masked_language_model_gives_its_encoder_without_a_pooler(tmp_path: Path) -> None:
    from transformers import BertForMaskedLM

    net = BertForMaskedLM(bert_config()).eval()
    folder = hf_folder(tmp_path, net)
    (folder / "model.safetensors").unlink()
    old = {n.replace("LayerNorm.weight", "LayerNorm.gamma"): t.clone() for n, t in net.state_dict().items()}
    old = {n.replace("LayerNorm.bias", "LayerNorm.beta"): t for n, t in old.items()}
    old["bert.embeddings.position_ids"] = torch.arange(24)[None]
    torch.save(old, folder / "pytorch_model.bin")
    config = json.loads((folder / "config.json").read_text())
    config.pop("model_type", None)  # as early folders are
    (folder / "config.json").write_text(json.dumps(config))
    found = from_hf_folder(folder)
    assert not found.tower.description.pooler
    expected = net.bert(input_ids=rows(5)[:, :5]).last_hidden_state[:, 0]
    assert torch.allclose(found.tower.eval()(rows(5), "bos"), expected, atol=1e-6)


@torch.no_grad()
def test_other_encoders_of_the_family_are_built_from_their_settings(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    net = DistilBertModel(
        DistilBertConfig(
            vocab_size=len(VOCABULARY), dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=24
        )
    ).eval()
    found = from_hf_folder(hf_folder(tmp_path, net))
    assert isinstance(found.tower.description, Transformers)
    again = build_text_tower(Transformers.model_validate(found.tower.description.model_dump(mode="json"))).eval()
    again.load_weights(found.tower.weights())
    expected = net(input_ids=rows(5)[:, :5]).last_hidden_state[:, 0]
    assert torch.allclose(again(rows(5), "bos"), expected, atol=1e-6)


def test_a_folder_that_is_no_encoder_is_refused_by_what_is_wrong(tmp_path: Path) -> None:
    from transformers import BertModel

    with pytest.raises(ModelError, match=r"has no config\.json"):
        from_hf_folder(tmp_path)
    folder = hf_folder(tmp_path / "a", BertModel(bert_config()))
    (folder / "config.json").write_text(json.dumps({**bert_config().to_dict(), "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"16 missing: encoder\.layer\.2"):
        from_hf_folder(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"expected model\.safetensors or pytorch_model\.bin"):
        from_hf_folder(folder)
