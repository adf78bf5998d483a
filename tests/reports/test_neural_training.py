"""Training a labeler: what it learns from, that it resumes exactly, and that it works over any BERT-family encoder."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hilum.errors import ModelError, RecipeError, TrainingError, UsageError
from hilum.findings import CHEXPERT_NAMES, LabelValue
from hilum.reports.neural.balance import effective_weights, sampling_weights
from hilum.reports.neural.batches import plan_epoch
from hilum.reports.neural.corpus import held_out, read_corpus, silver_from_rules
from hilum.reports.neural.examples import GoldExamples, SilverExamples
from hilum.reports.neural.fit import StageSettings, fit, rate_share
from hilum.reports.neural.labeler import load_labeler
from hilum.reports.neural.network import HEADS, CheXbert, encoder_from_config, labeler_loss
from hilum.reports.neural.occlusion import explain
from hilum.reports.neural.paraphrase import Paraphraser
from hilum.reports.neural.recipe import LabelerRecipe
from hilum.reports.neural.swap import FindingSwapper
from hilum.reports.neural.tokens import ReportTokenizer
from hilum.reports.neural.training import train_labeler, training_data
from hilum.reports.neural.wordpieces import learn_wordpieces

FINDINGS = {"effusion": "Pleural Effusion", "pneumothorax": "Pneumothorax", "edema": "Edema"}
FORMS = ("There is {}.", "No {}.", "Possible {}.")

SMALL = LabelerRecipe.resolve(
    [
        *("vocabulary=150", "layers=1", "width=32", "attention_heads=4", "feed_forward=64", "max_tokens=64"),
        *("overlap_tokens=8", "epochs=3", "evaluate_steps=5", "checkpoint_steps=4", "gold_epochs=2", "patience=100"),
    ],
    tiny=True,
)


def reports(many: int, seed: int = 0) -> list[str]:
    chance = np.random.default_rng(seed)
    return [
        " ".join(
            FORMS[chance.integers(3)].format(name)
            for name in chance.permutation(list(FINDINGS))[: 1 + int(chance.integers(3))]
        )
        for _ in range(many)
    ]


def write_reports(path: Path, texts: Sequence[str]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["study_id", "report"])
        table.writerows((f"s{row}", text) for row, text in enumerate(texts))
    return path


def write_gold(path: Path, ids: Sequence[str], cells: dict[str, str]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["study_id", *CHEXPERT_NAMES])
        table.writerows([name, *(cells.get(finding, "") for finding in CHEXPERT_NAMES)] for name in ids)
    return path


def small_network(tokenizer: ReportTokenizer) -> CheXbert:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    return CheXbert(encoder_from_config({"model_type": "bert", "vocab_size": tokenizer.size, **sizes}))


def test_sampling_weights_equal_the_originals(golden: Path) -> None:
    io = np.load(golden / "chexbert" / "io.npz")
    labels = io["sample_weight_labels"]
    codes = np.select([np.isnan(labels), labels == 1, labels == 0], [0, 1, 2], 3).astype(np.int8)
    np.testing.assert_allclose(sampling_weights(codes), io["sample_weights"], rtol=1e-6)


def test_effective_weights_average_one_and_lift_what_is_rare() -> None:
    codes = np.array([0] * 900 + [1] * 90 + [3] * 10)
    weights = effective_weights(codes, 4)
    assert (weights[codes]).mean() == pytest.approx(1)
    assert weights[2] == 0
    assert weights[3] > weights[1] > weights[0]
    np.testing.assert_allclose(effective_weights(codes, 4, beta=0.0)[[0, 1, 3]], 1)


def test_an_epoch_holds_every_report_once_in_batches_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(2, 200, 1000)
    batches = plan_epoch(lengths, 16, (0, 1, 2))
    assert sorted(row for batch in batches for row in batch) == list(range(1000))
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 40  # 185 without sorting
    again = plan_epoch(lengths, 16, (0, 1, 2))
    assert all((one == other).all() for one, other in zip(batches, again, strict=True))
    assert any(
        one.tolist() != other.tolist() for one, other in zip(batches, plan_epoch(lengths, 16, (0, 1, 3)), strict=True)
    )


def test_weighted_sampling_draws_rare_reports_more_often() -> None:
    weights = np.array([1.0] * 990 + [50.0] * 10)
    drawn = np.concatenate(plan_epoch([5] * 1000, 10, (0,), weights))
    assert len(drawn) == 1000
    assert 250 < (drawn >= 990).sum() < 420  # a third of the weight, though a hundredth of the reports


def test_wordpieces_do_not_depend_on_the_order_of_the_reports() -> None:
    words = {"effusion": 9, "effusions": 4, "pneumothorax": 7, "thorax": 3, "hemothorax": 2}
    assert learn_wordpieces(words, 40) == learn_wordpieces(dict(reversed(words.items())), 40)
    assert {"effusion", "effusions", "pneumothorax", "thorax"} <= set(learn_wordpieces(words, 60))
    assert len(learn_wordpieces(words, 20)) == 20


def test_a_composed_epoch_is_labeled_by_the_rules_and_the_same_when_asked_again() -> None:
    rules, texts, asked = silver_from_rules(), reports(30), []

    def silver(more: Sequence[str]) -> np.ndarray:
        asked.append(list(more))
        return rules(more)

    tokenizer = ReportTokenizer.trained_on(texts, 150)
    source = SilverExamples(texts, rules(texts), tokenizer, 64, silver, compose=2.0, most_sentences=4)
    first, again, second = source.epoch(3), source.epoch(3), source.epoch(4)
    assert len(first.ids) == 90
    assert first.ids == again.ids != second.ids
    np.testing.assert_array_equal(first.codes, again.codes)
    np.testing.assert_array_equal(rules(texts), first.codes[:30])
    np.testing.assert_array_equal(rules(asked[0]), first.codes[30:])
    assert first.ids[30:] == [report.windows[0] for report in tokenizer.reports(asked[0], 64, 0)]


def test_a_composed_report_too_long_for_a_window_is_replaced() -> None:
    rules, texts = silver_from_rules(), reports(10)
    tokenizer = ReportTokenizer.trained_on(texts, 150)
    source = SilverExamples(texts, rules(texts), tokenizer, 16, rules, compose=5.0, most_sentences=12)
    kept = len(source.ids)
    assert len(source.epoch(0).ids) == kept + round(5.0 * kept)
    assert max(map(len, source.epoch(0).ids)) <= 16


def test_gold_epochs_hold_reports_variants_paraphrases_and_replayed_reports() -> None:
    rules, texts = silver_from_rules(), reports(12)
    tokenizer = ReportTokenizer.trained_on(texts, 150)
    silver = SilverExamples(texts, rules(texts), tokenizer, 64)
    gold = GoldExamples(
        texts[:4], rules(texts[:4]), tokenizer, 64, [["Translated."], [], [], []], Paraphraser(), silver, replay=2.0
    )
    epoch = gold.epoch(0)
    assert len(epoch.ids) == 4 + 1 + 4 + 8
    np.testing.assert_array_equal(epoch.codes[4], epoch.codes[0])  # a variant has its report's labels


def test_a_joined_report_has_the_labels_of_both_parts() -> None:
    """What the rules say of the whole equals the parts joined, for sentences that do not refer to each other."""
    rules, texts = silver_from_rules(), reports(40)
    tokenizer = ReportTokenizer.trained_on(texts, 150)
    silver = SilverExamples(texts, rules(texts), tokenizer, 64, rules, compose=1.0)
    gold = GoldExamples(texts[:10], rules(texts[:10]), tokenizer, 64, silver=silver, join=3.0)
    told, labels = gold._join(np.repeat(np.arange(10), 3), np.random.default_rng(0))
    np.testing.assert_array_equal(rules(told), labels)
    assert len(gold.epoch(0).ids) == 10 + 30
    assert all(len(text.split()) > len(texts[row // 3].split()) for row, text in enumerate(told))


def test_swapped_findings_bring_doubt_to_findings_that_never_had_it() -> None:
    rules = silver_from_rules()
    sentences = ["Possible effusion.", "There is edema.", "No pneumothorax.", "The heart is normal in size."]
    swapper, chance = FindingSwapper(rules, sentences), np.random.default_rng(0)
    assert swapper(sentences[3], chance) == sentences[3]  # the size of the heart is not swapped
    told = [swapper(sentence, chance) for sentence in sentences * 40]
    codes = rules(told)
    for finding in ("Edema", "Pneumothorax", "Pleural Effusion"):
        assert (codes[:, HEADS.index(finding)] == 3).sum() > 5
    assert {"Possible edema.", "No effusion.", "There is pneumothorax."} <= set(told)


def test_stage_two_composes_from_the_experts_sentences_and_labels_them_by_the_rules() -> None:
    rules, texts = silver_from_rules(), reports(20)
    expert = ["There is fracture.", "Possible fracture."]
    tokenizer = ReportTokenizer.trained_on([*texts, *expert * 3], 200)
    silver = SilverExamples(texts, rules(texts), tokenizer, 64, rules, compose=1.0)
    drawn = silver.with_sentences_of(expert, swap=0.5).draw(60, np.random.default_rng(0))
    fracture = HEADS.index("Fracture")
    assert len(drawn.ids) == 60
    assert (drawn.codes[:30, fracture] == 0).all()  # real reports
    assert set(drawn.codes[30:, fracture]) >= {1, 3}  # composed ones
    assert not silver.favored


def settings(**changes: object) -> StageSettings:
    plain = {
        **{"name": "stage", "number": 1, "epochs": 4, "learning_rate": 3e-3, "batch_size": 8, "optimizer": "adamw"},
        **{"weight_decay": 0.01, "warmup_share": 0.1, "decay": True, "clip_norm": 1.0, "balance": "effective"},
        **{"freeze_embeddings": False, "evaluate_steps": 3, "patience": 100, "checkpoint_steps": 5, "seed": 3},
    }
    return StageSettings(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_stopped_training_resumes_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    rules, texts = silver_from_rules(), reports(24)
    tokenizer = ReportTokenizer.trained_on(texts, 150)
    source = SilverExamples(texts, rules(texts), tokenizer, 64, rules, compose=1.0)

    def train(network: CheXbert, checkpoint: Path | None, stop_at: int | None = None) -> dict[str, object]:
        def progress(stage: str, step: int, steps: int, shown: dict[str, float]) -> None:
            if step == stop_at:
                raise KeyboardInterrupt

        def score(net: CheXbert) -> dict[str, float]:
            return {"weighted_f1": float(net.heads[0].weight.detach().sum())}

        return fit(
            network,
            source,
            settings(),
            pad=tokenizer.pad,
            score=score,
            select_by="weighted_f1",
            checkpoint=checkpoint,
            identity="a",
            progress=progress,
        )

    straight, stopped, resumed = (small_network(tokenizer) for _ in range(3))
    history = train(straight, None)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, tmp_path / "state.safetensors", stop_at=13)
    assert train(resumed, tmp_path / "state.safetensors") == history
    for name, tensor in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_the_state_of_another_training_is_refused(tmp_path: Path) -> None:
    rules, texts = silver_from_rules(), reports(16)
    tokenizer = ReportTokenizer.trained_on(texts, 150)
    source = SilverExamples(texts, rules(texts), tokenizer, 64)
    shared = {"pad": tokenizer.pad, "score": None, "select_by": "kappa", "checkpoint": tmp_path / "state.safetensors"}
    fit(small_network(tokenizer), source, settings(), identity="a", **shared)
    with pytest.raises(TrainingError, match="another recipe or other data"):
        fit(small_network(tokenizer), source, settings(), identity="b", **shared)


def test_training_keeps_the_best_weights_and_stops_when_nothing_gets_better() -> None:
    rules, texts = silver_from_rules(), reports(16)
    tokenizer = ReportTokenizer.trained_on(texts, 150)
    source = SilverExamples(texts, rules(texts), tokenizer, 64)
    network, looks, kept = small_network(tokenizer), [0.2, 0.9, 0.5, 0.4, 0.3], []

    def score(net: CheXbert) -> dict[str, float]:
        kept.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        return {"kappa": looks[len(kept) - 1]}

    history = fit(
        network, source, settings(epochs=50, evaluate_steps=2, patience=3), pad=0, score=score, select_by="kappa"
    )
    assert (history["steps"], history["best_step"]) == (10, 4)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in kept[1].items())


def test_frozen_embeddings_do_not_move_and_the_rest_does() -> None:
    rules, texts = silver_from_rules(), reports(16)
    tokenizer = ReportTokenizer.trained_on(texts, 150)
    network, before = small_network(tokenizer), small_network(tokenizer).state_dict()
    source = SilverExamples(texts, rules(texts), tokenizer, 64)
    fit(network, source, settings(freeze_embeddings=True), pad=0, score=None, select_by="kappa")
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved
    assert not any("embeddings" in name for name in moved)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    shares = [rate_share(step, 100, settings(warmup_share=0.1)) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] == shares[10] == 1.0
    assert shares[99] == pytest.approx(1 / 90)
    assert rate_share(99, 100, settings(warmup_share=0.0, decay=False)) == 1.0


def test_a_cell_without_a_label_is_left_out_of_the_loss() -> None:
    logits = [torch.randn(3, 4), torch.randn(3, 2)]
    labels = torch.tensor([[1, 0], [2, 1], [3, -100]])
    expected = sum(torch.nn.functional.cross_entropy(logits[0][i], labels[i, 0]) for i in range(3))
    expected += sum(torch.nn.functional.cross_entropy(logits[1][i], labels[i, 1]) for i in range(2))
    assert labeler_loss(logits, labels).item() == pytest.approx(expected.item() / 3, rel=1e-6)


def test_the_experts_reports_are_kept_from_stage_one_and_held_out_is_by_identifier(tmp_path: Path) -> None:
    source = write_reports(tmp_path / "reports.csv", [f"{text} {row}." for row, text in enumerate(reports(60))])
    gold = write_gold(tmp_path / "gold.csv", ["s3", "s17", "absent"], {"Edema": "-1", "No Finding": "0"})
    data = training_data(read_corpus(source), "rules", gold, SMALL)
    assert len(data.gold_texts) == 2
    assert not set(data.gold_texts) & set(data.silver_texts)
    assert data.gold_codes[:, HEADS.index("Edema")].tolist() == [3, 3]
    assert data.gold_codes[:, HEADS.index("No Finding")].tolist() == [0, 0]
    assert held_out(["a", "b"], 0.5, 0).tolist() == held_out(["b", "a"], 0.5, 0)[::-1].tolist()
    assert 0.05 < held_out([str(i) for i in range(2000)], 0.1, 0).mean() < 0.15


def test_an_archive_is_read_by_its_own_text_policy_and_held_out_by_patient(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from hilum.archive import Archive

    archive = Archive.create(tmp_path / "archive", text_policy="findings")
    texts = reports(40)
    rows = [
        {"study_id": f"s{i}", "patient_id": f"p{i // 4}", "findings": text, "impression": "Never read."}
        for i, text in enumerate(texts)
    ]
    archive.add_studies(pa.Table.from_pylist([*rows, {"study_id": "empty", "patient_id": "p0"}]))
    corpus = read_corpus(tmp_path / "archive")
    assert (corpus.text_policy, corpus.empty) == ("findings", 1)
    assert sorted(corpus.texts) == sorted(texts)
    data = training_data(corpus, "rules", None, LabelerRecipe.resolve(["held_out=0.4"], tiny=True))
    patient_of = {row["findings"]: row["patient_id"] for row in rows}
    unique = [row for row, text in enumerate(data.silver_texts) if texts.count(text) == 1]
    held = {patient_of[data.silver_texts[row]] for row in unique if data.silver_held[row]}
    kept = {patient_of[data.silver_texts[row]] for row in unique if not data.silver_held[row]}
    assert held
    assert kept
    assert not held & kept


def test_silver_labels_may_come_from_a_table(tmp_path: Path) -> None:
    source = write_reports(tmp_path / "reports.csv", reports(20))
    table = write_gold(tmp_path / "labels.csv", [f"s{i}" for i in range(15)], {"Fracture": "1"})
    data = training_data(read_corpus(source), table, None, SMALL)
    assert (len(data.silver_texts), data.silver) == (15, None)
    assert (data.silver_codes[:, HEADS.index("Fracture")] == 1).all()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small labeler of three findings, trained on the spot in a few seconds."""
    folder = tmp_path_factory.mktemp("labeler")
    source = write_reports(folder / "reports.csv", reports(300))
    recipe = LabelerRecipe.resolve(
        [
            *("vocabulary=150", "layers=2", "width=64", "attention_heads=4", "feed_forward=128", "max_tokens=64"),
            *("overlap_tokens=16", "epochs=50", "learning_rate=3e-3", "compose=0", "evaluate_steps=100", "dropout=0"),
            "batch_size=16",
        ],
        tiny=True,
    )
    train_labeler(source, folder / "model", recipe=recipe)
    return folder / "model"


