"""GLoRIA: what an example is, what its words are, switches that reproduce the original, and a short real training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import hilum
from hilum.archive import Archive
from hilum.errors import ModelError, RecipeError, TrainingError
from hilum.methods.gloria import GLoRIA, GLoRIAMethod
from hilum.methods.method import Share
from hilum.models.gloria_similarity import local_similarity
from hilum.training import pretrain

SMALL = ["side_px=32", "canvas_px=48", "upsample_px=48", "context=24", "batch_size=8"]
SAID = "1. Nodule of 3.5 mm, left. 2. One two three four. Heart is large. Edema."


def started(archive: Archive, *settings: str, policy: str = "impression") -> GLoRIAMethod:
    torch.manual_seed(0)
    method = GLoRIAMethod(GLoRIA.resolve([*SMALL, *settings], tiny=True))
    method.prepare([Share(archive, policy)])
    return method


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Five studies of a frontal and a lateral image, each of one gray; one study says nothing."""
    images, studies = [], []
    for i in range(5):
        report = {"report": "...", "impression": SAID if i < 4 else ""}
        studies.append({"study_id": f"s{i}", "patient_id": f"p{i}", "source": "x", **report})
        for view, offset in (("ap", 0), ("lateral", 5)):
            pixels = np.full((48, 40), 10 * (i + 1) + offset, np.uint8)
            ids = {"image_id": f"s{i}{view}", "study_id": f"s{i}", "patient_id": f"p{i}", "source": "x"}
            size = {"path": f"{i}{view}", "view": view, "height": 48, "width": 40, "split": "train"}
            images.append({**ids, **size, "pixels": pixels.tobytes()})
    made = Archive.create(tmp_path / "archive", text_policy="impression")
    made.add_images(pa.Table.from_pylist(images))
    made.add_studies(pa.Table.from_pylist(studies))
    return made


def test_a_frontal_image_comes_with_any_sentence_of_its_report(archive: Archive) -> None:
    method = started(archive)
    examples = method.collect(Share(archive, "impression"), "train")
    said = ["nodule of 3 5 mm left", "one two three four", "heart is large"]
    assert examples.sentences == [said] * 4
    assert examples.counts == {"images": 5, "images_without_text": 1, "sentences": 12, "texts_cut": 0}
    assert examples.image_ids == ["s0ap", "s1ap", "s2ap", "s3ap"]
    batches = [method.read(examples, np.array([2]), np.random.default_rng(seed)) for seed in range(30)]
    rows = {tuple(batch.ids[0].tolist()) for batch in batches}
    assert rows == {tuple(row) for row in method.tokenizer(said).tolist()}
    fixed = method.read(examples, np.array([2]), None)
    assert fixed.ids.tolist() == method.tokenizer(said[:1]).tolist()
    assert fixed.views is not None
    assert fixed.views.shape == (1, 32, 32)


def test_views_all_takes_lateral_images_too(archive: Archive) -> None:
    method = started(archive, "views=all")
    assert len(method.collect(Share(archive, "impression"), "train")) == 8


def test_compat_cuts_inside_of_decimals_and_stops_after_exactly_five_words(archive: Archive) -> None:
    plain, released = (
        started(archive, f"compat={compat}").collect(Share(archive, "impression"), "train").sentences[0]
        for compat in ("none", "gloria")
    )
    assert plain == ["nodule of 3 5 mm left", "one two three four", "heart is large"]
    assert released == ["nodule of", "5 mm left"]  # which are five words


def test_the_full_report_is_one_caption(archive: Archive) -> None:
    method = started(archive, "full_report=true", "min_words=1")
    examples = method.collect(Share(archive, "impression"), "train")
    assert examples.sentences[0] == ["nodule of 3 5 mm left one two three four heart is large edema"]


def test_lengths_count_cls_and_words_and_not_sep(archive: Archive) -> None:
    method = started(archive).eval()
    examples = method.collect(Share(archive, "impression"), "train")
    rows = method.encode(method.read(examples, np.array([0, 1]), None))
    assert rows["lengths"].tolist() == [7, 7]
    assert rows["words"].shape[2] == 24
    assert rows["words"][:, :, 7].abs().sum() > 0  # [SEP]
    assert rows["words"][:, :, 8:].abs().sum() == 0
    assert torch.allclose(rows["texts"], rows["words"].sum(dim=2) / 24)
    assert method.losses(rows).keys() == {
        "loss",
        "global_to_text",
        "global_to_image",
        "local_to_text",
        "local_to_image",
    }


