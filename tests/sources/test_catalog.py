"""Every source describes itself, and refuses a folder that is not its own with what is missing and what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hilum.errors import HilumError, SourceError, UsageError
from hilum.findings import canonical
from hilum.labelsets import LABEL_SETS
from hilum.sources import SOURCES, ingest
from hilum.sources.description import LAYOUTS, datasets_table, describe, label_sets_table, overlaps_table
from hilum.sources.splitting import SPLITTING, Splitting

DATASETS = [name for name in SOURCES if name not in LAYOUTS]
SETTINGS = {"tbportals": {"columns": {"image": "i", "patient_id": "p", "smear": "s"}}}
TARGETS = (
    *(
        "brax",
        "chexpert",
        "chexpert-5x200",
        "covid",
        "edema",
        "jsrt",
        "medmnist",
        "mimic",
        "montgomery",
        "nih",
        "openi",
    ),
    *("padchest", "pediatric", "ranzcr", "reflacx", "rsna", "shenzhen", "siim", "tbportals", "vindr"),
)


def test_all_target_datasets_are_there() -> None:
    assert set(TARGETS) == set(DATASETS)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_says_all_of_itself(name: str) -> None:
    source = SOURCES[name]
    assert source.name == name
    for attribute in ("title", "task", "size", "split", "licence", "where", "layout"):
        assert getattr(source, attribute), attribute
    assert [canonical(finding) for finding in source.outputs] == list(source.outputs)
    assert source.outputs or name in LAYOUTS
    assert sum(source.train_val.values()) == pytest.approx(1)
    assert describe(name)[-1][1] == source.__doc__.strip().replace("\n    ", "\n")


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_refused_with_what_is_missing(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HilumError) as refused:
        ingest(name, tmp_path / "empty", tmp_path / "a", workers=0, **SETTINGS.get(name, {}))
    said = str(refused.value)
    assert str(tmp_path / "empty") in said
    assert any(word in said for word in ("lacks", "has no", "has none", "is a folder"))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "tbportals"])
def test_a_folder_of_something_else_is_refused_with_what_is_there(name: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.doc").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"holds: holiday\.doc"):
        ingest(name, tmp_path / "other", tmp_path / "a", workers=0)


@pytest.mark.parametrize("name", DATASETS)
def test_a_path_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(HilumError, match=r"does not exist|cannot be read"):
        ingest(name, tmp_path / "gone", tmp_path / "a", workers=0, **SETTINGS.get(name, {}))


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=lambda labels: labels.name)
def test_the_sources_of_a_label_set_state_its_classes(labels: object) -> None:
    for name in labels.sources:  # type: ignore[attr-defined]
        stated = set(SOURCES[name].outputs)
        assert set(labels.classes) <= stated, name  # type: ignore[attr-defined]


def test_an_unknown_source_or_setting_is_answered_with_the_known() -> None:
    with pytest.raises(UsageError, match="Did you mean 'padchest'"):
        describe("padchset")
    with pytest.raises(UsageError, match="source 'vindr' has no setting 'reader'"):
        ingest("vindr", "x", "y", reader="any")


@pytest.fixture(scope="module")
def page() -> str:
    return (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [datasets_table, label_sets_table, overlaps_table])
def test_the_tables_of_the_documentation_are_true(page: str, table: Callable[[], str]) -> None:
    assert table() in page


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_its_part_in_the_documentation(page: str, name: str) -> None:
    section = page.partition(f"### {name}\n")[2].partition("\n### ")[0]
    source = SOURCES[name]
    for words in (source.title, source.where, source.layout, "**Labels.**", *source.unconfirmed):
        assert words in section, words
    assert bool(source.unconfirmed) == ("**Unconfirmed.**" in section)


@pytest.mark.parametrize("how", SPLITTING)
def test_shares_of_train_and_val_are_recorded(how: str) -> None:
    splitting = Splitting.settle({}, "vindr", how, 3, None, {"train": 0.8, "val": 0.2})
    assert splitting.record()["train_val"] == {"train": 0.8, "val": 0.2}