def test_a_labeler_from_scratch_agrees_with_the_rules_on_unseen_reports(trained: Path) -> None:
    labeler, texts = load_labeler(trained), reports(100, seed=9)
    assert (labeler.predict(texts).codes == silver_from_rules()(texts)).mean() > 0.97
    assert labeler.label("No effusion. Possible edema.").values["Edema"] is LabelValue.UNCERTAIN


def test_a_finding_at_the_end_of_a_long_report_is_read(trained: Path) -> None:
    labeler = load_labeler(trained)
    labeler.config = replace(
        labeler.config, max_tokens=16, overlap_tokens=6
    )  # windows as long as what it was trained on
    text = "No edema. No pneumothorax. No effusion. " * 4 + "No edema. No pneumothorax. There is effusion."
    found = labeler.label(text)
    assert found.windows > 4
    assert found.cut_tokens == 0
    assert found.values["Pleural Effusion"] is LabelValue.POSITIVE
    labeler.config = replace(labeler.config, long_reports="cut")
    cut = labeler.label(text)
    assert (cut.windows, cut.values["Pleural Effusion"]) == (1, LabelValue.NEGATIVE)
    assert cut.cut_tokens > 30


def test_occlusion_finds_the_words_that_carry_a_decision(trained: Path) -> None:
    text = "There is effusion. No pneumothorax.\nPossible edema."
    found = explain(load_labeler(trained), text)
    heaviest = {}
    for item in found.evidence:
        heaviest.setdefault(item.observation, text[slice(*item.mention)])
        assert 0 < item.weight <= 1
        assert text[slice(*item.mention)] in text[slice(*item.sentence)]
    assert heaviest["Pleural Effusion"].lower() in ("effusion", "there is", "there is effusion", "is", "there")
    assert "pneumothorax" in heaviest["Pneumothorax"].lower() or heaviest["Pneumothorax"] == "No"
    assert heaviest["Edema"].lower() in ("possible", "edema", "possible edema")
    sentences = {text[slice(*item.sentence)] for item in found.evidence}
    assert sentences <= {"There is effusion.", "No pneumothorax.", "Possible edema."}


