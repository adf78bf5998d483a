"""The filter language says what SQL would, knows only its own words, and names columns when it is misused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.tasks.search.filters import DEEPEST, LONGEST, parse
from hilum.tasks.search.gallery import MASKS_KEPT, Gallery

PEOPLE = (
    {"view": "pa", "sex": "F", "age_years": 30.0, "split": "train", "study_order": 0, "source": "a"},
    {"view": "ap", "sex": "M", "age_years": 65.0, "split": "test", "study_order": 1, "source": "b"},
    {"view": "lateral", "sex": None, "age_years": None, "split": "test", "study_order": 2, "source": "b"},
    {"view": "pa", "sex": "M", "age_years": 80.0, "split": None, "study_order": None, "source": "o'neill"},
)


@pytest.fixture
def gallery(people: Callable[..., Archive]) -> Gallery:
    archive = people(*PEOPLE)
    said = [
        ("s0", None, "Edema", "positive", "rules@1"),
        ("s1", None, "Edema", "negative", "rules@1"),
        ("s1", None, "Edema", "positive", "dataset:x"),
        (None, "i2", "Edema", "uncertain", "dataset:x"),
        ("s3", None, "Fracture", "positive", "rules@1"),
    ]
    names = ("study_id", "image_id", "finding", "value", "said_by")
    archive.add_labels(pa.Table.from_pylist([dict(zip(names, one, strict=True)) for one in said]))
    return Gallery(Archive.open(archive.path))


def holds(gallery: Gallery, where: str) -> list[int]:
    allowed = gallery.allowed(where)
    assert allowed is not None
    return [int(place) for place in allowed.nonzero()[0]]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("view = 'pa'", [0, 3]),
        ("VIEW = 'PA' and SEX = 'm'", [3]),
        ("view != 'pa'", [1, 2]),
        ("age > 60", [1, 3]),
        ("NOT age > 60", [0]),  # an image without an age fits neither
        ("age_years IS NULL", [2]),
        ("sex IS NOT NULL", [0, 1, 3]),
        ("age BETWEEN 30 AND 65", [0, 1]),
        ("age NOT BETWEEN 30 AND 65", [3]),
        ("view IN ('ap', 'lateral')", [1, 2]),
        ("sex NOT IN ('F')", [1, 3]),
        ("view = 'pa' OR view = 'ap' AND age > 70", [0, 3]),  # AND binds closer
        ("(view = 'pa' OR view = 'ap') AND age > 60", [1, 3]),
        ("study_order >= 1", [1, 2]),
        ("order <> 1", [0, 2]),
        ("source = 'o''neill'", [3]),
        ("patient_id = 'p2'", [2]),
        ("label('Edema') = 'positive'", [0, 1]),
        ("label('pulmonary edema') != 'positive'", [2, 3]),
        ("label('Edema', 'dataset') = 'positive'", [1]),
        ("label('Edema', 'rules@1') IN ('positive', 'negative')", [0, 1]),
        ("label('Edema') IS NULL", [3]),
        ("label('Edema') IS NOT NULL AND NOT split = 'train'", [1, 2]),
        ("label('Fracture') = 'positive'", [3]),
    ],
)
def test_a_filter_holds_for_the_images_it_says(gallery: Gallery, where: str, expected: list[int]) -> None:
    assert holds(gallery, where) == expected


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("veiw = 'pa'", "Did you mean 'view'"),
        ("view = pa", "put pa in single quotes"),
        ('view = "pa"', "single quotes"),
        ("view = 'pa", "no closing single quote"),
        ("view = 'frontal'", "pa, ap, ap_supine, lateral, unknown"),
        ("split = 'dev'", "train, val, test"),
        ("sex = 'female'", "Values of sex in this archive: F, M"),
        ("age > 'old'", "compared with a number"),
        ("view > 'pa'", "needs a column of numbers"),
        ("view LIKE 'p%'", "LIKE is not of this language"),
        ("view =", "missing at the end"),
        ("view = 'pa' AND", "missing at the end"),
        ("", None),
        ("(view = 'pa'", "expected '\\)'"),
        ("view = 'pa')", "not expected after a whole condition"),
        ("view = 'pa' sex = 'F'", "AND or OR"),
        ("label('Edema') = 'yes'", "never 'yes'"),
        ("label('Edma') = 'positive'", "Did you mean 'Edema'"),
        ("label('Edema', 'nobody') = 'positive'", "Speakers: dataset:x, rules@1"),
        ("label('Edema') > 'positive'", "compared by =, !=, IN or IS NULL"),
        ("NOT", "missing at the end"),
        ("age > 1e5", "cannot be read|expected"),
        ("view = 'pa' -- hidden", "cannot be read"),
        ("view = 'pa'; DROP TABLE images", "cannot be read"),
        ("1 = 1", "expected a column"),
        ("pixels IS NOT NULL", "no column 'pixels'"),
        ("path = 'x'", "no column 'path'"),
        ("length(view) = 2", "no column 'length'"),
        ("view = (SELECT 1)", "single quotes"),
        ("(" * (DEEPEST + 2) + "view = 'pa'" + ")" * (DEEPEST + 2), "brackets within each other"),
        ("view = 'pa' OR " * LONGEST, "characters long"),
    ],
)
def test_what_is_not_of_the_language_is_refused_in_words(gallery: Gallery, where: str, said: str | None) -> None:
    if said is None:
        assert gallery.allowed(where) is None
        return
    with pytest.raises(UsageError, match=said):
        gallery.allowed(where)


def test_the_masks_of_filters_are_kept_for_a_while_and_cannot_be_written(gallery: Gallery) -> None:
    first = gallery.allowed("age > 60")
    assert first is not None
    assert gallery.allowed("age > 60") is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = True
    for age in range(MASKS_KEPT):
        gallery.allowed(f"age > {age}")
    again = gallery.allowed("age > 60")
    assert again is not first
    assert again.tolist() == first.tolist() == [False, True, False, True]


def test_an_unknown_column_is_answered_with_all_columns(gallery: Gallery) -> None:
    with pytest.raises(
        UsageError, match=r"Columns: view, sex, split, source, age_years, study_order.*label\('Edema'\)"
    ):
        gallery.allowed("colour = 'red'")


def test_an_archive_without_labels_says_how_to_get_some(people: Callable[..., Archive]) -> None:
    with pytest.raises(UsageError, match="hilum label ARCHIVE"):
        Gallery(people(*PEOPLE)).allowed("label('Edema') = 'positive'")


WORDS = (
    *("view", "age", "'pa'", "'", "=", "AND", "OR", "NOT", "(", ")", "IN", ",", "BETWEEN", "60", "IS", "NULL", "label"),
    *("'Edema'", "--", ";", '"', "\\", "\x00", "é", "<"),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_words_are_a_filter_or_a_usage_error(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        assert parse(" ".join(words)).text == " ".join(words)