def test_parts_of_a_batch_encoded_apart_fit_together(archive: Archive) -> None:
    method = started(archive, "min_words=1").eval()
    examples = method.collect(Share(archive, "impression"), "train")
    examples.sentences = [examples.sentences[0][-1:], *examples.sentences[1:]]  # of another length
    batch = method.read(examples, np.arange(4), None)
    whole, parts = method.encode(batch), [method.encode(batch.part(start, start + 1)) for start in range(4)]
    for name, rows in whole.items():
        assert torch.allclose(torch.cat([part[name] for part in parts]), rows, atol=1e-5)


def test_the_loss_is_the_sum_of_both_directions_of_both_contrasts(archive: Archive) -> None:
    method = started(archive, "local_weight=0.5", "global_weight=2").eval()
    examples = method.collect(Share(archive, "impression"), "train")
    losses = method.losses(method.encode(method.read(examples, np.arange(4), None)))
    whole = losses["global_to_text"] + losses["global_to_image"]
    local = losses["local_to_text"] + losses["local_to_image"]
    assert torch.allclose(losses["loss"], 2 * whole + 0.5 * local)


@pytest.mark.parametrize("local_weight", [0, 1])
def test_every_trained_weight_gets_a_gradient(archive: Archive, local_weight: int) -> None:
    method = started(archive, f"local_weight={local_weight}").train()
    examples = method.collect(Share(archive, "impression"), "train")
    batch = method.read(examples, np.arange(4), np.random.default_rng(0))
    method(batch, torch.Generator().manual_seed(0))[0]["loss"].backward()
    assert not [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None]


def test_more_text_layers_than_there_are_is_refused(archive: Archive) -> None:
    with pytest.raises(RecipeError, match="text_layers=4, but text_model=bert-tiny has 2 layers"):
        started(archive, "text_layers=4")


def test_an_archive_of_lateral_images_alone_is_refused(archive: Archive, tmp_path: Path) -> None:
    table = archive.images(where="view = 'lateral'").drop_columns(["row", "pixels_sha1"])
    pixels = pa.array([np.zeros((48, 40), np.uint8).tobytes()] * len(table), pa.large_binary())
    lateral = Archive.create(tmp_path / "lateral", text_policy="impression")
    lateral.add_images(table.append_column("pixels", pixels))
    lateral.add_studies(archive.studies())
    method = started(lateral)
    with pytest.raises(TrainingError, match=r"all 5 training images are lateral.*Give --set views=all"):
        method.collect(Share(lateral, "impression"), "train")


def test_an_archive_without_reports_is_refused_before_anything_is_learned(archive: Archive) -> None:
    with pytest.raises(TrainingError, match="no image of the split 'train' has a report text"):
        started(archive, policy="findings")


def test_a_tower_that_does_not_exist_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ModelError, match="Did you mean 'resnet18'"):
        GLoRIAMethod(GLoRIA(tower="resnet-l8"))


def test_resnet18_has_local_features_too(archive: Archive) -> None:
    method = started(archive, "tower=resnet18", "upsample_px=64")
    examples = method.collect(Share(archive, "impression"), "train")
    rows = method.encode(method.read(examples, np.arange(2), None))
    assert rows["regions"].shape == (2, 128, 4, 4)


def test_a_short_training_gives_a_model_that_loads(small_archive: Path, tmp_path: Path) -> None:
    settings = [*SMALL, "epochs=1", "validate_every=3"]
    done = pretrain("gloria", small_archive, tmp_path / "model", tiny=True, settings=settings)
    assert done.counts["train"]["images"] == 48
    model = hilum.Model.load(tmp_path / "model", device="cpu")
    pixels = Archive.open(small_archive).pixels(np.arange(3))
    assert model.embed_images(pixels).shape == (3, 128)
    assert model.features(pixels).shape == (3, model.encoder.feature_dim)
    words = model.encoder.word_features(torch.from_numpy(model.tokenizer(["Left effusion."])))
    assert words.counts.tolist() == [2]
    regions = model.encoder.local_features(model.preprocess(pixels))
    assert local_similarity(regions, words.features, words.counts).shape == (3, 1)