def test_the_model_card_says_what_it_was_made_from(trained: Path) -> None:
    card = (trained / "README.md").read_text()
    for part in (
        "rule-labeled reports trained on",
        "held-out reports with rule labels",
        "epochs: 50",
        "not a medical device",
    ):
        assert part in card
    assert not (trained / ".training").exists()


def save_encoder(folder: Path, kind: str, texts: Sequence[str]) -> Path:
    from transformers import AutoConfig, AutoModel

    tokenizer = ReportTokenizer.trained_on(texts, 150)
    sizes = {
        "bert": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64},
        "roberta": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64},
        "distilbert": {"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 64},
    }[kind]
    config = AutoConfig.for_model(
        kind, vocab_size=tokenizer.size, max_position_embeddings=66, pad_token_id=tokenizer.pad, **sizes
    )
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_any_encoder_of_the_bert_family_is_trained_and_loaded_again(tmp_path: Path, kind: str) -> None:
    texts = reports(24)
    encoder = save_encoder(tmp_path / kind, kind, texts)
    source = write_reports(tmp_path / "reports.csv", texts)
    made = train_labeler(source, tmp_path / "model", encoder=encoder, recipe=SMALL)
    again = load_labeler(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(texts).scores, made.predict(texts).scores)
    assert again.config.max_tokens == 64
    assert again.config.encoder["model_type"] == kind


