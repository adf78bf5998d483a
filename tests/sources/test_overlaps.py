"""Known overlaps are symmetric, name real sources, and tell which images to leave out."""

from __future__ import annotations

from hilum.sources import OVERLAPS, SOURCES
from hilum.sources.overlaps import overlap_of, overlaps, seen_images


def test_overlaps_name_sources_and_each_pair_once() -> None:
    assert {name for overlap in OVERLAPS for name in (overlap.a, overlap.b)} <= set(SOURCES)
    assert len({frozenset((overlap.a, overlap.b)) for overlap in OVERLAPS}) == len(OVERLAPS)


def test_the_published_overlaps_are_there() -> None:
    for a, b in (("ranzcr", "nih"), ("siim", "nih"), ("rsna", "nih"), ("reflacx", "mimic"), ("edema", "mimic")):
        found = overlap_of(b, a)
        assert found is not None
        assert found.other(a) == b
    assert overlap_of("padchest", "nih") is None
    assert {(o.a, o.b) for o in overlaps(["mimic", "edema", "reflacx", "jsrt"])} == {
        ("edema", "mimic"),
        ("reflacx", "mimic"),
        ("reflacx", "edema"),
    }


def test_images_of_shared_patients_are_named() -> None:
    overlap = overlap_of("edema", "mimic")
    assert overlap is not None
    target = [("edema-1", "mimic-1", "edema"), ("edema-2", "mimic-2", "edema"), ("x", "mimic-1", "jsrt")]
    assert seen_images(overlap, target, [("mimic-1", "mimic"), ("mimic-2", "jsrt")]) == ["edema-1"]


def test_images_without_a_comparable_patient_may_have_been_seen() -> None:
    overlap = overlap_of("rsna", "nih")
    assert overlap is not None
    target = [("a", "nih-1", "rsna"), ("b", "nih-2", "rsna"), ("c", "rsna-c", "rsna")]
    assert seen_images(overlap, target, [("nih-1", "nih")]) == ["a", "c"]
    assert seen_images(overlap, [("x", "nih-9", "nih")], [("nih-1", "rsna"), ("rsna-c", "rsna")]) == ["x"]


def test_where_nothing_tells_which_are_shared_all_are_named() -> None:
    overlap = overlap_of("siim", "nih")
    assert overlap is not None
    target = [("a", "siim-a", "siim"), ("b", "siim-b", "siim")]
    assert seen_images(overlap, target, [("nih-1", "nih")]) == ["a", "b"]
    assert seen_images(overlap, target, [("jsrt-1", "jsrt")]) == []
