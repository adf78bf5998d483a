"""CXR-CLIP: its loss is the formula, in one process and in two, and from archives to a model folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from tests.methods.cxr_clip_processes import contrast_of
from tests.methods.two_processes import run_two
from tests.reports.test_neural_augment import marian
from torch import Tensor, nn

import hilum
from hilum.archive import Archive
from hilum.errors import ModelError, RecipeError, TrainingError, UsageError
from hilum.methods import find_method
from hilum.methods.batch import Batch
from hilum.methods.cxr_clip import CXRCLIP, CXRCLIPMethod, TwoViewBatch
from hilum.methods.cxr_clip_loss import study_contrast
from hilum.methods.method import Share
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.schedule import Place
from hilum.training import Progress, pretrain

FAST = [
    "tower=swin-micro",
    "side_px=64",
    "canvas_px=64",
    "context=16",
    "vocabulary=120",
    "embed_dim=16",
    "batch_size=8",
]
FAST += ["validate_every=4", "validation_images=16", "epochs=2", "learning_rate=1e-4"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def make_studies(path: Path, count: int = 24, reports: bool = True, labels: bool = False) -> Archive:
    """Studies of one to three views with findings and impression, every third with one section."""
    rng = np.random.default_rng(0)
    images, studies, said = [], [], []
    for i in range(count):
        split = ("train", "train", "val")[i % 3] if count > 3 else "train"
        bright = bool(i // 3 % 2)
        for k, view in enumerate(("pa", "lateral", "ap")[: 1 + i % 3]):
            pixels = np.clip(rng.normal(170 if bright else 80, 20, (48, 40)), 0, 255).astype(np.uint8)
            ids = {
                "image_id": f"i{i}.{k}",
                "study_id": f"s{i}",
                "patient_id": f"p{i}",
                "source": "x",
                "path": f"{i}.{k}.png",
            }
            images.append({**ids, "view": view, "height": 48, "width": 40, "pixels": pixels.tobytes(), "split": split})
        text = {
            "findings": "Bright lungs." if bright else "Dark lungs.",
            "impression": f"{'Edema' if bright else 'No edema'}.",
        }
        text["findings"] = text["findings"] if i % 4 else None
        studies.append({"study_id": f"s{i}", "patient_id": f"p{i}", "source": "x", **(text if reports else {})})
        for finding, there in (("Edema", bright), ("Mass", not bright), ("Hernia", False)):
            value = "positive" if there else "negative"
            said.append(
                {"study_id": f"s{i}", "image_id": None, "finding": finding, "value": value, "said_by": "dataset:x"}
            )
    archive = Archive.create(path)
    archive.add_images(pa.Table.from_pylist(images))
    archive.add_studies(pa.Table.from_pylist(studies))
    if labels:
        archive.add_labels(pa.Table.from_pylist(said))
    return archive


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_studies(tmp_path_factory.mktemp("studies") / "archive")


@pytest.fixture(scope="module")
def without_reports(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_studies(tmp_path_factory.mktemp("labels") / "archive", reports=False, labels=True)


def prepared(archive: Archive, *settings: str, text: str = "sections") -> tuple[CXRCLIPMethod, Share]:
    torch.manual_seed(0)
    method, share = CXRCLIPMethod(CXRCLIP.resolve([*FAST, *settings], tiny=True)), Share(archive, text)
    method.prepare([share])
    return method, share


def unit_rows(seed: int, count: int = 6) -> list[Tensor]:
    rows = torch.randn(4, count, 5, generator=torch.Generator().manual_seed(seed))
    return [row.requires_grad_() for row in F.normalize(rows, dim=-1)]


# The loss


def slow_pair(a: Tensor, b: Tensor, scale: float, smoothing: float) -> float:
    """S(a, b) row by row."""
    total, count = 0.0, len(a)
    for x, y in ((a, b), (b, a)):
        for i in range(count):
            logits = [scale * float((x[i] @ y[j]).detach()) for j in range(count)]
            log_sum = math.log(sum(math.exp(z) for z in logits))
            hit = (1 - smoothing) * (log_sum - logits[i])
            total += hit + smoothing * sum(log_sum - z for z in logits) / count
    return total / count / 2


@pytest.mark.parametrize(
    ("image_weight", "text_weight", "smoothing"), [(1.0, 0.5, 0.0), (0.0, 0.0, 0.1), (0.3, 2.0, 0.2)]
)
def test_the_loss_equals_the_loop(image_weight: float, text_weight: float, smoothing: float) -> None:
    i, v, t, u = unit_rows(0)
    losses = study_contrast(
        i, v, t, u, torch.tensor(7.0), image_weight=image_weight, text_weight=text_weight, smoothing=smoothing
    )
    mvs = sum(slow_pair(a, b, 7.0, smoothing) for a in (i, v) for b in (t, u)) / 4
    icl, tcl = slow_pair(i, v, 7.0, 0.0), slow_pair(t, u, 7.0, 0.0)  # smoothing is of images and texts alone
    assert float(losses["mvs"].detach()) == pytest.approx(mvs, abs=1e-5)
    assert float(losses["loss"].detach()) == pytest.approx(mvs + image_weight * icl + text_weight * tcl, abs=1e-5)
    assert ("icl" in losses, "tcl" in losses) == (image_weight > 0, text_weight > 0)


def test_smoothing_is_left_out_of_validation(studies: Archive) -> None:
    method, share = prepared(studies, "label_smoothing=0.3")
    batch = method.read(method.collect(share, "train"), np.arange(8), None)
    rows = method.eval().encode(batch)
    scale = method.encoder.logit_scale.exp()
    plain, smooth = (float(study_contrast(**rows, scale=scale, smoothing=s)["loss"].detach()) for s in (0.0, 0.3))
    assert abs(plain - smooth) > 1e-3
    assert float(method.losses(rows)["loss"]) == pytest.approx(plain)
    assert float(method.train().losses(rows)["loss"]) == pytest.approx(smooth)


def test_two_processes_with_half_the_rows_each_give_loss_and_gradients_of_one() -> None:
    rows = [row.detach() for row in unit_rows(1, 8)]
    one, (a, b) = contrast_of(ALONE, rows), run_two(contrast_of, rows)
    assert (a["loss"] + b["loss"]) / 2 == pytest.approx(one["loss"], abs=1e-6)
    assert torch.allclose((a["scale"] + b["scale"]) / 2, one["scale"], atol=1e-6)
    for first, second, whole in zip(a["rows"], b["rows"], one["rows"], strict=True):
        assert torch.allclose(torch.cat([first, second]) / 2, whole, atol=1e-6)


def step_of(ranks: Ranks, path: str) -> dict[str, Any]:
    method, share = prepared(Archive.open(path))
    batch = method.eval().read(method.collect(share, "train"), np.arange(8), np.random.default_rng(0))
    batch = method.augment(batch, torch.Generator().manual_seed(0))
    mine = batch if ranks.world == 1 else batch.part(4 * ranks.rank, 4 * ranks.rank + 4)
    loss = method(mine, None, ranks)[0]["loss"]
    loss.backward()
    return {"loss": float(loss.detach()), "gradients": {name: p.grad for name, p in method.named_parameters()}}


@pytest.mark.slow
def test_two_processes_with_half_a_batch_each_give_the_step_of_one(studies: Archive) -> None:
    one, (a, b) = step_of(ALONE, str(studies.path)), run_two(step_of, str(studies.path))
    assert (a["loss"] + b["loss"]) / 2 == pytest.approx(one["loss"], abs=1e-5)
    for name, gradient in one["gradients"].items():
        assert gradient is not None, f"{name} gets no gradient"
        assert torch.allclose((a["gradients"][name] + b["gradients"][name]) / 2, gradient, atol=1e-5), name


def test_every_trained_parameter_gets_a_gradient(studies: Archive) -> None:
    gradients = step_of(ALONE, str(studies.path))["gradients"]
    assert {name for name, gradient in gradients.items() if gradient is None} == set()


# Examples and batches


def test_an_example_is_a_study_with_two_of_its_images_and_texts(studies: Archive) -> None:
    method, share = prepared(studies)
    examples = method.collect(share, "train")
    assert examples.counts == {"images": 24, "studies": 16, "studies_without_text": 0, "texts_cut": 0}
    batch = method.read(examples, np.arange(16), np.random.default_rng(0))
    assert batch.pixels.shape == batch.pixels2.shape == (16, 64, 64)
    assert batch.ids.shape == batch.ids2.shape == (16, 16)
    assert batch.views is None
    single, double = examples.image_ids.index("i0.0"), examples.image_ids.index("i1.0")
    assert torch.equal(batch.pixels[single], batch.pixels2[single])
    assert not torch.equal(batch.pixels[double], batch.pixels2[double])
    augmented = method.augment(batch, torch.Generator().manual_seed(0))
    assert augmented.views is not None
    assert augmented.views.shape == (16, 2, 64, 64)
    assert not torch.equal(augmented.views[single, 0], augmented.views[single, 1])  # one picture, two views


def test_the_two_views_are_those_of_the_two_pictures(studies: Archive) -> None:
    method, share = prepared(studies)
    batch = method.read(method.collect(share, "train"), np.arange(16), None)
    assert batch.views is not None
    whole = method.preprocess.squares([batch.pixels2[1, : batch.sizes2[1, 0], : batch.sizes2[1, 1]].numpy()])
    assert np.array_equal(batch.views[1, 1].numpy(), whole[0])
    rows = method.eval().encode(batch)
    swapped = TwoViewBatch(**{**batch.__dict__, "views": batch.views.flip(1), "ids": batch.ids2, "ids2": batch.ids})
    again = method.encode(swapped)
    for one, other in (("images", "views"), ("texts", "texts2")):
        assert torch.allclose(rows[one], again[other], atol=1e-6)
    assert torch.allclose(rows["images"].norm(dim=1), torch.ones(16))


def test_a_validation_reads_the_same_every_time_and_a_step_its_own(studies: Archive) -> None:
    method, share = prepared(studies)
    examples = method.collect(share, "val", most=4)
    assert len(examples) == 4
    one, two = (method.read(examples, np.arange(4), None) for _ in range(2))
    assert torch.equal(one.ids, two.ids)
    assert torch.equal(one.ids2, two.ids2)
    train = method.collect(share, "train")
    drawn = [method.read(train, np.arange(16), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0].ids, drawn[1].ids)
    assert not torch.equal(drawn[0].ids, drawn[2].ids)


def test_a_change_of_any_image_or_text_is_another_training_set(studies: Archive, without_reports: Archive) -> None:
    method, share = prepared(studies)
    sections = method.collect(share, "train").digest()
    assert method.collect(Share(studies, "impression"), "train").digest() != sections
    method, share = prepared(without_reports, text="prompts")
    assert method.collect(share, "train").digest() != sections


def test_texts_longer_than_the_context_are_counted(studies: Archive) -> None:
    method, share = prepared(studies, "context=4")
    assert method.collect(share, "train").counts["texts_cut"] > 16  # "no edema ." and "dark lungs ." need 5 ids


def test_as_released_three_kinds_of_view_give_two_images_of_one_kind(tmp_path: Path) -> None:
    archive = make_studies(tmp_path / "archive", count=3)
    for compat, alike in (("none", False), ("cxr-clip", True)):
        method, share = prepared(archive, f"compat={compat}")
        batch = method.read(method.collect(share, "train"), np.array([2] * 30), np.random.default_rng(0))
        same = [torch.equal(a, b) for a, b in zip(batch.pixels, batch.pixels2, strict=True)]
        assert all(same) if alike else not any(same)  # one image of each kind


def test_paraphrases_are_drawn_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_studies(tmp_path / "archive")
    folders = [str(marian(tmp_path / name, seed)) for seed, name in enumerate(("en-it", "it-en"))]
    monkeypatch.setattr("hilum.reports.neural.backtranslate._is_usable", lambda text, returned: True)
    method, share = prepared(archive, f"back_translation={folders[0]},{folders[1]}")
    examples = method.collect(share, "train")
    assert all(all(text.paraphrases) for text in examples.texts)
    method.read(examples, np.arange(16), np.random.default_rng(0))


# Recipes and towers


@pytest.mark.parametrize(
    ("variant", "settings"),
    [
        ("m", {"texts": ("sections",), "tower": "resnet50"}),
        ("m+c", {"texts": ("sections", "prompts")}),
        ("m+c+c14", {"texts": ("sections", "prompts", "prompts:3")}),
        ("swin-t", {"tower": "swin-t", "image_weight": 1.0}),
        ("clip", {"image_weight": 0.0, "text_weight": 0.0}),
    ],
)
def test_variants_change_what_they_say(variant: str, settings: dict[str, Any]) -> None:
    recipe = CXRCLIP.resolve(variant=variant)
    assert {key: getattr(recipe, key) for key in settings} == settings
    assert (recipe.batch_size, recipe.learning_rate, recipe.weight_decay, recipe.epochs) == (128, 5e-5, 1e-4, 15)


def test_the_rate_rises_over_one_epoch_of_fifteen_and_falls_as_a_squared_cosine() -> None:
    recipe, steps = CXRCLIP(), 150
    rates = [recipe.rate(Place(step, steps, 10)) for step in range(steps)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.5)
    assert rates[10] == 1.0
    assert rates[80] == pytest.approx(math.cos(math.pi / 4) ** 2)
    assert rates[149] == pytest.approx(math.cos(0.5 * math.pi * 139 / 140) ** 2)


def test_weight_decay_is_on_everything_as_released_and_can_spare_norms(studies: Archive) -> None:
    (group,) = prepared(studies, "decay_all=true", "weight_decay=1e-4")[0].parameter_groups()
    assert group["weight_decay"] == 1e-4
    groups = prepared(studies, "decay_all=false", "weight_decay=1e-4")[0].parameter_groups()
    assert [g["weight_decay"] for g in groups] == [1e-4, 0.0]


@pytest.mark.parametrize(
    ("tower", "mean"),
    [("resnet-tiny", (0.485, 0.456, 0.406)), ("swin-micro", (0.5,) * 3), ("densenet-tiny", (0.5,) * 3)],
)
def test_pixels_are_normalized_by_the_family_of_the_tower(tower: str, mean: tuple[float, ...]) -> None:
    method = CXRCLIPMethod(CXRCLIP.resolve([f"tower={tower}", "side_px=64"], tiny=True))
    assert method.preprocess.mean == mean
    assert getattr(method.tower, "pool", "first") == "first"


def test_batch_statistics_are_taken_over_all_gpus(studies: Archive) -> None:
    method, _ = prepared(studies, "tower=resnet-tiny")
    assert CXRCLIPMethod.shares_norms
    before = {name for name, module in method.named_modules() if isinstance(module, nn.BatchNorm2d)}
    nn.SyncBatchNorm.convert_sync_batchnorm(method)  # as the loop does on GPUs
    assert before == {name for name, module in method.named_modules() if isinstance(module, nn.SyncBatchNorm)}
    assert before


# From archives to a model folder


class Stop(Exception):
    """Stands for a killed process: raised between two steps."""


def run(archives: Any, out: Path, *settings: str, stop_at: int | None = None, variant: str | None = None) -> Any:
    def on_step(progress: Progress) -> None:
        if progress.step == stop_at:
            raise Stop

    options: dict[str, Any] = {"tiny": True, "variant": variant, "settings": [*FAST, *settings], "save_every": 1}
    return pretrain("cxr-clip", archives, out, on_step=on_step, **options)


@pytest.fixture(scope="module")
def whole(studies: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run(studies, out)
    return out


def test_a_trained_model_is_loaded_and_sees_and_reads(whole: Path, studies: Archive) -> None:
    model = hilum.Model.load(whole)
    pixels = studies.pixels([0, 1, 2])
    assert model.embed_images(pixels).shape == (3, 16)
    assert model.embed_texts(["No edema.", "Bright lungs."]).shape == (2, 16)
    assert model.features(pixels).shape == (3, model.encoder.feature_dim)
    made = json.loads((whole / "config.json").read_text())["provenance"]
    assert made["counts"]["train"] == {"images": 24, "studies": 16, "studies_without_text": 0, "texts_cut": 0}
    assert made["text_policy"] == "sections"
    assert made["steps"] == 4


@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_run_ends_with_bitwise_the_same_weights(
    studies: Archive, whole: Path, tmp_path: Path, stop: int
) -> None:
    with pytest.raises(Stop):
        run(studies, tmp_path / "run", stop_at=stop)
    run(studies, tmp_path / "run")
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes(), name


def test_reports_of_one_archive_and_labels_of_another_train_together(
    studies: Archive, without_reports: Archive, tmp_path: Path
) -> None:
    done = run([studies, without_reports], tmp_path / "run", "weights=1,0.5", "epochs=1", variant="m+c")
    assert done.steps == (16 + 8) // 8
    assert done.counts["train"]["studies"] == 32
    model = hilum.Model.load(tmp_path / "run")
    assert model.provenance["text_policy"] == "sections, prompts"
    words = model.tokenizer.encode(["bright hernia"])[0]
    assert [piece for piece in model.tokenizer.pieces(words) if piece == "[UNK]"] == []


def test_rows_of_reports_and_of_labels_are_joined_into_one_batch(studies: Archive, without_reports: Archive) -> None:
    torch.manual_seed(0)
    method = CXRCLIPMethod(CXRCLIP.resolve(FAST, tiny=True))
    shares = [Share(studies, "sections"), Share(without_reports, "prompts:1")]
    method.prepare(shares)
    parts = [method.read(method.collect(share, "train"), np.arange(4), None) for share in shares]
    joined = Batch.join(parts)
    assert len(joined) == 8
    assert len(method.encode(joined)["texts"]) == 8


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (["tower=resnet05"], ModelError, "no image tower 'resnet05'. Did you mean 'resnet50'"),
        (["text_model=/nowhere/bert"], TrainingError, "no such folder"),
        (["text_model=bio-clinicalbert"], ModelError, "downloads are off"),
        (["init=imagenet", "tower=resnet50"], ModelError, "downloads are off"),
        (["texts=sections,prompts"], UsageError, r"texts has 2 values .* for 1 archive;"),
        (["texts=prompts"], TrainingError, "makes texts from labels, and the archive has none"),
        (["weights=-1"], UsageError, "weights must be above zero"),
        (["prompt_bank=/nowhere.json"], UsageError, "no such file"),
        (["augmentation=cxr-clp"], UsageError, "Did you mean 'cxr-clip'"),
        (["back_translation=one"], RecipeError, "back_translation has 1 folders"),
        (["back_translation=/no/there,/no/back"], ModelError, "is not a local translation model"),
        (["pooling=last"], RecipeError, "pooling: Input should be 'eos', 'bos' or 'mean'"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    studies: Archive, tmp_path: Path, settings: list[str], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        run(studies, tmp_path / "run", *settings)
    assert not (tmp_path / "run" / "training" / "last.pt").exists()


def test_an_archive_without_reports_is_refused_and_told_what_would_do(without_reports: Archive, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"no image of the split 'train' has a report text under the policy 'sections'"
    ):
        run(without_reports, tmp_path / "run")


def test_the_method_is_found_by_its_name() -> None:
    assert find_method("cxr-clip").method is CXRCLIPMethod
