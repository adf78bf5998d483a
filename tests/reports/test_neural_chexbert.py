"""The CheXbert network and its importer, against vectors of the original model with tiny random weights."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from hilum.errors import CheckpointError, ModelError
from hilum.findings import LabelValue
from hilum.reports.neural.chexbert_import import import_chexbert
from hilum.reports.neural.folder import read_folder
from hilum.reports.neural.labeler import NeuralLabeler, load_labeler
from hilum.reports.neural.network import HEADS, labeler_loss

IO = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def io(golden: Path) -> IO:
    return dict(np.load(golden / "chexbert" / "io.npz"))


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 tokens with the special ones where bert-base-uncased has them."""
    words = ["no", "effusion", "heart", "is", "normal", ".", "small", "left", "##s", "pneumothorax"]
    lines = [f"[unused{i}]" for i in range(1000)]
    for number, token in {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}.items():
        lines[number] = token
    lines[200 : 200 + len(words)] = words
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def labeler(golden: Path, vocabulary: Path) -> NeuralLabeler:
    return import_chexbert(golden / "chexbert" / "chexbert_tiny.pt", vocabulary, attention_heads=4)


def saved(golden: Path) -> dict[str, torch.Tensor]:
    return torch.load(golden / "chexbert" / "chexbert_tiny.pt", weights_only=True)["model_state_dict"]


def test_logits_and_report_vectors_equal_the_original(labeler: NeuralLabeler, io: IO) -> None:
    ids, mask = torch.tensor(io["input_ids"]), torch.tensor(io["attention_mask"])
    with torch.inference_mode():
        np.testing.assert_allclose(labeler.network.embed(ids, mask), io["cls_hidden"], atol=1e-5)
        padded = labeler.network(ids, mask)
        for head in range(14):
            np.testing.assert_allclose(padded[head], io[f"logits_{head:02d}"], atol=1e-5, err_msg=HEADS[head])
        for row, length in enumerate(io["lengths"]):
            alone = labeler.network(ids[row : row + 1, :length], mask[row : row + 1, :length])
            for head in range(14):
                np.testing.assert_allclose(alone[head][0], io[f"logits_unpadded_{head:02d}"][row], atol=1e-5)
    np.testing.assert_array_equal(torch.stack([head.argmax(1) for head in padded], 1), io["pred_class"])


def test_loss_and_gradients_equal_the_original(labeler: NeuralLabeler, io: IO) -> None:
    network = labeler.network
    network.zero_grad()
    loss = labeler_loss(
        network(torch.tensor(io["input_ids"]), torch.tensor(io["attention_mask"])), torch.tensor(io["labels_class"])
    )
    loss.backward()
    assert loss.item() == pytest.approx(float(io["loss"]), abs=1e-5)
    norm = torch.stack([p.grad.square().sum() for p in network.parameters() if p.grad is not None]).sum().sqrt()
    assert norm.item() == pytest.approx(float(io["grad_norm"]), rel=1e-5)
    np.testing.assert_allclose(network.heads[0].weight.grad, io["grad_head0_weight"], atol=1e-5)
    words = network.encoder.embeddings.word_embeddings.weight.grad
    np.testing.assert_allclose(words[101], io["grad_word_emb_row101"], atol=1e-5)
    network.zero_grad()


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("with_position_ids", [False, True])
@pytest.mark.parametrize("in_container", [False, True])
def test_every_known_form_of_the_file_is_read(
    golden: Path,
    vocabulary: Path,
    labeler: NeuralLabeler,
    tmp_path: Path,
    prefix: str,
    with_position_ids: bool,
    in_container: bool,
) -> None:
    state = {prefix + name.removeprefix("module."): tensor for name, tensor in saved(golden).items()}
    if with_position_ids:
        state[f"{prefix}bert.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save({"epoch": 1, "model_state_dict": state} if in_container else state, tmp_path / "chexbert.pth")
    again = import_chexbert(tmp_path / "chexbert.pth", vocabulary, attention_heads=4)
    for name, tensor in labeler.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_the_model_folder_gives_the_same_labels_without_a_pickle(labeler: NeuralLabeler, tmp_path: Path) -> None:
    texts = ["No effusion.", "Small left pneumothorax. Heart is normal.", ""]
    labeler.save(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "README.md",
    }
    again = load_labeler(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(texts).scores, labeler.predict(texts).scores)
    assert again.label(texts[1]).values == labeler.label_many(texts)[1].values
    assert again.tokenizer.reports(texts[:1], 512, 64)[0].windows == ((101, 200, 201, 205, 102),)


def test_labels_carry_the_score_of_every_state(labeler: NeuralLabeler) -> None:
    found = labeler.label("No effusion.")
    assert set(found.values) == set(HEADS)
    for finding, state in found.values.items():
        scores = found.scores[finding]
        assert max(scores, key=scores.__getitem__) is state
        assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert found.scores["No Finding"][LabelValue.UNCERTAIN] == 0


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", "empty"),
        (" XXXX. ___ ", "empty"),
        ("No hay derrame pleural en la base del pulmon izquierdo.", "not English"),
        ("No effusion.", ""),
    ],
)
def test_a_report_that_cannot_be_read_is_left_blank_with_a_note(labeler: NeuralLabeler, text: str, note: str) -> None:
    found = labeler.label(text)
    assert found.note == note
    assert (set(found.values.values()) == {LabelValue.NOT_MENTIONED}) == bool(note)
    assert labeler.explain_many([text])[0].values == found.values


