"""Vectors in the archive: unit rows in their order, and an index that finds the nearest, of some or of those added later too."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from hilum.archive import Archive, VectorTable
from hilum.archive.row_sets import MOST_IN_A_LIST, bitmap, row_set

RNG = np.random.default_rng(0)
CENTERS = RNG.normal(size=(20, 32)).astype(np.float32)


def draw(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    near = CENTERS[rng.integers(0, 20, count)] + 0.4 * rng.normal(size=(count, 32))
    return (near * rng.uniform(0.3, 3, (count, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """3,000 vectors in three commits, indexed, and 300 that the index has not seen."""
    archive = Archive.create(tmp_path_factory.mktemp("vectors") / "archive")
    for start in (0, 1000, 2000):
        archive.add_embeddings("f", [f"i{i}" for i in range(start, start + 1000)], draw(1000, start))
    VectorTable(archive, "f").index()
    archive.add_embeddings("f", [f"i{i}" for i in range(3000, 3300)], draw(300, 3000))
    return archive


def all_vectors() -> np.ndarray:
    rows = np.concatenate([draw(1000, 0), draw(1000, 1000), draw(1000, 2000), draw(300, 3000)])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def recall(table: VectorTable, allowed: np.ndarray | None, k: int = 10) -> float:
    units, found = table.units(), []
    for query in draw(20, 99):
        places, cosines = table.nearest(query, k, allowed)
        scores = units @ (query / np.linalg.norm(query))
        assert np.allclose(cosines, scores[places], atol=1e-4)  # what comes back is exact
        assert (np.diff(cosines) <= 1e-6).all()
        if allowed is not None:
            assert allowed[places].all()
            scores = np.where(allowed, scores, -2)
        expected = np.argsort(-scores)[: min(k, len(units) if allowed is None else int(allowed.sum()))]
        assert len(places) == len(expected)
        found.append(len(set(places.tolist()) & set(expected.tolist())) / len(expected))
    return float(np.mean(found))


def test_units_and_ids_are_in_stored_order(filled: Archive) -> None:
    table = VectorTable(filled, "f")
    assert (len(table), table.dimension, table.n_indexed) == (3300, 32, 3000)
    assert table.image_ids().to_pylist() == [f"i{i}" for i in range(3300)]
    assert np.allclose(table.units(), all_vectors(), atol=1e-6)
    assert np.allclose(table.units(2950), all_vectors()[2950:], atol=1e-6)
    assert np.allclose(table.unit_at(np.array([3299, 0, 1500])), all_vectors()[[3299, 0, 1500]], atol=1e-6)


@pytest.mark.parametrize("share", [None, 0.9, 0.5, 0.01, 0.001])
def test_the_nearest_of_those_allowed_are_found(filled: Archive, share: float | None) -> None:
    allowed = None if share is None else np.random.default_rng(1).random(3300) < share
    assert recall(VectorTable(filled, "f"), allowed) >= 0.95


def test_none_allowed_finds_none(filled: Archive) -> None:
    places, cosines = VectorTable(filled, "f").nearest(draw(1, 0)[0], 5, np.zeros(3300, bool))
    assert len(places) == len(cosines) == 0


@pytest.mark.parametrize("more", [200, 2500])  # merged into the index, or so many that it is built anew
def test_a_refreshed_index_finds_as_well_and_compaction_keeps_it(tmp_path: Path, more: int) -> None:
    archive = Archive.create(tmp_path / "archive")
    archive.add_embeddings("f", [f"i{i}" for i in range(2000)], draw(2000, 0))
    VectorTable(archive, "f").index()
    archive.add_embeddings("f", [f"j{i}" for i in range(more)], draw(more, 1))
    table = VectorTable(archive, "f")
    assert table.n_indexed == 2000
    table.index()
    assert table.n_indexed == len(table) == 2000 + more
    assert recall(table, None) >= 0.95
    version = table.version
    table.index()
    assert table.version == version  # nothing to do
    archive.compact()
    table = VectorTable(archive, "f")
    assert table.n_indexed == 2000 + more
    assert recall(table, np.arange(2000 + more) % 3 > 0) >= 0.95


def test_few_vectors_are_not_indexed_and_none_are_no_error(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "archive")
    table = VectorTable(archive, "f")
    assert (len(table), table.n_indexed, table.image_ids().to_pylist()) == (0, 0, [])
    assert table.units().shape[0] == 0
    archive.add_embeddings("f", ["a"], np.ones((1, 4), np.float32))
    table = VectorTable(archive, "f")
    table.index()
    assert (len(table), table.n_indexed) == (1, 0)


@pytest.mark.parametrize("count", [1, MOST_IN_A_LIST, MOST_IN_A_LIST + 1, 65536])
def test_a_bitmap_holds_its_rows(count: int) -> None:
    offsets = np.sort(np.random.default_rng(count).choice(200_000, count, replace=False))
    assert numbers_in(bitmap(offsets)) == offsets.tolist()
    assert row_set({2: offsets, 5: offsets[:0]})[:4] == struct.pack("<I", 1)


def numbers_in(raw: bytes) -> list[int]:
    """A bitmap read by the letter of the format."""
    cookie, count = struct.unpack_from("<II", raw)
    assert cookie == 12346
    found = []
    for n in range(count):
        key, size = struct.unpack_from("<HH", raw, 8 + 4 * n)
        (place,) = struct.unpack_from("<I", raw, 8 + 4 * count + 4 * n)
        if size + 1 <= 4096:
            low = list(struct.unpack_from(f"<{size + 1}H", raw, place))
        else:
            bits = raw[place : place + 8192]
            low = [i for i in range(65536) if bits[i // 8] >> (i % 8) & 1]
            assert len(low) == size + 1
        found += [key << 16 | one for one in low]
    return found
