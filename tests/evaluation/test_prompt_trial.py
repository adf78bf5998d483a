"""Two wordings are measured on the same images, as the metric itself would measure each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hilum.archive import Archive
from hilum.errors import EvaluationError, UsageError
from hilum.evaluation.metrics import auroc
from hilum.evaluation.prompt_trial import Wording, labels_of, lines_of, truth_of, try_prompts
from hilum.models.zero_shot import pair_scores
from tests.conftest import make_small_archive


class Words:
    """A text tower that knows two directions: bright and dark."""

    fingerprint, name, embed_dim = "words", "words", 2

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        known = {"bright": (1, 0), "dark": (0, 1), "both": (1, 1)}
        vectors = np.array([known[text] for text in texts], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Disks whose vectors say, with noise, how bright they are."""
    archive = Archive.open(make_small_archive(tmp_path_factory.mktemp("trial") / "archive", labels=True))
    bright = np.arange(96) % 2
    noise = np.random.default_rng(0).normal(0, 0.5, (96, 2))
    archive.add_embeddings("words", [f"i{i}" for i in range(96)], np.stack([bright, 1 - bright], 1) + noise)
    return archive


BRIGHT, DARK = Wording(("bright",), ("dark",)), Wording(("dark",), ("bright",))


def test_each_wording_has_the_auroc_of_its_scores(archive: Archive) -> None:
    truth = truth_of(labels_of(archive, "dataset:disks"), "Pleural Effusion")
    trial = try_prompts(Words(), archive, "Pleural Effusion", truth, DARK, BRIGHT)  # type: ignore[arg-type]
    kept = archive.embeddings("words")
    assert kept is not None
    units = kept.vectors / np.linalg.norm(kept.vectors, axis=1, keepdims=True)
    scores = pair_scores(units, np.eye(2, dtype=np.float32)[:1], np.eye(2, dtype=np.float32)[1:])[:, 0]
    expected = auroc(np.arange(96) % 2, scores)
    assert trial.after.auroc == pytest.approx(expected)
    assert trial.before.auroc == pytest.approx(1 - expected)
    assert trial.difference == pytest.approx(2 * expected - 1)
    assert trial.difference_low is not None
    assert trial.difference_low > 0
    assert (trial.n, trial.n_positive, trial.patients, trial.not_embedded) == (96, 48, 96, 0)
    assert sum(trial.after.positives) == sum(trial.after.negatives) == 48


def test_the_same_words_differ_by_nothing(archive: Archive) -> None:
    truth = truth_of(labels_of(archive, "dataset:disks", "val"), "Pneumothorax")
    trial = try_prompts(Words(), archive, "Pneumothorax", truth, DARK, DARK)  # type: ignore[arg-type]
    assert (trial.difference, trial.difference_low, trial.difference_high) == (0, 0, 0)
    assert trial.n == 32


def test_doubt_is_left_out_and_silence_counts_as_told() -> None:
    table = pa.table(
        {
            "image_id": ["a", "b", "c", "d"], "study_id": ["a", "b", "c", "d"], "patient_id": ["a", "b", "c", "d"],
            "split": [None] * 4, "Edema": pa.array([1, 0, -1, None], pa.int8()),
        }
    )  # fmt: skip
    read = truth_of(table, "Edema")
    assert (read.image_ids, read.positive.tolist(), read.left_out) == (("a", "b", "d"), [True, False, False], 1)
    strict = truth_of(table, "Edema", "left out")
    assert (strict.image_ids, strict.left_out) == (("a", "b"), 2)
    with pytest.raises(UsageError, match="Findings with labels: Edema"):
        truth_of(table, "Edem")


def test_images_all_alike_are_an_error_in_words(archive: Archive) -> None:
    truth = truth_of(labels_of(archive, "dataset:disks"), "Pleural Effusion")
    alike = type(truth)(truth.image_ids, truth.patient_ids, np.ones(96, bool), 0)
    with pytest.raises(EvaluationError, match="needs both kinds"):
        try_prompts(Words(), archive, "Pleural Effusion", alike, DARK, BRIGHT)  # type: ignore[arg-type]


def test_images_that_are_not_embedded_are_an_error_in_words(tmp_path: Path) -> None:
    archive = Archive.open(make_small_archive(tmp_path / "archive", count=8, labels=True))
    truth = truth_of(labels_of(archive, "dataset:disks"), "Pleural Effusion")
    with pytest.raises(EvaluationError, match="hilum embed"):
        try_prompts(Words(), archive, "Pleural Effusion", truth, DARK, BRIGHT)  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [(), ("",), (" ",), ("x",) * 33, ("x" * 301,)])
def test_wordings_that_say_nothing_or_too_much_are_refused(side: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        Wording(side, ("x",))


def test_prompts_stand_as_they_are_written() -> None:
    assert lines_of(" no {} \n\n{x}") == ("no {}", "{x}")