def test_an_encoder_with_missing_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    encoder = save_encoder(tmp_path / "bert", "bert", reports(24))
    tensors = load_file(encoder / "model.safetensors")
    tensors.pop("encoder.layer.0.output.dense.weight")
    save_file(tensors, encoder / "model.safetensors", metadata={"format": "pt"})
    source = write_reports(tmp_path / "reports.csv", reports(24))
    with pytest.raises(ModelError, match="incomplete; missing"):
        train_labeler(source, tmp_path / "model", encoder=encoder, recipe=SMALL)
    with pytest.raises(ModelError, match=r"no config\.json"):
        train_labeler(source, tmp_path / "model", encoder=tmp_path, recipe=SMALL)


def test_a_labeler_is_finetuned_on_expert_labels_alone(trained: Path, tmp_path: Path) -> None:
    """The labeler learns that in these reports "possible edema" is called positive, and keeps the rest."""
    texts = reports(60, seed=4)
    codes = silver_from_rules()(texts)
    edema = HEADS.index("Edema")
    codes[codes[:, edema] == 3, edema] = 1
    path = tmp_path / "gold.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["study_id", *HEADS])
        table.writerows([f"s{row}", *(["", "1", "0", "-1"][code] for code in line)] for row, line in enumerate(codes))
    source = write_reports(tmp_path / "reports.csv", [*texts, *reports(20, seed=5)])
    recipe = LabelerRecipe.resolve(
        ["gold_epochs=60", "gold_learning_rate=1e-3", "batch_size=16", "replay=0", "blend=1"], tiny=True
    )
    made = train_labeler(source, tmp_path / "m", gold=path, silver_stage=False, encoder=trained, recipe=recipe)
    assert made.label("No effusion. Possible edema.").values["Edema"] is LabelValue.POSITIVE
    assert made.label("Possible effusion. No edema.").values["Pleural Effusion"] is LabelValue.UNCERTAIN
    assert load_labeler(trained).config.fingerprint in made.config.origin