def test_a_missing_and_an_unknown_key_are_both_named(golden: Path, vocabulary: Path, tmp_path: Path) -> None:
    state = saved(golden)
    state["module.linear_heads.14.weight"] = state.pop("module.linear_heads.3.weight")
    torch.save({"model_state_dict": state}, tmp_path / "chexbert.pth")
    with pytest.raises(
        CheckpointError, match=r"missing \['linear_heads.3.weight'\].*expected \['linear_heads.14.weight'\]"
    ):
        import_chexbert(tmp_path / "chexbert.pth", vocabulary, attention_heads=4)


def test_a_head_of_another_shape_is_refused(golden: Path, vocabulary: Path, tmp_path: Path) -> None:
    state = saved(golden)
    state["module.linear_heads.13.bias"] = torch.zeros(4)
    torch.save({"model_state_dict": state}, tmp_path / "chexbert.pth")
    with pytest.raises(CheckpointError, match=r"linear_heads.13.bias is \(4,\), expected \(2,\)"):
        import_chexbert(tmp_path / "chexbert.pth", vocabulary, attention_heads=4)


def test_a_vocabulary_of_another_size_is_refused(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    with pytest.raises(CheckpointError, match=r"has 4 tokens, but .* embeddings for 1000"):
        import_chexbert(golden / "chexbert" / "chexbert_tiny.pt", tmp_path / "vocab.txt", attention_heads=4)


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this pickle ran code",)


def test_a_web_page_a_pickle_with_code_and_a_broken_file_are_refused(
    vocabulary: Path, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, code, broken, legacy = (tmp_path / name for name in ("page.pth", "code.pth", "broken.pth", "legacy.pth"))
    page.write_text("<!DOCTYPE html><html>Sign in</html>")
    torch.save({"model_state_dict": _Code()}, code)
    legacy.write_bytes(pickle.dumps(_Code()))
    broken.write_bytes((golden / "chexbert" / "chexbert_tiny.pt").read_bytes()[:5000])
    for path, message in [
        (page, "web page"),
        (code, "need code to be run"),
        (legacy, "need code to be run"),
        (broken, "cut short"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            import_chexbert(path, vocabulary)
    with pytest.raises(CheckpointError, match="no such file"):
        import_chexbert(tmp_path / "absent.pth", vocabulary)
    assert "ran code" not in capsys.readouterr().out


def test_a_folder_of_another_kind_or_with_other_weights_is_refused(labeler: NeuralLabeler, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model folder"):
        read_folder(tmp_path)
    labeler.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "findings": config["findings"][:13]}))
    with pytest.raises(ModelError, match=r"not expected \['heads.13"):
        read_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "kind": "dual-encoder"}))
    with pytest.raises(ModelError, match="not a report labeler"):
        read_folder(tmp_path)
