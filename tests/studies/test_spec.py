"""study.toml says what it means, or an error says where it does not; each cell is there once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hilum.errors import UsageError
from hilum.studies import Study, cells_of, load_study
from tests.studies.conftest import SETTINGS


def test_paths_are_relative_to_the_file(study_file: Path) -> None:
    study = load_study(study_file)
    assert study.models[0].folder == str(study_file.parent / "ours")
    assert study.datasets[0].archive == str(study_file.parent / "archive")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("fractions", "fraction"), r"there is no setting 'fraction'. Did you mean 'fractions'"),
        (
            ("least_positives", "least_positive"),
            r"no setting 'statistics.least_positive'. Did you mean 'least_positives'",
        ),
        (('folder = "ours"', ""), r"model 'ours': give one of folder, checkpoint or init .got none"),
        (('folder = "ours"', 'checkpoint = "a.pt"'), r"model 'ours': a checkpoint needs a release"),
        (('name = "base"\nfolder', 'name = "ours"\nfolder'), r"models: two are named 'ours'"),
        (("[1.0, 0.5]", "[1.0, 1.5]"), r"fractions: 1.5 is no share above 0 and at most 1"),
        (('["probe"]', '["prob"]'), r"adaptations.0: Input should be 'zero-shot', 'probe' or 'finetune'"),
        (('name = "ours"', 'name = "../ours"'), r"models.0.name: String should match pattern"),
        (("replicates = 50", "replicates = = 50"), r"not TOML"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(study_file: Path, change: tuple[str, str], message: str) -> None:
    study_file.write_text(SETTINGS.replace(*change))
    with pytest.raises(UsageError, match=message):
        load_study(study_file)


def test_a_file_that_is_not_there_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"study.toml: cannot be read"):
        load_study(tmp_path / "study.toml")


def study(**changes: object) -> Study:
    models = [{"name": name, "folder": name} for name in ("a", "b")]
    return Study.model_validate({"models": models, "datasets": [{"name": "d", "archive": "d"}], **changes})


def test_what_does_not_depend_on_part_or_seed_is_there_once() -> None:
    cells = cells_of(study(adaptations=["zero-shot", "probe", "finetune"], fractions=[1.0, 0.1], seeds=[0, 1, 2]))
    assert len(cells) == len({cell.name for cell in cells})
    of_a = [cell for cell in cells if cell.model == "a"]
    counts = {kind: sum(cell.adaptation == kind for cell in of_a) for kind in ("zero-shot", "probe", "finetune")}
    assert counts == {"zero-shot": 1, "probe": 1 + 3, "finetune": 3 + 3}


def test_a_value_given_twice_makes_no_second_cell() -> None:
    assert len(cells_of(study(fractions=[0.1, 0.1], seeds=[3, 3], shots=[5, 5]))) == 2 * 2


def test_imagenet_and_random_need_no_more_than_their_names() -> None:
    found = study(models=[{"name": "imagenet"}, {"name": "random", "tower": "resnet18"}])
    assert [model.init for model in found.models] == ["imagenet", "random"]
