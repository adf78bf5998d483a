"""MedAug: who is paired with whom, what the queue is told of a key, and what the original does otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import hilum
from hilum.archive import Archive
from hilum.errors import HilumError, RecipeError, TrainingError
from hilum.methods import hard_negatives as hard
from hilum.methods.hard_negatives import Facts
from hilum.methods.medaug import MedAug, MedAugMethod, PairViews
from hilum.methods.method import Share
from hilum.methods.moco import contrast
from hilum.methods.patient_pairs import FRONTAL, LATERAL, UNKNOWN
from hilum.training import pretrain

FAST = ["side_px=32", "canvas_px=40", "batch_size=8", "queue=16", "dim=8", "epochs=1"]
SMALL: dict[str, Any] = {
    "tower": "resnet-tiny",
    "init": "random",
    "side_px": 32,
    "canvas_px": 40,
    "dim": 8,
    "batch_size": 4,
    "queue": 8,
}


def make_archive(path: Path, views: dict[str, list[str]], patients: int = 8) -> Archive:
    """Each patient has these studies, each with these views; an image is of one gray, 10 times its number."""
    rows = []
    for patient in range(patients):
        for study, of_study in views.items():
            for view in of_study:
                gray = 10 + len(rows) % 24 * 10
                rows.append(
                    {
                        "image_id": f"i{len(rows)}",
                        "study_id": f"p{patient:05d}-study{study}",
                        "patient_id": f"patient{patient:05d}",
                        "source": "made",
                        "path": f"{len(rows)}.png",
                        "view": view,
                        "height": 40,
                        "width": 32,
                        "pixels": np.full((40, 32), gray, np.uint8).tobytes(),
                        "split": "train",
                    }
                )
    archive = Archive.create(path)
    archive.add_images(pa.Table.from_pylist(rows))
    return archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """8 patients with a study of two views and one of one."""
    return make_archive(tmp_path_factory.mktemp("family") / "archive", {"1": ["pa", "lateral"], "12": ["ap"]})


def made(**settings: Any) -> MedAugMethod:
    torch.manual_seed(0)
    return MedAugMethod(MedAug(**{**SMALL, **settings})).train()


def level(views: Tensor) -> Tensor:
    """The gray of each square, rounded to the archive's tens: which image it is."""
    return (views.float().amax(dim=(-1, -2)) / 10).round().long() * 10


@pytest.mark.parametrize("study", ["any", "same", "different"])
def test_a_partner_is_of_the_patient_and_of_the_studies_asked_for(archive: Archive, study: str) -> None:
    method = made(study=study)
    examples = method.collect(Share(archive), "train")
    picks = np.repeat(np.arange(len(examples)), 20)
    batch = method.read(examples, picks, np.random.default_rng(0))
    own, partner = Facts(*batch.facts.unbind(1)), Facts(*batch.partner_facts.unbind(1))
    assert torch.equal(own.patient, partner.patient)
    assert len(own.patient.unique()) == 8
    same_study = own.study == partner.study
    assert bool(same_study.all()) == (study == "same")
    assert bool(same_study.any()) == (study != "different")


def test_counts_say_who_has_no_partner(archive: Archive) -> None:
    counts = made().collect(Share(archive), "train").counts
    assert counts == {"images": 24, "patients": 8, "images_without_partner": 8, "images_of_unknown_view": 0}


def test_without_self_pairs_an_image_is_paired_with_itself_only_for_want_of_others(archive: Archive) -> None:
    for self_pairs, share in ((True, 2 / 3), (False, 1 / 3)):
        method = made(self_pairs=self_pairs)
        picks = np.repeat(np.arange(24), 100)
        examples = method.collect(Share(archive), "train")
        batch = method.read(examples, picks, np.random.default_rng(0))
        alike = (batch.pixels == batch.partner_pixels).all(dim=(1, 2)).float().mean()
        assert float(alike) == pytest.approx(share, abs=0.03)


def test_the_queue_is_told_of_the_image_whose_key_it_holds_and_as_released_of_the_partner(archive: Archive) -> None:
    for compat in (None, "medaug"):
        method = made(compat=compat, laterality="different", augmentation="chexpert")
        examples = method.collect(Share(archive), "train")
        picks = np.array([0, 1, 3, 4])  # pa, lateral, pa, lateral
        batch = method.augment(method.read(examples, picks, np.random.default_rng(0)), torch.Generator().manual_seed(0))
        grays = level(batch.views)
        own, other = level(batch.pixels), level(batch.partner_pixels)
        assert (own != other).all()
        assert torch.equal(grays, torch.stack([other, own] if compat else [own, other], dim=1))
        rows = method.encode(batch)
        method.after_losses(batch, rows)
        held = method.slots.laterality[:4].tolist()
        of_keys = [FRONTAL, LATERAL, FRONTAL, LATERAL] if compat else [LATERAL, FRONTAL, LATERAL, FRONTAL]
        assert (held == of_keys) == (compat is None), "as released, the view that is noted is not the key's"
        assert rows["facts"][:, 2].tolist() == [FRONTAL, LATERAL, FRONTAL, LATERAL]


