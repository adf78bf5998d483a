"""Which two images of a study are drawn, by how many kinds of view it has."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from hilum.methods.views import StudyViews, pick_two


def of(*views: str | None) -> StudyViews:
    """One study with images of these views."""
    return StudyViews.of(["s"] * len(views), list(views))


def drawn(views: StudyViews, number: int = 0, times: int = 600, **how: bool) -> Counter[tuple[int, int]]:
    draws = random.Random(0)
    return Counter(pick_two(views, number, draws, **how) for _ in range(times))


def test_images_are_grouped_by_study_in_the_order_they_first_come() -> None:
    views = StudyViews.of(["b", "a", "b", "a", "c"], ["pa", "ap", "lateral", "ap_supine", None])
    assert views.study_ids == ["b", "a", "c"]
    assert [views.of_study(i).tolist() for i in range(3)] == [[0, 2], [1, 3], [4]]
    assert list(views.kinds) == ["PA", "AP", "Lateral", "AP", "other"]


def test_some_of_the_studies_keep_the_positions_of_their_images() -> None:
    views = StudyViews.of(["b", "a", "b", "c"], ["pa"] * 4).only([2, 0])
    assert views.study_ids == ["c", "b"]
    assert [views.of_study(i).tolist() for i in range(2)] == [[3], [0, 2]]
    assert len(views.only([])) == 0


def test_a_single_image_is_its_own_second_view() -> None:
    assert set(drawn(of("pa"))) == {(0, 0)}
    assert pick_two(of("pa"), 0, None) == (0, 0)


def test_of_one_kind_two_different_images_are_drawn_all_pairs_alike() -> None:
    counts = drawn(of("ap", "ap_supine", "ap"), times=3000)
    assert set(counts) == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_of_two_kinds_two_images_are_drawn_from_all_whatever_their_kinds() -> None:
    assert set(drawn(of("pa", "lateral", "pa"))) == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}


def test_of_three_kinds_two_kinds_are_drawn_and_an_image_of_each() -> None:
    views = of("ap", "pa", "pa", "lateral")
    counts = drawn(views, times=2000)
    assert all(views.kinds[a] != views.kinds[b] for a, b in counts)
    assert {frozenset((views.kinds[a], views.kinds[b])) for a, b in counts} == {
        frozenset(pair) for pair in (("AP", "PA"), ("AP", "Lateral"), ("PA", "Lateral"))
    }
    assert {1, 2} <= {image for pair in counts for image in pair}


def test_as_released_three_kinds_give_two_images_of_one_kind() -> None:
    views = of("ap", "pa", "pa", "lateral")
    counts = drawn(views, times=2000, last_kind_only=True)
    assert all(views.kinds[a] == views.kinds[b] for a, b in counts)
    assert {(0, 0), (3, 3), (1, 2), (2, 1)} <= set(counts)
    # of two images and a repeat of one of them, a third of the draws without replacement is that image twice
    same, different = counts[(1, 1)] + counts[(2, 2)], counts[(1, 2)] + counts[(2, 1)]
    assert same / (same + different) == pytest.approx(1 / 3, abs=0.06)


@pytest.mark.parametrize("last_kind_only", [False, True])
def test_as_released_fewer_kinds_are_drawn_as_ever(last_kind_only: bool) -> None:
    assert set(drawn(of("pa", "lateral"), last_kind_only=last_kind_only)) == {(0, 1), (1, 0)}


@pytest.mark.parametrize(
    ("views", "last_kind_only", "pair"),
    [
        (("pa", "lateral", "pa"), False, (0, 1)),
        (("pa", "pa", "lateral", "ap"), False, (0, 2)),
        (("pa", "pa", "lateral", "ap"), True, (2, 2)),
    ],
)
def test_a_fixed_choice_takes_the_first(views: tuple[str, ...], last_kind_only: bool, pair: tuple[int, int]) -> None:
    assert pick_two(of(*views), 0, None, last_kind_only) == pair


def test_the_draws_alone_decide() -> None:
    views = of("ap", "pa", "lateral", "pa")
    assert [pick_two(views, 0, random.Random(3)) for _ in range(5)] == [pick_two(views, 0, random.Random(3))] * 5
