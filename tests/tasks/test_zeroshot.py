"""Zero-shot scores equal the original's, are computed once, and take any words but misspelled ones."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import hilum
from hilum.archive import Archive
from hilum.errors import ArchiveError, ModelError, UsageError
from hilum.models import Model, import_checkpoint
from hilum.models.zero_shot import PromptSet, finding_vectors, load_prompts, pair_scores
from hilum.tasks import embed, zeroshot
from hilum.tasks.scoring import check_findings

ORIGINAL = load_prompts("chexzero-original")


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "chexzero" / "model.npz") as saved:
        return {name: saved[name] for name in saved.files}


@pytest.fixture(scope="module")
def ensemble(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ensemble") / "model"
    files = [golden / "chexzero" / f"checkpoint_{letter}.pt" for letter in "ab"]
    import_checkpoint("chexzero", files, out, antialias=True)
    return out


@pytest.fixture
def golden_archive(arrays: dict, tmp_path: Path) -> Path:
    """The golden images as an archive."""
    archive = Archive.create(tmp_path / "archive")
    rows = [
        {
            "image_id": f"g{i}",
            "study_id": f"s{i}",
            "patient_id": f"p{i}",
            "source": "golden",
            "path": f"{i}.png",
            "view": "pa",
            "height": 320,
            "width": 320,
            "pixels": image.tobytes(),
            "split": "test",
        }
        for i, image in enumerate(arrays["images_u8"])
    ]
    archive.add_images(pa.Table.from_pylist(rows))
    return tmp_path / "archive"


def labels_of(arrays: dict) -> list[str]:
    return [str(label) for label in arrays["labels"]]


def test_an_ensemble_over_an_archive_gives_the_original_scores(
    ensemble: Path, golden_archive: Path, arrays: dict
) -> None:
    result = zeroshot(ensemble, golden_archive, labels_of(arrays), prompts=ORIGINAL, free_text=True)
    assert result.image_ids == ["g0", "g1", "g2", "g3"]
    assert np.abs(result.scores - arrays["prob_ensemble"]).max() <= 1e-5
    for k, member in enumerate(("checkpoint_a", "checkpoint_b")):
        one = zeroshot(ensemble / member, golden_archive, labels_of(arrays), prompts=ORIGINAL, free_text=True)
        assert np.abs(one.scores - arrays["prob_each"][k]).max() <= 1e-5


def test_cosines_and_several_templates_equal_the_original(ensemble: Path, arrays: dict) -> None:
    model = Model.load(ensemble / "checkpoint_a")
    images = model.embed_images(arrays["images_u8"])
    positive, negative = finding_vectors(model, labels_of(arrays), ORIGINAL)
    assert np.abs(images @ positive.T - arrays["pos_logits_a"]).max() <= 1e-5
    assert np.abs(images @ negative.T - arrays["neg_logits_a"]).max() <= 1e-5
    assert np.abs(pair_scores(images, positive, negative) - arrays["prob_a"]).max() <= 1e-6
    several = PromptSet("several", tuple(str(t) for t in arrays["multi_templates"]), ("no {}",))
    assert (
        np.abs(finding_vectors(model, labels_of(arrays), several)[0].T - arrays["zeroshot_weights_multi_a"]).max()
        <= 1e-5
    )


def test_a_second_query_embeds_nothing(ensemble: Path, golden_archive: Path) -> None:
    member = ensemble / "checkpoint_a"
    first = zeroshot(member, golden_archive, ["edema"])
    again = zeroshot(member, golden_archive, ["a lobster", "edema"])
    assert (first.embedded, again.embedded) == (4, 0)
    assert np.abs(first.scores[:, 0] - again.scores[:, 1]).max() < 1e-6


def test_a_stopped_embedding_goes_on(ensemble: Path, golden_archive: Path) -> None:
    member = ensemble / "checkpoint_a"
    assert embed(member, golden_archive, where="image_id IN ('g1', 'g3')").new == 2
    done = embed(member, golden_archive)
    assert (done.new, done.before) == (2, 2)
    assert embed(member, golden_archive).new == 0


def test_vectors_of_another_model_are_not_taken(ensemble: Path, golden_archive: Path) -> None:
    one = zeroshot(ensemble / "checkpoint_a", golden_archive, ["edema"])
    other = zeroshot(ensemble / "checkpoint_b", golden_archive, ["edema"])
    assert other.embedded == 4
    assert one.fingerprints != other.fingerprints


def test_the_csv_has_a_row_for_each_image_in_the_filter(ensemble: Path, golden_archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "scores.csv"
    zeroshot(ensemble, golden_archive, ["effusion", "scimitar sign"], where="image_id != 'g2'", out=out)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == ["g0", "g1", "g3"]
    assert list(rows[0]) == ["image_id", "study_id", "patient_id", "Pleural Effusion", "scimitar sign"]
    assert all(0.11 < float(row["Pleural Effusion"]) < 0.89 for row in rows)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("pleural efusion", "Pleural Effusion"),
        ("pnuemothorax", "Pneumothorax"),
        ("Cardiomegally", "Cardiomegaly"),
        ("left plural effusion", "left pleural effusion"),
        ("atelectesis", "Atelectasis"),
    ],
)
def test_a_misspelled_finding_is_refused_with_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean '{meant}'"):
        check_findings([name])
    assert check_findings([name], free_text=True) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "left pleural effusion",
        "enlarged azygos vein",
        "nipple shadow",
        "large right pneumothorax",
        "tension",
        "rib notching",
    ],
)
def test_free_words_are_taken_as_findings(name: str) -> None:
    assert check_findings([name]) == [name]


def test_one_finding_under_two_names_is_refused() -> None:
    with pytest.raises(UsageError, match="Pleural Effusion: named more than once"):
        check_findings(["effusion", "Pleural_Effusion"])


def test_no_finding_is_not_asked_as_no_no_finding() -> None:
    positive, negative = load_prompts("chexzero").prompts("No Finding")
    assert not any("no no" in prompt.lower() for prompt in [*positive, *negative])
    assert ORIGINAL.prompts("No Finding") == (["No Finding"], ["no No Finding"])


def test_what_is_not_there_is_named(ensemble: Path, golden_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image fits"):
        zeroshot(ensemble, golden_archive, ["edema"], where="split = 'train'")
    with pytest.raises(ArchiveError, match="nope"):
        zeroshot(ensemble, golden_archive, ["edema"], where="nope = 1")
    with pytest.raises(ModelError, match="expected a model folder"):
        zeroshot(tmp_path / "nothing", golden_archive, ["edema"])
    with pytest.raises(UsageError, match="no prompt set 'chexzro'"):
        zeroshot(ensemble, golden_archive, ["edema"], prompts="chexzro")
    with pytest.raises(ModelError, match="is an ensemble of 2 models"):
        Model.load(ensemble)


def test_own_prompts_come_from_a_toml_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'positive = ["signs of {}"]\nnegative = ["free of {}"]\n[special.Edema]\npositive = ["wet"]\nnegative = ["dry"]\n'
    )
    prompts = load_prompts(mine)
    assert prompts.prompts("mass") == (["signs of mass"], ["free of mass"])
    assert prompts.prompts("edema") == (["wet"], ["dry"])
    mine.write_text('positive = ["signs of {}"]\n')
    with pytest.raises(UsageError, match="it needs the lists 'positive' and 'negative'"):
        load_prompts(mine)


def test_damaged_model_folders_are_named(ensemble: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(ensemble / "checkpoint_a", tmp_path / name))

    short = copy("short")
    (short / "model.safetensors").write_bytes((short / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        hilum.Model.load(short)
    newer = copy("newer")
    (newer / "config.json").write_text(
        (newer / "config.json").read_text().replace('"format_version": 1', '"format_version": 9')
    )
    with pytest.raises(ModelError, match="newer than this hilum"):
        hilum.Model.load(newer)
    other = copy("other")
    (other / "config.json").write_text(
        (other / "config.json").read_text().replace('"embed_dim": 64', '"embed_dim": 32')
    )
    with pytest.raises(ModelError, match="of another shape"):
        hilum.Model.load(other)