def test_whole_ids_are_told_apart_and_as_released_their_last_digits(archive: Archive) -> None:
    patients, studies = ["mimic-10000032", "mimic-20000032", "mimic-10000032"], ["s-2", "s-12", "s-10"]
    ours, theirs = made(), made(compat="medaug")
    assert len(set(ours.numbers(patients, 5).tolist())) == 2
    assert len(set(ours.numbers(studies, 1).tolist())) == 3
    assert (ours.numbers(patients, 5) >= 0).all()
    assert theirs.numbers(patients, 5).tolist() == [32, 32, 32]
    assert theirs.numbers(studies, 1).tolist() == [2, 2, 0]
    with pytest.raises(TrainingError, match=r"reads the last 5 characters of an id as a number.* got 'a1b2c3'"):
        theirs.numbers(["a1b2c3"], 5)


def test_an_unknown_view_is_neither_and_as_released_lateral(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive", {"1": ["pa", "lateral", "unknown"]})
    for compat, expected in ((None, [FRONTAL, LATERAL, UNKNOWN]), ("medaug", [FRONTAL, LATERAL, LATERAL])):
        examples = made(compat=compat).collect(Share(archive), "train")
        assert examples.facts[:3, 2].tolist() == expected
        assert examples.counts["images_of_unknown_view"] == 8


def filled(method: MedAugMethod, slots: int = 8) -> tuple[dict[str, Tensor], Facts]:
    """A full queue, half of it lateral, and rows of queries with some positives in it."""
    draws = torch.Generator().manual_seed(0)
    facts = torch.stack([torch.arange(slots) // 2 % 2, torch.zeros(slots, dtype=torch.int64), torch.arange(slots) % 2])
    method.queue.put(
        F.normalize(torch.randn(slots, 8, generator=draws), dim=1), **dict(zip(method.facts, facts, strict=True))
    )
    rows = {name: torch.randn(4, 8, generator=draws) for name in ("query", "key")}
    own = torch.tensor([[0, 0, FRONTAL], [1, 0, LATERAL], [5, 0, FRONTAL], [0, 1, UNKNOWN]])
    return {**rows, "facts": own}, Facts(*own.unbind(1))


def plain(method: MedAugMethod, rows: dict[str, Tensor]) -> Tensor:
    query, key = F.normalize(rows["query"], dim=1), F.normalize(rows["key"], dim=1)
    return contrast(query, key, method.queue.keys, 0.2)


def cross_entropy(logits: Tensor) -> float:
    return float(F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64)))


def test_without_hard_negatives_the_loss_is_moco_s_and_positives_are_left_out_on_request() -> None:
    method = made()
    rows, queries = filled(method)
    logits = plain(method, rows)
    assert float(method.losses(rows)["loss"]) == pytest.approx(cross_entropy(logits), abs=1e-6)
    masked = made(mask_positives=True)
    filled(masked)
    positive = hard.positives(queries, masked.slots, masked.recipe.policy)
    assert positive.sum().item() == 8
    expected = cross_entropy(hard.without(logits, positive))
    assert float(masked.losses(rows)["loss"]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["append", "synthesize"])
@pytest.mark.parametrize("compat", [None, "medaug"])
def test_images_of_the_query_s_study_are_not_appended_as_its_negatives_but_are_as_released(
    kind: str, compat: str | None
) -> None:
    method = made(hard_negatives=kind, append_share=0.5, compat=compat)  # 4 of 8 slots: all of a view
    rows, queries = filled(method)
    logits = plain(method, rows)
    sampled = hard.sample(method.slots, 4, method.draws(1))
    positive = hard.positives(queries, method.slots, method.recipe.policy)
    assert positive[:, sampled[FRONTAL]].any()
    columns = [logits, hard.appended(logits, sampled, queries, None if compat else positive)]
    if kind == "synthesize":
        draws = method.draws(1)
        hard.sample(method.slots, 4, draws)
        mixing = hard.draw_mixing(4, draws)
        left_out = None if compat else positive
        columns.append(hard.synthesized(logits, method.queue.keys, sampled, mixing, queries, left_out))
    expected = cross_entropy(torch.cat(columns, dim=1))
    assert float(method.losses(rows)["loss"]) == pytest.approx(expected, abs=1e-6)
    assert float(method.losses(rows)["loss"]) == float(method.losses(rows)["loss"]), "draws are of the step"
    counted = torch.isfinite(columns[1])
    assert counted[0].sum().item() == (4 if compat else 2)
    assert counted[3].sum().item() == 0, "of an unknown view nothing is known to be hard"


@pytest.mark.parametrize("kind", ["append", "synthesize", "reweight", "subsample"])
def test_until_the_queue_is_full_no_negative_is_special(kind: str) -> None:
    method = made(hard_negatives=kind, append_share=0.25)
    rows, _ = filled(method, slots=6)
    assert float(method.losses(rows)["loss"]) == pytest.approx(cross_entropy(plain(method, rows)), abs=1e-6)


def test_subsampling_leaves_out_easy_negatives_alone() -> None:
    method = made(hard_negatives="subsample", hard_share=0.8)
    rows, queries = filled(method)
    left_out = hard.thinned(method.slots, 0.8, method.draws(1))[queries.laterality.clamp(max=1)]
    left_out[3] = False
    assert left_out[:3].sum(dim=1).tolist() == [3, 3, 3]
    expected = cross_entropy(hard.without(plain(method, rows), left_out))
    assert float(method.losses(rows)["loss"]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("views", "settings", "message"),
    [
        ({"1": ["pa"]}, [], r"none of the 8 images of 8 patients .* has a partner under study=same.*pretrain moco-cxr"),
        ({"1": ["pa", "pa"]}, ["study=different"], "none of the 16 images"),
        ({"1": ["unknown", "unknown"]}, ["laterality=same"], r"\(16 of unknown view\)"),
        (
            {"1": ["pa", "ap"]},
            ["hard_negatives=reweight"],
            r"the split 'train' has 16 frontal, 0 lateral and 0 of unknown view\. Ingest with a column of views",
        ),
        (
            {"1": ["pa"] * 9 + ["lateral"]},
            ["hard_negatives=append", "queue=256", "append_share=0.5"],
            r"asks for 128 slots of each view; 10\.0% of the training images have the rarer one.* Give append_share=0\.025",
        ),
        ({"1": ["pa", "lateral"]}, ["hard_negatives=append", "append_share=0.01"], "of queue=16 is not one slot"),
        ({"1": ["pa", "lateral"]}, ["queue=20"], "queue=20 is not a multiple of batch_size=8"),
        ({"1": ["pa", "lateral"]}, ["hard_negatives=synthesise"], "Input should be 'none', 'append', 'synthesize'"),
        ({"x-": ["pa", "lateral"]}, ["compat=medaug"], "compat=medaug reads the last 1 characters"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    tmp_path: Path, views: dict[str, list[str]], settings: list[str], message: str
) -> None:
    archive = make_archive(tmp_path / "archive", views)
    with pytest.raises((TrainingError, RecipeError), match=message) as caught:
        pretrain("medaug", archive, tmp_path / "run", tiny=True, settings=[*FAST, *settings])
    assert isinstance(caught.value, HilumError)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["none", "append", "synthesize", "reweight", "lateral-only", "subsample"])
def test_every_kind_of_negatives_trains_to_a_model_that_can_be_loaded(
    tmp_path: Path, archive: Archive, kind: str
) -> None:
    settings = [*FAST, f"hard_negatives={kind}", "queue=48", "epochs=2", "append_share=0.05"]
    pretrain("medaug", [archive, archive], tmp_path / "run", tiny=True, settings=settings)
    model = hilum.Model.load(tmp_path / "run")
    assert np.isfinite(model.features(archive.pixels([0, 1, 2]))).all()
    assert model.provenance["counts"]["train"]["images_without_partner"] == 16


def test_the_variant_as_released_trains(tmp_path: Path, archive: Archive) -> None:
    pretrain("medaug", archive, tmp_path / "run", tiny=True, settings=[*FAST, "compat=medaug"])
    assert hilum.Model.load(tmp_path / "run").provenance["recipe"]["compat"] == "medaug"


def test_a_batch_takes_its_partners_along(archive: Archive) -> None:
    method = made()
    examples = method.collect(Share(archive), "train")
    batch = method.read(examples, np.arange(6), np.random.default_rng(0))
    joined = PairViews.join([batch.part(0, 2), batch.part(2, 6)]).take(torch.tensor([5, 0]))
    assert torch.equal(joined.partner_facts, batch.partner_facts[[5, 0]])
    assert torch.equal(joined.partner_pixels, batch.partner_pixels[[5, 0]])
    moved = batch.to(torch.device("meta"))
    assert moved.partner_sizes.device.type == "cpu", "boxes are drawn on the CPU"
    assert moved.partner_pixels.device.type == "meta"
