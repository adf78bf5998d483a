"""The second stage of S2MTS2 on a small archive: both variants, resumed runs, and what the scripts lose."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import make_small_archive

from hilum.errors import RecipeError, UsageError
from hilum.evaluation.metrics import auroc
from hilum.labelsets import LabelSet
from hilum.models import Model
from hilum.models.head import Head
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder
from hilum.models.preprocess_kinds import Squash
from hilum.models.towers_resnet import ResNet
from hilum.tasks.semi_supervised import SemiSupervised, semi_supervise
from hilum.tasks.semi_supervised.losses import History, consistency, elr_plus, soft_margin
from hilum.tasks.semi_supervised.students import Classroom
from hilum.tasks.semi_supervised.teacher import follow_student, start_teacher

TARGET = "Pleural Effusion,Pneumothorax"
QUICK = ("batch_size=16", "epochs=6", "ema=0.8", "eps=1e-8", "learning_rate=3e-3")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_archive(tmp_path_factory.mktemp("labeled") / "archive", labels=True)


def tiny_model(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    tower = ResNet(block="basic", layers=(1, 1), widths=(8, 16), stem_width=8, stem="3x3")
    encoder = ImageEncoder(ImageArchitecture(tower=tower))
    return Model(encoder, Squash(canvas_px=32), None, {"name": "tiny"}, "cpu")


def taught(archive: Path, out: Path, *settings: str, **options: Any) -> Any:
    return semi_supervise(tiny_model(), archive, TARGET, out=out, settings=(*QUICK, *settings), **options)


@pytest.mark.parametrize("variant", [None, "two-students"])
def test_few_labels_and_other_images_teach_findings(archive: Path, tmp_path: Path, variant: str | None) -> None:
    losses: list[float] = []
    done = taught(
        archive, tmp_path / "m", fraction=0.4, variant=variant, on_step=lambda step, steps, loss: losses.append(loss)
    )
    assert done.counts == {"labeled": 19, "unlabeled": 29}
    assert len(losses) == done.steps
    examples, scores = done.examples["test"], done.scores["test"]
    assert np.mean([auroc(examples.truth[:, c], scores[:, c]) for c in range(2)]) > 0.9
    assert done.table("test").column_names == ["image_id", "study_id", "patient_id", "Pleural Effusion", "Pneumothorax"]


@pytest.mark.parametrize("variant", [None, "two-students"])
def test_the_folder_scores_as_the_run_did(archive: Path, tmp_path: Path, variant: str | None) -> None:
    done = taught(archive, tmp_path / "m", "epochs=1", variant=variant)
    from hilum.archive import Archive

    opened = Archive.open(archive)
    images = opened.images(["image_id"])
    row_of = dict(zip(images["image_id"].to_pylist(), images["row"].to_pylist(), strict=True))
    pixels = opened.pixels(np.array([row_of[one] for one in done.examples["val"].image_ids]))
    places = [tmp_path / "m"] if variant is None else [tmp_path / "m" / name for name in ("first", "second")]
    logits = [Head.load(place).linear(Model.load(place, "cpu").features(pixels)) for place in places]
    assert np.allclose(1 / (1 + np.exp(-np.mean(logits, axis=0))), done.scores["val"], atol=1e-5)
    assert (tmp_path / "m" / "truth-test.csv").is_file()


@pytest.mark.parametrize("variant", [None, "two-students"])
def test_a_run_that_was_stopped_ends_as_one_that_never_was(archive: Path, tmp_path: Path, variant: str | None) -> None:
    class Stop(Exception):
        pass

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise Stop

    whole = taught(archive, tmp_path / "a", variant=variant, fraction=0.4)
    with pytest.raises(Stop):
        taught(archive, tmp_path / "b", variant=variant, fraction=0.4, save_every=2, on_step=stop)
    resumed = taught(archive, tmp_path / "b", variant=variant, fraction=0.4, save_every=2)
    assert np.array_equal(whole.scores["test"], resumed.scores["test"])


def encoders(modules: torch.nn.ModuleList) -> list[dict[str, torch.Tensor]]:
    return [module.encoder.state_dict() for module in modules]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("objective", ["mean-teacher", "two-students"])
def test_students_and_teachers_start_from_what_was_pretrained(objective: Any) -> None:
    model = tiny_model()
    room = Classroom(model, 2, 10, SemiSupervised(objective=objective))
    for found in encoders(room.students) + encoders(room.teachers):
        assert equal(found, model.encoder.state_dict())


def test_as_released_the_mean_teacher_loses_what_was_pretrained_and_two_students_teachers_never_have_it() -> None:
    model = tiny_model()
    alone = Classroom(model, 2, 10, SemiSupervised(objective="mean-teacher", compat=True))
    assert not equal(encoders(alone.students)[0], model.encoder.state_dict())
    assert equal(encoders(alone.students)[0], encoders(alone.teachers)[0])
    pair = Classroom(model, 2, 10, SemiSupervised(objective="two-students", compat=True))
    for student, teacher in zip(encoders(pair.students), encoders(pair.teachers), strict=True):
        assert equal(student, model.encoder.state_dict())
        assert not equal(teacher, model.encoder.state_dict())


def test_as_released_two_students_see_no_image_without_labels(archive: Path, tmp_path: Path) -> None:
    done = taught(archive, tmp_path / "m", "epochs=1", "compat=true", variant="two-students", fraction=0.4)
    assert done.counts["unlabeled"] == 0


def test_the_teacher_copies_counters_of_batches_and_as_released_does_not() -> None:
    for compat in (False, True):
        student, teacher = (torch.nn.BatchNorm1d(3) for _ in range(2))
        start_teacher(student, teacher)
        student(torch.randn(4, 3))
        follow_student(student, teacher, 0.5, compat)
        assert teacher.num_batches_tracked.item() == (0 if compat else 1)
        assert torch.allclose(teacher.running_mean, 0.5 * student.running_mean)


def test_history_and_its_pull_are_the_loop_over_images_and_findings() -> None:
    draws = torch.Generator().manual_seed(0)
    history = History(5, 2, beta=0.8)
    logits, said = (torch.randn(3, 2, generator=draws) for _ in range(2))
    truth = torch.tensor([[1.0, 0.0], [float("nan"), 1.0], [0.0, 0.0]])
    numbers, order = torch.tensor([4, 0, 2]), torch.tensor([1, 2, 0])
    history.put(numbers, said)
    history.put(numbers, said)
    targets = history.mixed(numbers, order, 0.7)
    pull, supervised, known = 0.0, 0.0, 0
    for i in range(3):
        for c in range(2):
            own, other = (0.36 / (1 + math.exp(-float(said[n, c]))) for n in (i, int(order[i])))
            q, p = 0.7 * own + 0.3 * other, 1 / (1 + math.exp(-float(logits[i, c])))
            assert float(targets[i, c]) == pytest.approx(q, abs=1e-6)
            pull += math.log(1 - q * p) / 6
            if not math.isnan(float(truth[i, c])):
                supervised -= math.log(p if truth[i, c] == 1 else 1 - p)
                known += 1
    ours = elr_plus(logits, truth, targets, weight=3.0)
    assert ours.loss.item() == pytest.approx(supervised / known + 3 * pull, abs=1e-5)
    assert history.table[[1, 3]].abs().sum() == 0


def test_soft_margin_is_torch_s_where_everything_is_known() -> None:
    logits, truth = torch.randn(4, 3), torch.randint(2, (4, 3)).float()
    expected = torch.nn.functional.multilabel_soft_margin_loss(logits, truth)
    assert soft_margin(logits, truth).item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_teacher_s_side_of_consistency_gets_no_gradient() -> None:
    student, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    consistency(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_a_target_of_classes_is_refused(archive: Path, tmp_path: Path) -> None:
    classes = LabelSet("which", "multi-class", ("Pleural Effusion", "Pneumothorax"))
    with pytest.raises(UsageError, match="learns findings"):
        semi_supervise(tiny_model(), archive, classes, out=tmp_path / "m")


def test_an_unknown_setting_is_refused_with_the_closest(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Did you mean 'history_beta'"):
        semi_supervise(tiny_model(), archive, TARGET, out=tmp_path / "m", settings=["history_bta=0.8"])


def test_the_folder_keeps_what_made_it(archive: Path, tmp_path: Path) -> None:
    taught(archive, tmp_path / "m", "epochs=1", fraction=0.4)
    made = json.loads((tmp_path / "m" / "config.json").read_text())["provenance"]
    assert made["images"] == {"labeled": 19, "unlabeled": 29}
    assert made["part"]["fraction"] == 0.4
