"""ConVIRT: its loss, what an example is, what is frozen, and a short real training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.methods.two_processes import run_two

import hilum
from hilum.archive import Archive
from hilum.errors import ModelError, RecipeError, TrainingError
from hilum.methods.contrast import two_way_nce
from hilum.methods.convirt import ConVIRT, ConVIRTMethod, SentenceStudies
from hilum.methods.method import Share
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.report_sentences import study_sentences
from hilum.methods.schedule import Place
from hilum.training import pretrain

SMALL = ["side_px=32", "canvas_px=48", "context=24", "embed_dim=16", "batch_size=8"]


def rows(seed: int, count: int = 8) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


def started(archive: Archive, *settings: str) -> ConVIRTMethod:
    torch.manual_seed(0)
    method = ConVIRTMethod(ConVIRT.resolve([*SMALL, *settings], tiny=True))
    method.prepare([Share(archive, "sections")])
    return method


@pytest.mark.parametrize("image_weight", [0.0, 0.75, 1.0])
def test_the_loss_equals_the_loop(image_weight: float) -> None:
    images, texts = rows(0), rows(1)
    cosines = [[float(i @ t / i.norm() / t.norm()) / 0.2 for t in texts] for i in images]
    forth = back = 0.0
    for i in range(8):
        forth -= cosines[i][i] - math.log(sum(math.exp(cosines[i][j]) for j in range(8)))
        back -= cosines[i][i] - math.log(sum(math.exp(cosines[j][i]) for j in range(8)))
    found = two_way_nce(images, texts, 0.2, image_weight)
    assert float(found["loss"]) == pytest.approx((image_weight * forth + (1 - image_weight) * back) / 8, abs=1e-6)
    assert float(found["image_to_text"]) == pytest.approx(forth / 8, abs=1e-6)


def losses_here(ranks: Ranks) -> dict[str, Any]:
    images, texts = (ranks.own(rows(seed)).clone().requires_grad_() for seed in (0, 1))
    loss = two_way_nce(images, texts, 0.1, 0.75, ranks)["loss"]
    loss.backward()
    return {"loss": float(loss.detach()), "images": images.grad, "texts": texts.grad}


def test_two_processes_with_half_a_batch_give_the_loss_and_gradients_of_one() -> None:
    one, two = losses_here(ALONE), run_two(losses_here)
    assert sum(r["loss"] for r in two) / 2 == pytest.approx(one["loss"], abs=1e-5)
    for name in ("images", "texts"):
        assert torch.allclose(torch.cat([r[name] for r in two]) / 2, one[name], atol=1e-5)


def test_sentences_are_those_of_all_sections_without_headers_and_short_ones() -> None:
    study = {
        "report": "FINDINGS: ...",
        "findings": "The heart is of\n normal size. Nodule of 3.5 mm in the right lung. No edema.",
        "impression": "No acute cardiopulmonary process.",
        "indication": None,
    }
    said = ["The heart is of normal size.", "Nodule of 3.5 mm in the right lung.", "No acute cardiopulmonary process."]
    assert study_sentences(study, "sections", longer_than=3) == said
    assert study_sentences(study, "impression", longer_than=3) == said[2:]
    assert study_sentences(study, "sections", longer_than=1)[2] == "No edema."
    bare = {"report": "Lungs are well expanded. No edema.", "findings": None}
    assert study_sentences(bare, "sections", longer_than=3) == ["Lungs are well expanded."]


def test_a_study_gives_any_of_its_images_with_any_of_its_sentences(tmp_path: Path) -> None:
    archive = two_view_archive(tmp_path / "archive")
    method = started(archive)
    examples = method.collect(Share(archive, "sections"), "train")
    assert examples.counts == {
        "images": 8,
        "studies": 4,
        "studies_without_text": 2,
        "sentences": 12,
        "texts_cut": 0,
    }
    assert examples.image_ids == ["s0a", "s1a", "s2a", "s3a"]
    seen = {drawn(examples, method, pick=1, seed=seed) for seed in range(60)}
    assert seen == {(gray, said) for gray in (20, 25) for said in examples.sentences[1]}
    fixed = method.read(examples, np.array([1]), None)
    assert (int(fixed.pixels[0, 0, 0]), fixed.ids.tolist()) == (
        20,
        method.tokenizer(examples.sentences[1][:1]).tolist(),
    )
    assert fixed.views is not None


def drawn(examples: SentenceStudies, method: ConVIRTMethod, pick: int, seed: int) -> tuple[int, str]:
    batch = method.read(examples, np.array([pick]), np.random.default_rng(seed))
    said = {tuple(method.tokenizer([s])[0]): s for s in examples.sentences[pick]}
    return int(batch.pixels[0, 0, 0]), said[tuple(batch.ids[0].tolist())]


def two_view_archive(path: Path) -> Archive:
    """Six studies of a frontal and a lateral image, each of one gray; two studies say too little."""
    images, studies = [], []
    for i in range(6):
        said = "Large left pleural effusion seen. The heart is enlarged. No pneumothorax is there."
        report = {"findings": said if i < 4 else "Effusion.", "impression": None}
        studies.append({"study_id": f"s{i}", "patient_id": f"p{i}", "source": "x", "report": "FINDINGS: ...", **report})
        for view, offset in (("pa", 0), ("lateral", 5)):
            pixels = np.full((48, 40), 10 * (i + 1) + offset, np.uint8)
            ids = {
                "image_id": f"s{i}{'b' if offset else 'a'}",
                "study_id": f"s{i}",
                "patient_id": f"p{i}",
                "source": "x",
            }
            size = {"path": f"{i}{view}", "view": view, "height": 48, "width": 40, "split": "train"}
            images.append({**ids, **size, "pixels": pixels.tobytes()})
    archive = Archive.create(path, text_policy="impression")
    archive.add_images(pa.Table.from_pylist(images))
    archive.add_studies(pa.Table.from_pylist(studies))
    return archive


def test_every_trained_weight_gets_a_gradient(tmp_path: Path) -> None:
    archive = two_view_archive(tmp_path / "archive")
    method = started(archive).train()
    batch = method.read(method.collect(Share(archive, "sections"), "train"), np.arange(4), np.random.default_rng(0))
    losses, _ = method(batch, torch.Generator().manual_seed(0))
    losses["loss"].backward()
    without = [n for n, p in method.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == [n for n in without if n.endswith("key.bias")]  # which a softmax over keys does not see


def test_the_paper_s_text_tower_keeps_its_embeddings_and_first_six_layers(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path, layers=8)
    archive = two_view_archive(tmp_path / "archive")
    method = started(archive, f"text_model={folder}", "frozen_layers=6", "text_rate=0.5")
    tower = method.encoder.text_tower
    frozen = {
        name.split(".")[2] for name, p in tower.net.named_parameters() if "layer." in name and not p.requires_grad
    }
    assert frozen == set("012345")
    assert not any(p.requires_grad for p in tower.net.embeddings.parameters())
    rates = {(group["rate"], len(group["params"])) for group in method.parameter_groups()}
    trained = sum(p.requires_grad for p in tower.parameters())
    assert sum(count for rate, count in rates if rate == 0.5) == trained > 0
    assert not any(p.requires_grad for n, p in tower.net.named_parameters() if n.startswith("pooler."))


def bert_folder(tmp_path: Path, layers: int) -> Path:
    """A local Hugging Face folder of a small BERT, as a user brings it."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(tmp_path / "bert")
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *letters, *(f"##{letter}" for letter in letters)]
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return tmp_path / "bert"


