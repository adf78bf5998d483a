"""A search finds what it is asked for, keeps to its filter, and sees what was added."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_small_archive
from tests.tasks.search.conftest import Seeing

from hilum.archive import Archive, VectorTable
from hilum.errors import UsageError
from hilum.tasks import embed
from hilum.tasks.search import Search, by_words
from hilum.tasks.text_cache import embed_reports


def numbers(hits: list) -> list[int]:
    return [int(hit.image_id[1:]) for hit in hits]


def test_a_text_finds_the_images_that_show_it(search: Search) -> None:
    hits = search.by_text("Left effusion", k=24)
    assert all(n % 4 == 3 for n in numbers(hits))  # bright and left
    assert len(hits) == 24
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert -1 <= hits[-1].score <= hits[0].score <= 1 + 1e-6
    assert {hit.found_by for hit in hits} == {"text"}


def test_a_hit_tells_its_image(search: Search) -> None:
    (hit,) = search.by_text("Left effusion", k=1)
    (image,) = search.archive.images(where=f"image_id = '{hit.image_id}'").to_pylist()
    told = {name: getattr(hit, name) for name in ("study_id", "row", "view", "split", "sex", "age_years")}
    assert told == {name: image[name] for name in told}


def test_a_filter_is_kept_and_may_leave_fewer(search: Search) -> None:
    hits = search.by_text("Left effusion", k=50, where="split = 'test' AND label('Pleural Effusion') = 'positive'")
    assert len(hits) == 8
    assert all(hit.split == "test" and n % 2 for hit, n in zip(hits, numbers(hits), strict=True))
    assert search.by_text("Left effusion", where="age > 1000") == []


def test_an_image_of_the_archive_is_not_among_its_own_neighbors(search: Search) -> None:
    hits = search.by_image(image_id="i7", k=95)
    assert 7 not in numbers(hits)
    assert len(hits) == 95
    assert all(n % 4 == 3 for n in numbers(hits)[:23])


def test_an_image_left_out_of_its_own_neighbors_is_found_by_the_next_who_filters_alike(search: Search) -> None:
    where = "split IN ('train', 'val', 'test')"
    assert 7 not in numbers(search.by_image(image_id="i7", k=96, where=where))
    assert 7 in numbers(search.by_text("Left effusion", k=96, where=where))


def test_pixels_find_what_their_image_finds_and_itself(search: Search) -> None:
    pixels = search.archive.pixels([7])[0]
    assert numbers(search.by_image(pixels, k=24)) != numbers(search.by_image(image_id="i7", k=24))
    assert 7 in numbers(search.by_image(pixels, k=24))
    with pytest.raises(UsageError, match="one of the two"):
        search.by_image(pixels, image_id="i7")
    with pytest.raises(UsageError, match="no image 'x'"):
        search.by_image(image_id="x")


def test_words_and_text_are_fused_and_each_says_what_found_it(search: Search) -> None:
    hits = search.by_text("Left effusion", words="right", k=96)
    found_by = {hit.image_id: hit.found_by for hit in hits}
    assert set(found_by.values()) == {"text", "text+words"}  # all 48 "Right ..." are among the 96 nearest
    assert sum(way == "text+words" for way in found_by.values()) == 48
    near = numbers(search.by_text("Left effusion", k=96))
    said = numbers(search.by_words("right", k=96))
    for hit, n in zip(hits, numbers(hits), strict=True):
        expected = 1 / (61 + near.index(n)) + (1 / (61 + said.index(n)) if n in said else 0)
        assert hit.score == pytest.approx(expected)


def test_words_alone_need_no_model(disks: Path) -> None:
    hits = by_words(disks, '"no effusion"', k=100, where="split = 'val'")
    assert len(hits) == 16
    assert all(n % 2 == 0 for n in numbers(hits))


def test_reports_that_fit_an_image_come_once_with_their_copies(search: Search) -> None:
    first, *others = search.reports(image_id="i7", k=10)
    assert first.text == "Left effusion. No pneumothorax."
    assert (first.copies, first.is_own, first.study_id) == (24, True, "s3")
    assert len(others) == 3  # there are four different texts
    assert not any(other.is_own for other in others)
    (own,) = search.reports(image_id="i7", k=1, where="split = 'test'")
    assert own.copies == 4
    assert own.study_id in {f"s{n}" for n in range(20, 96)}


def test_kept_report_vectors_are_not_made_again_and_a_search_writes_nothing(own_disks: Path, seeing: Seeing) -> None:
    before = sorted(place.stat().st_mtime_ns for place in own_disks.rglob("*"))
    search = Search(seeing, own_disks)
    search.reports(image_id="i0")
    assert seeing.texts_embedded == 4
    assert sorted(place.stat().st_mtime_ns for place in own_disks.rglob("*")) == before
    assert embed_reports(seeing, own_disks) == 4
    seeing.texts_embedded = 0
    Search(seeing, own_disks).reports(image_id="i0")
    assert embed_reports(seeing, own_disks) == 4
    assert seeing.texts_embedded == 0


def test_a_text_asked_again_is_not_embedded_again(search: Search, seeing: Seeing) -> None:
    for _ in range(3):
        search.by_text("Left effusion")
    search.refresh()
    search.by_text(" Left effusion ")
    assert seeing.texts_embedded == 1


def test_a_refreshed_search_sees_what_was_added_and_an_old_one_does_not(tmp_path: Path, seeing: Seeing) -> None:
    path = make_small_archive(tmp_path / "archive", count=40)
    embed(seeing, path, where="image_id < 'i3'")
    search = Search(seeing, path)
    assert (search.images, search.embedded, search.missing) == (40, 23, 17)
    before = search.by_text("Left effusion", k=100)
    embed(seeing, path)
    assert search.by_text("Left effusion", k=100) == before
    search.refresh()
    assert (search.embedded, search.missing) == (40, 0)
    after = search.by_text("Left effusion", k=100)
    assert len(after) == 40
    assert after == Search(seeing, path).by_text("Left effusion", k=100)  # reading the rest alone gives the same


def test_a_refresh_with_nothing_new_reads_nothing(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VectorTable, "units", lambda *_: pytest.fail("vectors were read again"))
    monkeypatch.setattr(VectorTable, "image_ids", lambda *_: pytest.fail("ids were read again"))
    search.refresh()


def test_vectors_of_images_that_are_not_there_are_never_found(own_disks: Path, seeing: Seeing) -> None:
    archive = Archive.open(own_disks)
    archive.add_embeddings("seeing", ["ghost"], np.array([[1, 0, 1, 0]], np.float32))
    hits = Search(seeing, own_disks).by_text("Left effusion", k=200)
    assert len(hits) == 96
    assert "ghost" not in {hit.image_id for hit in hits}


def test_many_threads_may_ask_while_it_is_refreshed(own_disks: Path, seeing: Seeing) -> None:
    search = Search(seeing, own_disks)
    expected = search.by_text("Left effusion", k=10, where="label('Pneumothorax') = 'negative'")
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(15):
                assert search.by_text("Left effusion", k=10, where="label('Pneumothorax') = 'negative'") == expected
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for n in range(5):
        Archive.open(own_disks).add_embeddings("seeing", [f"ghost{n}"], np.zeros((1, 4), np.float32) + 1)
        search.refresh()
    for thread in threads:
        thread.join()
    assert not failed


def test_an_archive_behind_a_uri_is_searched(disks: Path, search: Search, seeing: Seeing) -> None:
    remote = Search(seeing, disks.as_uri())
    where = "split = 'train'"
    assert remote.by_text("Left effusion", where=where) == search.by_text("Left effusion", where=where)
    assert remote.by_words("left", k=5) == search.by_words("left", k=5)
    assert remote.reports(image_id="i7") == search.reports(image_id="i7")


def test_what_cannot_be_asked_is_told(search: Search, own_disks: Path) -> None:
    with pytest.raises(UsageError, match="no text to search for"):
        search.by_text("  ")
    with pytest.raises(UsageError, match="k is 0"):
        search.by_text("edema", k=0)
    stranger = Search(Seeing("stranger"), own_disks)
    assert stranger.embedded == 0
    with pytest.raises(UsageError, match="none of the archive's 96 images is embedded"):
        stranger.by_text("edema")
