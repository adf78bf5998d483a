"""Finetuning learns, ends the same however often it is stopped, keeps the best pass, and leaves a folder that predicts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.conftest import make_small_archive
from tests.tasks.conftest import tiny_model
from tests.tasks.test_probing import graded

from hilum.archive import Archive
from hilum.errors import ModelError, RecipeError, TrainingError, UsageError
from hilum.models import Model, build_tower, tower_named
from hilum.models.head import Head
from hilum.tasks import Finetuned, finetune, predict, probe
from hilum.tasks.finetuning import find_recipe
from hilum.tasks.headed import TrainableHead, label_loss
from hilum.tasks.layers import depths

FAST = ["epochs=3", "learning_rate=0.05", "batch_size=16"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Stop(Exception):
    """Stands for a killed process: raised between two steps."""


def run(
    archive: Path, out: Path, stop_at: int | None = None, recipe: str = "paper", settings: list[str] = FAST
) -> Finetuned:
    def on_step(step: int, steps: int) -> None:
        if step == stop_at:
            raise Stop

    return finetune(
        tiny_model(), archive, out=out, recipe=recipe, settings=settings, save_every=2, on_step=on_step
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(labeled_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(labeled_archive, tmp_path_factory.mktemp("finetuned") / "run").folder


FILES = ("model.safetensors", "head.safetensors", "head.json", "config.json", "README.md", "scores-test.csv")


@pytest.mark.parametrize("stops", [(1,), (2, 5), (3, 8)])
def test_a_stopped_run_ends_with_bitwise_the_same_files(
    labeled_archive: Path, whole: Path, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    for stop in stops:
        with pytest.raises(Stop):
            run(labeled_archive, tmp_path / "run", stop)
    assert not (tmp_path / "run" / "config.json").exists()
    run(labeled_archive, tmp_path / "run")
    for name in FILES:
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_stopped_modern_run_ends_with_the_same_weights(labeled_archive: Path, tmp_path: Path) -> None:
    settings = ["epochs=2", "batch_size=16"]
    run(labeled_archive, tmp_path / "a" / "run", None, "modern", settings)
    with pytest.raises(Stop):
        run(labeled_archive, tmp_path / "b" / "run", 4, "modern", settings)
    run(labeled_archive, tmp_path / "b" / "run", None, "modern", settings)
    for name in ("model.safetensors", "head.safetensors"):
        assert (tmp_path / "a" / "run" / name).read_bytes() == (tmp_path / "b" / "run" / name).read_bytes()


def test_the_model_and_its_head_are_loaded_strictly_and_have_their_own_fingerprints(whole: Path) -> None:
    model, head = Model.load(whole), Head.load(whole)
    assert model.fingerprint != tiny_model().fingerprint
    assert head.width == 128
    assert model.provenance["encoder"] == tiny_model().fingerprint
    assert model.provenance["recipe"]["schedule"] == "cosine"
    assert json.loads((whole / "head.json").read_text())["fingerprint"] == head.fingerprint


def test_the_given_model_is_left_as_it_is(labeled_archive: Path, tmp_path: Path) -> None:
    model = tiny_model()
    before = {name: one.clone() for name, one in model.encoder.state_dict().items()}
    finetune(model, labeled_archive, out=tmp_path / "run", settings=["epochs=1"])
    assert all(torch.equal(one, before[name]) for name, one in model.encoder.state_dict().items())


def test_the_pass_kept_is_the_first_with_the_best_validation(whole: Path, labeled_archive: Path) -> None:
    made = Model.load(whole).provenance
    state = torch.load(whole / "training" / "last.pt", weights_only=True)
    assert made["best_val_auroc"] == max(state["history"])
    assert made["best_epoch"] == state["history"].index(max(state["history"])) + 1
    best = torch.load(whole / "training" / "best.pt", weights_only=True)["network"]
    np.testing.assert_array_equal(Head.load(whole).weights, best["head.linear.weight"].numpy())


def test_the_cosine_is_really_stepped(labeled_archive: Path, tmp_path: Path) -> None:
    rates = {}
    for kind in ("cosine", "constant"):
        run(labeled_archive, tmp_path / kind, None, settings=[*FAST, f"schedule={kind}"])
        state = torch.load(tmp_path / kind / "training" / "last.pt", weights_only=True)
        rates[kind] = state["optimizer"]["param_groups"][0]["lr"]
    assert rates["constant"] == 0.05
    assert rates["cosine"] < 0.005


def test_a_frozen_encoder_keeps_every_number_and_its_fingerprint(labeled_archive: Path, tmp_path: Path) -> None:
    for augment in ("none", "light"):
        settings = [*FAST, "freeze=true", f"augment={augment}"]
        done = run(labeled_archive, tmp_path / augment, None, settings=settings)
        assert Model.load(done.folder).fingerprint == tiny_model().fingerprint
        assert done.head.names == ("Pneumothorax", "Pleural Effusion")


def test_another_recipe_does_not_go_on_with_a_run(labeled_archive: Path, whole: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds another run: .*learning_rate was 0.05, now 0.1"):
        run(labeled_archive, whole, settings=[*FAST, "learning_rate=0.1"])


def test_a_setting_that_is_not_there_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"recipe finetune has no setting 'layerdecay'. Did you mean 'layer_decay'"):
        find_recipe("modern", ["layerdecay=0.5"])
    with pytest.raises(UsageError, match=r"no finetuning recipe 'new'. There are: paper, modern"):
        find_recipe("new")


def test_a_loss_that_is_not_finite_names_images(labeled_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step \d+: the loss is nan .images i\d+"):
        run(labeled_archive, tmp_path / "run", None, settings=["learning_rate=1e30", "epochs=4"])


def test_grades_become_a_head_with_rising_thresholds(tmp_path: Path) -> None:
    archive = graded(tmp_path / "archive")
    done = finetune(tiny_model(), archive, "edema-severity", out=tmp_path / "run", settings=FAST)
    assert done.head.task == "ordinal"
    assert (np.diff(done.head.offsets) > 0).all()
    assert (np.diff(done.scores["test"], axis=1) <= 0).all()
    assert predict(done.folder, archive).names == ("Edema Severity 1 or more", "Edema Severity 3 or more")


def test_missing_labels_take_no_part_in_the_loss() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    truth = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    kept = torch.tensor([2.0, 0.5, 3.0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(kept, torch.tensor([1.0, 0.0, 1.0]))
    assert torch.isclose(label_loss(logits, truth), expected)


def test_the_ordinal_loss_is_minus_the_log_of_the_head_s_own_scores() -> None:
    torch.manual_seed(0)
    head = TrainableHead(5, "ordinal", ("a", "b", "c", "d"))
    x, y = torch.randn(20, 5), torch.arange(20) % 4
    scores = head.plain({}).scores(x.numpy())
    expected = -np.log(scores[np.arange(20), y]).mean()
    assert float(head.loss(head(x), y.float()).detach()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["resnet-tiny", "densenet-tiny", "vit-tiny", "swin-micro"])
def test_layers_further_from_the_head_lie_deeper(name: str) -> None:
    names = [one for one, _ in build_tower(tower_named(name)).named_parameters()]
    found = depths(names)
    assert found[names[0]] == 0
    assert found[names[-1]] == max(found.values())
    along = [found[one] for one in names]
    assert sorted(along) == along, "no tower names a later layer before an earlier one"
    assert len(set(along)) >= 4


def test_a_file_has_the_score_that_it_has_in_an_archive(whole: Path, labeled_archive: Path, tmp_path: Path) -> None:
    archive = Archive.open(labeled_archive)
    in_archive = predict(whole, archive)
    for row in (0, 1, 2):
        Image.fromarray(archive.pixels([row])[0]).save(tmp_path / f"{row}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    from_files = predict(whole, tmp_path, out=tmp_path / "scores.csv")
    np.testing.assert_allclose(from_files.scores, in_archive.scores[:3], atol=1e-6)
    assert list(from_files.rejected) == [str(tmp_path / "notes.txt")]
    assert (tmp_path / "scores.csv").read_text().startswith('"path","Pneumothorax","Pleural Effusion"')


def test_a_probe_predicts_with_its_encoder_and_no_other(labeled_archive: Path, tmp_path: Path) -> None:
    tiny_model().save(tmp_path / "encoder")
    tiny_model(5).save(tmp_path / "other")
    probed = probe(tmp_path / "encoder", labeled_archive, out=tmp_path / "probe")
    predicted = predict(tmp_path / "probe", labeled_archive, where="split = 'test'")
    np.testing.assert_allclose(predicted.scores, probed.scores["test"], atol=1e-12)
    with pytest.raises(ModelError, match="the probe was made on an encoder of fingerprint"):
        predict(tmp_path / "probe", labeled_archive, encoder=tmp_path / "other")
    (tmp_path / "encoder").rename(tmp_path / "moved")
    with pytest.raises(ModelError, match=r"is not at .*encoder. Name its folder with --encoder"):
        predict(tmp_path / "probe", labeled_archive)
    assert len(predict(tmp_path / "probe", labeled_archive, encoder=tmp_path / "moved").scores) == 96


def test_a_model_without_a_head_and_files_that_cannot_be_read_are_named_errors(
    whole: Path, tmp_path: Path, labeled_archive: Path
) -> None:
    tiny_model().save(tmp_path / "bare")
    with pytest.raises(ModelError, match=r"expected a model with a head, found no head.json"):
        predict(tmp_path / "bare", labeled_archive)
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="none of the 1 files could be read"):
        predict(whole, tmp_path / "a.png")


def test_a_changed_head_is_refused(whole: Path, tmp_path: Path) -> None:
    head = Head.load(whole)
    Head(head.task, head.names, head.weights * 2, head.offsets).save(tmp_path)
    (tmp_path / "head.json").write_text((whole / "head.json").read_text())
    with pytest.raises(ModelError, match=r"head.safetensors is not the one that head.json describes"):
        Head.load(tmp_path)


def test_a_part_without_both_classes_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    archive = make_small_archive(tmp_path / "archive", labels=True)
    with pytest.raises(UsageError, match="of one class: nothing can be learned"):
        finetune(tiny_model(), archive, out=tmp_path / "run", fraction=0.02)
    assert not (tmp_path / "run").exists()