def test_layers_of_random_weights_cannot_be_frozen(small_archive: Path) -> None:
    with pytest.raises(RecipeError, match=r"would leave them random\. Give --set frozen_layers=none"):
        started(Archive.open(small_archive), "frozen_layers=1")


def test_more_frozen_layers_than_there_are_is_refused(small_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="first 6 layers of a text tower of 2"):
        started(Archive.open(small_archive), f"text_model={bert_folder(tmp_path, layers=2)}", "frozen_layers=6")


def test_an_archive_without_sentences_is_refused_before_anything_is_learned(small_archive: Path) -> None:
    with pytest.raises(TrainingError, match="no image of the split 'train' has a report text"):
        started(Archive.open(small_archive), "longer_than=50")


def test_a_tower_that_does_not_exist_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ModelError, match="Did you mean 'resnet50'"):
        ConVIRTMethod(ConVIRT(tower="resnet5O"))


def test_the_defaults_are_the_paper_s_and_the_script_s_are_a_variant() -> None:
    paper, script = ConVIRT(), ConVIRT.resolve(variant="script")
    assert (paper.pooling, paper.frozen_layers, paper.image_weight, paper.tau) == ("max", 6, 0.75, 0.1)
    assert (script.pooling, script.frozen_layers, script.image_weight) == ("mean", -1, 1.0)


def test_the_rate_is_halved_down_to_its_floor() -> None:
    recipe = ConVIRT(plateau_patience=0, least_rate=2e-5)
    rates = [recipe.rate(Place(0, 10, losses=[1.0] * n)) for n in range(5)]
    assert rates == [1, 1, 0.5, 0.25, 0.2]


def test_a_short_training_gives_a_model_that_loads(small_archive: Path, tmp_path: Path) -> None:
    settings = [*SMALL, "epochs=1", "validate_every=3"]
    done = pretrain("convirt", small_archive, tmp_path / "model", tiny=True, settings=settings)
    assert done.counts["train"]["studies"] == 48
    model = hilum.Model.load(tmp_path / "model", device="cpu")
    pixels = Archive.open(small_archive).pixels(np.arange(3))
    assert model.embed_images(pixels).shape == (3, 16)
    assert model.features(pixels).shape == (3, model.encoder.feature_dim)
    assert np.isfinite(model.embed_texts(["left effusion"])).all()
