"""MoCo-CXR: what a step does, and a run from an archive to a model folder."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import hilum
from hilum.archive import Archive
from hilum.errors import ModelError, RecipeError, TrainingError
from hilum.methods.method import Share
from hilum.methods.moco_cxr import MoCoCXR, MoCoCXRMethod, Views
from hilum.methods.schedule import Place
from hilum.training import Progress, pretrain

FAST = ["side_px=32", "canvas_px=40", "batch_size=16", "queue=64", "dim=16", "epochs=2"]
SMALL: dict[str, Any] = {
    "tower": "resnet-tiny",
    "init": "random",
    "side_px": 32,
    "canvas_px": 40,
    "dim": 8,
    "batch_size": 4,
    "queue": 8,
}


class Stop(Exception):
    """Stands for a killed process."""


@pytest.fixture
def method() -> MoCoCXRMethod:
    torch.manual_seed(0)
    return MoCoCXRMethod(MoCoCXR(**SMALL, key_momentum=0.5)).train()


def batch_of(seed: int) -> Views:
    views = torch.randint(0, 256, (4, 2, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return Views(torch.zeros(4, 40, 40, dtype=torch.uint8), torch.full((4, 2), 40), views)


def step(method: MoCoCXRMethod, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    method.before_step(number, 9)
    losses, rows = method(batch_of(number))
    method.zero_grad()
    losses["loss"].backward()
    with torch.no_grad():
        for parameter in method.query.parameters():
            parameter -= 0.1 * parameter.grad
    method.after_losses(batch_of(number), {k: v.detach() for k, v in rows.items()})
    return losses, rows


def test_the_negatives_are_the_queue_before_this_step_s_keys(method: MoCoCXRMethod) -> None:
    before = method.queue.keys.clone()
    losses, rows = step(method, 0)
    query, key = (F.normalize(rows[name], dim=1) for name in ("query", "key"))
    logits = torch.cat([(query * key).sum(1, keepdim=True), query @ before], dim=1) / 0.2
    assert torch.allclose(losses["loss"], F.cross_entropy(logits, torch.zeros(4, dtype=torch.int64)), atol=1e-6)
    assert torch.allclose(method.queue.keys[:, :4], key.T, atol=1e-6)
    assert torch.equal(method.queue.keys[:, 4:], before[:, 4:])


def test_at_the_first_step_the_key_encoder_is_the_query_encoder_and_then_lags_by_one_update(
    method: MoCoCXRMethod,
) -> None:
    start = [p.detach().clone() for p in method.query.parameters()]
    step(method, 0)
    assert all(torch.equal(k, s) for k, s in zip(method.key.parameters(), start, strict=True))
    after = [p.detach().clone() for p in method.query.parameters()]
    step(method, 1)
    for key, old, new in zip(method.key.parameters(), start, after, strict=True):
        assert torch.allclose(key, 0.5 * old + 0.5 * new, atol=1e-6)


def test_no_gradient_reaches_the_key_encoder_and_all_of_the_query_encoder_gets_one(method: MoCoCXRMethod) -> None:
    step(method, 0)
    assert not any(p.requires_grad or p.grad is not None for p in method.key.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.query.parameters())


def test_unfilled_slots_are_noise_by_default_and_left_out_on_request() -> None:
    def losses(mask: bool) -> list[float]:
        torch.manual_seed(0)
        method = MoCoCXRMethod(MoCoCXR(**SMALL, mask_unfilled=mask)).train()
        return [float(step(method, number)[0]["loss"].detach()) for number in range(3)]

    noisy, masked = losses(False), losses(True)
    assert masked[0] == 0.0, "nothing to be told from yet"
    assert noisy[0] > 0.5
    assert 0 < masked[1] < noisy[1]


def test_the_shuffled_order_depends_on_the_step_and_is_the_same_when_encoded_again(method: MoCoCXRMethod) -> None:
    def order() -> list[int]:
        return torch.randperm(8, generator=method.draws(0)).tolist()

    method.before_step(3, 9)
    first = order()
    assert order() == first
    method.before_step(4, 9)
    assert order() != first


def test_the_rate_falls_by_steps_or_by_a_cosine_that_ends_early() -> None:
    def rates(**settings: Any) -> list[float]:
        recipe = MoCoCXR(**settings)
        return [recipe.rate(Place(epoch * 5 + 4, 100, 5)) for epoch in range(20)]

    assert rates()[11] == 1.0
    assert [rates()[12], rates()[18]] == pytest.approx([0.1, 0.01])
    cosine = rates(schedule="cosine")
    assert cosine[0] == 1.0
    assert cosine[19] == pytest.approx(0.5 * (1 + np.cos(np.pi * 19 / 20 / 4)))
    assert rates(schedule="cosine", cosine_rate=1.0)[19] < 0.01


def test_weight_decay_is_on_everything(method: MoCoCXRMethod) -> None:
    (group,) = method.parameter_groups()
    assert group["weight_decay"] == 1e-4
    assert len(group["params"]) == len(list(method.query.parameters()))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (["queue=100"], RecipeError, "queue=100 is not a multiple of batch_size=16 .* Give queue=96 or 112"),
        (["tower=resnet5O"], ModelError, "no image tower 'resnet5O'. Did you mean 'resnet50'"),
        (["augmentation=strong"], RecipeError, "augmentation: Input should be 'chexpert'"),
        (["queu=64"], RecipeError, "Did you mean 'queue'"),
        (["init=imagenet", "tower=resnet18"], ModelError, "downloads are off"),
        (["batch_size=64"], TrainingError, "larger than the 48 training examples"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    small_archive: Path, tmp_path: Path, settings: list[str], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        pretrain("moco-cxr", small_archive, tmp_path / "run", tiny=True, settings=[*FAST, *settings])
    assert not (tmp_path / "run" / "training" / "last.pt").exists()


@pytest.mark.parametrize("augmentation", ["chexpert", "moco_v1", "moco_v2", "moco_v2-chexpert"])
def test_views_are_squares_drawn_twice_from_each_picture(small_archive: Path, augmentation: str) -> None:
    method = MoCoCXRMethod(MoCoCXR(**SMALL, augmentation=augmentation))
    examples = method.collect(Share(Archive.open(small_archive)), "train")
    batch = method.read(examples, np.array([0, 5, 6]), np.random.default_rng(0))
    views = method.augment(batch, torch.Generator().manual_seed(0)).views
    assert views.shape == (3, 2, 32, 32)
    assert views.dtype == torch.uint8
    assert (views[:, 0] != views[:, 1]).any(dim=(1, 2)).all()
    assert torch.equal(views, method.augment(batch, torch.Generator().manual_seed(0)).views)
    plain = method.read(examples, np.array([0, 5, 6]), None).views
    archive, whole = Archive.open(small_archive), method.preprocess
    rows = archive.images(["image_id"], where="split = 'train'")["row"].to_numpy()[[0, 5, 6]]
    difference = plain[:, 0].int() - torch.from_numpy(whole.squares(archive.pixels(rows))).int()
    assert difference.abs().float().mean() < 12, "the canvas is smaller than the archive's picture, no more"


def test_moco_s_own_augmentations_come_with_imagenet_s_statistics() -> None:
    chexpert, moco = (MoCoCXRMethod(MoCoCXR(**SMALL, augmentation=a)).preprocess for a in ("chexpert", "moco_v2"))
    assert chexpert.mean == (0.5020,) * 3
    assert chexpert.std == (0.085585,) * 3
    assert moco.mean == (0.485, 0.456, 0.406)


@pytest.fixture(scope="module")
def run(small_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("moco") / "run"
    pretrain("moco-cxr", small_archive, out, tiny=True, settings=FAST)
    return out


def test_a_run_ends_with_a_model_whose_features_are_the_pooled_ones(run: Path, small_archive: Path) -> None:
    model = hilum.Model.load(run)
    pixels = Archive.open(small_archive).pixels([0, 1, 2])
    features = model.features(pixels)
    assert features.shape == (3, 128)
    assert np.allclose(features, model.embed_images(pixels, normalize=False), atol=1e-6)
    assert np.ptp(features, axis=0).max() > 0
    with pytest.raises(ModelError, match="no text tower"):
        model.embed_texts(["effusion"])
    assert model.provenance["chosen_by"] == "last step"
    assert "## Data" in (run / "README.md").read_text()


def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(
    run: Path, small_archive: Path, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 4:
            raise Stop

    with pytest.raises(Stop):
        pretrain("moco-cxr", small_archive, tmp_path / "run", tiny=True, settings=FAST, save_every=1, on_step=stop)
    pretrain("moco-cxr", small_archive, tmp_path / "run", tiny=True, settings=FAST, save_every=1)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    with (run / "training" / "metrics.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 6
    assert all(np.isfinite(losses))
