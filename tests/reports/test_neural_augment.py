"""More text with the same labels: the offline paraphraser and back-translation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hilum.errors import ModelError
from hilum.reports.neural.backtranslate import BackTranslator
from hilum.reports.neural.paraphrase import Paraphraser, sentences_of
from hilum.reports.rules import RuleLabeler

REPORTS = (
    "No pleural effusion, pneumothorax, or focal consolidation. Heart size is normal.",
    "There is no pneumothorax. Small left pleural effusion is again seen. Stable cardiomegaly.",
    "Right basilar opacity may represent pneumonia. This could also be atelectasis. No effusion.",
    "Mild cardiomegaly without edema. A small pneumothorax cannot be excluded.",
    "Possible right apical pulmonary nodule, suspicious for neoplasm. Atelectasis versus pneumonia at the left base.",
    "Cardiac silhouette is within normal limits. Findings are consistent with pulmonary edema.",
    "No evidence of pneumonia. Picc line ends in the superior vena cava. The lungs are clear.",
    "No new consolidation. No change in the large effusion. Fractures are not identified.",
    "Effusion has resolved. No acute fracture is seen. Pneumonia is not seen.",
    "Aside from left basal atelectasis, no airspace disease. Pulmonary vascular congestion.",
)


def test_a_paraphrase_keeps_the_labels_the_rules_read() -> None:
    rules, paraphraser, chance = RuleLabeler(), Paraphraser(change=0.8), np.random.default_rng(0)
    changed = 0
    for text in REPORTS:
        before = rules.codes(text)
        for _ in range(40):
            other = paraphraser(text, chance)
            assert rules.codes(other) == before, f"{text}\n{other}"
            changed += other != text
    assert changed > 300  # of 400


def test_a_paraphrase_differs_in_words_and_in_order() -> None:
    chance = np.random.default_rng(1)
    seen = {Paraphraser(change=1.0)("No effusion or pneumothorax. The heart is normal.", chance) for _ in range(60)}
    assert any("pneumothorax or effusion" in text for text in seen)
    assert any(text.startswith("The heart is") for text in seen)
    assert any("no evidence of" in text.lower() for text in seen)
    assert any("unremarkable" in text for text in seen)
    assert Paraphraser(change=0.0)(REPORTS[0], chance) == REPORTS[0]


def test_a_sentence_that_points_back_stays_behind_its_sentence() -> None:
    text = "Left basal opacity. This may be artifact. No effusion."
    for seed in range(30):
        told = sentences_of(Paraphraser(change=1.0)(text, np.random.default_rng(seed)))
        opacity = next(place for place, sentence in enumerate(told) if "opacity" in sentence)
        assert "artifact" in told[opacity + 1]


@pytest.mark.parametrize(
    "sentence",
    [
        "No change in the large effusion.",
        "No new consolidation.",
        "No pneumothorax, but a small effusion remains.",
        "No effusion and the heart is enlarged.",
        "No acute disease other than a rib fracture.",
    ],
)
def test_a_negation_that_is_more_than_plain_keeps_its_form(sentence: str) -> None:
    for seed in range(20):
        other = Paraphraser(change=1.0).sentence(sentence, np.random.default_rng(seed))
        assert other.split()[:2] == sentence.split()[:2]


def marian(folder: Path, seed: int) -> Path:
    """A tiny random translation model with a SentencePiece vocabulary trained on the spot."""
    sentencepiece = pytest.importorskip("sentencepiece")
    import torch
    from transformers import MarianConfig, MarianMTModel

    folder.mkdir()
    (folder / "text.txt").write_text("\n".join(REPORTS * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "spm"), vocab_size=80, minloglevel=2
    )
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes((folder / "spm.model").read_bytes())
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    pieces = ["</s>", "<unk>", *(model.id_to_piece(i) for i in range(3, model.get_piece_size())), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "de"})
    )
    torch.manual_seed(seed)
    config = MarianConfig(
        vocab_size=len(pieces),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        pad_token_id=len(pieces) - 1,
        decoder_start_token_id=len(pieces) - 1,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
    MarianMTModel(config).save_pretrained(folder)
    return folder


def test_back_translation_runs_local_marian_models_and_remembers(tmp_path: Path) -> None:
    there, back = marian(tmp_path / "en-de", 0), marian(tmp_path / "de-en", 1)
    translate = BackTranslator(there, back, beams=2, batch_size=2)
    cache, calls = tmp_path / "cache.json", []
    first = translate(REPORTS[:3], cache, lambda done, of: calls.append((done, of)))
    assert calls == [(2, 3), (3, 3)]
    assert len(json.loads(cache.read_text())["texts"]) == 3
    assert translate(REPORTS[:3], cache, lambda done, of: calls.append((done, of))) == first
    assert calls == [(2, 3), (3, 3)]  # nothing was translated twice
    assert len(first) == 3


def test_a_translation_that_lost_or_kept_everything_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    translate = BackTranslator(marian(tmp_path / "en-de", 0), marian(tmp_path / "de-en", 1))
    returned = {
        "No effusion is seen.": "There is no effusion.",
        "Heart size is normal.": "heart size is  normal.",
        "The lungs are clear today.": "Clear.",
        "Stable.": "",
    }
    monkeypatch.setattr(translate, "there", lambda texts: texts)
    monkeypatch.setattr(translate, "back", lambda texts: [" ".join(returned[text].split()) for text in texts])
    assert translate(list(returned)) == ["There is no effusion.", None, None, None]


def test_a_folder_without_a_translation_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a local translation model"):
        BackTranslator(tmp_path, tmp_path)