def test_blended_weights_lie_between_both_stages(trained: Path, tmp_path: Path) -> None:
    source = write_reports(tmp_path / "reports.csv", reports(40))
    gold = write_gold(tmp_path / "gold.csv", ["s1", "s2", "s3"], {"Edema": "-1"})
    made = {}
    for share in (1.0, 0.25):
        recipe = SMALL.model_copy(update={"blend": share})
        made[share] = train_labeler(
            source, tmp_path / str(share), gold=gold, silver_stage=False, encoder=trained, recipe=recipe
        ).network.state_dict()
    start = load_labeler(trained).network.state_dict()
    for name, tensor in made[0.25].items():
        torch.testing.assert_close(tensor, 0.75 * start[name] + 0.25 * made[1.0][name])
    assert not torch.equal(made[1.0]["heads.0.weight"], start["heads.0.weight"])


def test_two_trainings_with_one_seed_give_equal_files(tmp_path: Path) -> None:
    source = write_reports(tmp_path / "reports.csv", reports(40))
    gold = write_gold(tmp_path / "gold.csv", ["s1", "s2", "s3"], {"Edema": "-1"})
    for name in ("one", "two"):
        train_labeler(source, tmp_path / name, gold=gold, augment=["paraphrase"], recipe=SMALL)
    for file in ("model.safetensors", "tokenizer.json", "config.json", "README.md"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_command_trains_both_stages_and_says_how_well(tmp_path: Path) -> None:
    from hilum.cli.labeler import app

    source = write_reports(tmp_path / "reports.csv", reports(40))
    gold = write_gold(tmp_path / "gold.csv", [f"s{i}" for i in range(10)], {"Edema": "-1"})
    small = [
        f"{key}={value}" for key, value in SMALL.model_dump().items() if value != LabelerRecipe().model_dump()[key]
    ]
    arguments = ["train", str(source), "-o", str(tmp_path / "model"), "--gold", str(gold), "--augment", "paraphrase"]
    for setting in small:
        arguments += ["--set", setting]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "expert-labeled reports trained on: 10" in shown.output
    assert json.loads((tmp_path / "model" / "config.json").read_text())["training"]["recipe"]["seed"] == 0


def test_a_finished_training_is_not_done_again_and_another_is_not_overwritten(tmp_path: Path) -> None:
    source, steps = write_reports(tmp_path / "reports.csv", reports(20)), []
    first = train_labeler(source, tmp_path / "m", recipe=SMALL)
    again = train_labeler(source, tmp_path / "m", recipe=SMALL, progress=lambda *told: steps.append(told))
    assert not steps
    assert again.config.fingerprint == first.config.fingerprint
    with pytest.raises(TrainingError, match="holds another model"):
        train_labeler(source, tmp_path / "m", recipe=SMALL.model_copy(update={"seed": 1}))


def test_what_cannot_be_trained_is_refused_before_it_starts(tmp_path: Path) -> None:
    source = write_reports(tmp_path / "reports.csv", reports(5))
    with pytest.raises(RecipeError, match=r"no setting 'epoch'\. Did you mean 'epochs'"):
        LabelerRecipe.resolve(["epoch=3"])
    with pytest.raises(RecipeError, match="epochs"):
        LabelerRecipe.resolve(["epochs=0"])
    with pytest.raises(UsageError, match="give their labels with --gold"):
        train_labeler(source, tmp_path / "m", augment=["paraphrase"])
    with pytest.raises(UsageError, match="needs two local translation models"):
        train_labeler(source, tmp_path / "m", augment=["backtranslation"], gold=source)
    with pytest.raises(UsageError, match="expected 'rules', or a table"):
        train_labeler(source, tmp_path / "m", silver="rule")
    with pytest.raises(TrainingError, match="has text"):
        train_labeler(write_reports(tmp_path / "empty.csv", ["", " "]), tmp_path / "m")
