"""Through the index a search finds what it finds without, filters and new images included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tasks.search.conftest import Seeing

from hilum.archive import Archive, ReportWords, VectorTable
from hilum.tasks.search import Search, index


def test_below_a_size_no_vector_index_is_made_and_words_are_indexed(own_disks: Path, seeing: Seeing) -> None:
    done = index(seeing, own_disks)
    assert (done.embedded, done.vectors, done.vectors_indexed, done.texts) == (0, 96, 0, 4)
    assert "exact" in "\n".join(done.lines())
    assert done.reports_indexed == ReportWords(Archive.open(own_disks)).n_indexed == 96
    assert index(seeing, own_disks) == done  # safe to run twice


@pytest.fixture
def grown(own_disks: Path) -> Path:
    """The disks, with vectors of 3,000 images that are not there, so that there is something to index."""
    rng = np.random.default_rng(0)
    others = -np.abs(rng.normal(size=(3000, 4))).astype(np.float32)  # far from every disk
    Archive.open(own_disks).add_embeddings("seeing", [f"ghost{i}" for i in range(3000)], others)
    return own_disks


def test_an_indexed_search_finds_the_same(grown: Path, seeing: Seeing) -> None:
    exact = Search(seeing, grown)
    expected = exact.by_text("Left effusion", k=10, where="split = 'train'")
    done = index(seeing, grown, force=True)
    assert done.vectors_indexed == 3096
    indexed = Search(seeing, grown, exact_below=1000)
    assert not indexed.is_exact
    assert Search(seeing, grown).is_exact  # fewer than the default: all are compared
    hits = indexed.by_text("Left effusion", k=10, where="split = 'train'")
    assert [hit.image_id for hit in hits] == [hit.image_id for hit in expected]
    assert np.allclose([hit.score for hit in hits], [hit.score for hit in expected], atol=1e-5)
    neighbors = indexed.by_image(image_id="i7", k=5)
    assert [hit.image_id for hit in neighbors] == [hit.image_id for hit in exact.by_image(image_id="i7", k=5)]


def test_what_the_index_has_not_seen_is_found_too(grown: Path, seeing: Seeing) -> None:
    index(seeing, grown, force=True)
    search = Search(seeing, grown, exact_below=1000)
    images = Archive.open(grown).images()
    extra = images.slice(0, 1).drop_columns(["row", "pixels_sha1"])
    names = extra.column_names
    row = extra.to_pylist()[0] | {"image_id": "new"}
    pixels = Archive.open(grown).pixels([3])[0]
    import pyarrow as pa

    archive = Archive.open(grown)
    archive.add_images(pa.Table.from_pylist([{**{n: row[n] for n in names}, "pixels": pixels.tobytes()}]))
    archive.add_embeddings("seeing", ["new"], seeing.embed_squares(pixels[None]))
    assert "new" not in {hit.image_id for hit in search.by_text("Left effusion", k=50)}
    search.refresh()
    assert not search.is_exact
    assert "new" in {hit.image_id for hit in search.by_text("Left effusion", k=50)}
    assert VectorTable(archive, "seeing").n_indexed == 3096
    assert index(seeing, grown, force=True).vectors_indexed == 3097
