"""Label sets name findings as the labels table spells them, and say how doubt counts."""

from __future__ import annotations

import pytest

from hilum.errors import UsageError
from hilum.findings import CHEXPERT_NAMES, LabelValue, canonical
from hilum.labelsets import LABEL_SETS, LabelSet, label_set


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=lambda labels: labels.name)
def test_classes_are_spelled_as_the_archive_spells_them(labels: LabelSet) -> None:
    assert [canonical(name) for name in labels.classes] == list(labels.classes)
    assert len(set(labels.classes)) == len(labels.classes)
    assert set(labels.uncertain) <= set(labels.classes)
    assert (labels.task == "binary") == (len(labels.classes) == 1)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("chexpert-14", 14),
        ("nih-14", 14),
        ("vindr-18", 18),
        ("vindr-27", 27),
        ("ranzcr-11", 11),
        ("brax-14", 14),
        ("padchest-9", 9),
        ("reflacx-9", 9),
        ("openi-20", 20),
        ("edema-severity", 4),
        ("jsrt-subtlety", 6),
    ],
)
def test_each_set_has_the_published_number_of_classes(name: str, classes: int) -> None:
    assert len(label_set(name).classes) == classes


def test_brax_has_the_findings_of_chexpert_in_its_own_order() -> None:
    brax = label_set("brax-14").classes
    assert set(brax) == set(CHEXPERT_NAMES)
    assert brax != CHEXPERT_NAMES


def test_choices_that_no_publication_confirms_are_marked() -> None:
    unconfirmed = {name for name, labels in LABEL_SETS.items() if not labels.confirmed}
    assert unconfirmed == {"vindr-18", "padchest-9", "reflacx-9", "openi-20"}


def test_doubt_and_silence_count_as_the_set_says() -> None:
    five, nih = label_set("chexpert-5"), label_set("nih-14")
    assert [five.target(name, LabelValue.UNCERTAIN) for name in five.classes] == [1, 0, 0, 1, 1]
    assert label_set("chexpert-14").target("Fracture", LabelValue.UNCERTAIN) is None
    assert (five.target("Edema", None), nih.target("Edema", None)) == (0, None)
    assert five.target("Edema", LabelValue.NOT_MENTIONED) == 0
    assert [nih.target("Edema", value) for value in (LabelValue.POSITIVE, LabelValue.NEGATIVE)] == [1, 0]


def test_a_misspelled_set_is_answered_with_the_closest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'edema-severity'"):
        label_set("edema-severty")
    assert label_set("Edema-Severity").name == "edema-severity"
