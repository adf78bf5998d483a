"""How soon the nearest of a million embeddings are found through the index, and how many of them, beside comparing all in NumPy.

    python benchmarks/vector_search.py [--vectors 1000000] [--width 512] [--kind like-real|noise] [--keep FOLDER]

The bar: a text query over 1,000,000 embeddings of 512, warm, in at most 15 ms with a recall@10 of at least 0.95.

Embeddings are generated to look like those of image-text models. An image is a point of 32 dimensions in one of 300 unequal
clusters, lifted to the width by a smooth random map, plus noise of its own in every direction, plus a mean that all images share:
so most of the variance lies in few directions and images stand in a narrow cone (mean cosine about 0.7). Texts come from the same
clusters and the same map with another mean, as image-text models leave a gap between the two (Liang et al. 2022, "Mind the Gap"):
a text is no neighbor of the images that it finds. `--kind noise` draws isotropic noise instead, in which nothing is near to
anything: no index can choose well there.

Both sides run in one process. NumPy multiplies all unit vectors, kept in memory, with the query, as hilum does below 100,000.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from hilum.archive import Archive, VectorTable
from hilum.tasks.search.vectors import ExactVectors

CHUNK = 50_000
HIDDEN, CLUSTERS = 32, 300


class World:
    """Where embeddings come from."""

    def __init__(self, width: int, kind: str) -> None:
        rng = np.random.default_rng(99)
        self.width, self.kind = width, kind
        self.centers = rng.normal(size=(CLUSTERS, HIDDEN)).astype(np.float32)
        self.share = rng.dirichlet(np.full(CLUSTERS, 0.7))
        self.lift = (rng.normal(size=(HIDDEN, width)) / np.sqrt(HIDDEN)).astype(np.float32)
        self.of_images, self.of_texts = rng.normal(size=(2, width)).astype(np.float32)

    def draw(self, count: int, seed: int, texts: bool = False) -> np.ndarray:
        """(count, width) float32, not normalized."""
        rng = np.random.default_rng(seed)
        if self.kind == "noise":
            return rng.normal(size=(count, self.width)).astype(np.float32)
        hidden = self.centers[rng.choice(CLUSTERS, count, p=self.share)]
        hidden = hidden + 0.7 * rng.normal(size=(count, HIDDEN)).astype(np.float32)
        mean = 0.3 * self.of_images + self.of_texts if texts else self.of_images
        noise = rng.standard_normal((count, self.width), dtype=np.float32)
        return np.tanh(hidden @ self.lift) + mean + np.float32(0.2) * noise


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fill(archive: Archive, world: World, count: int) -> None:
    """Add generated embeddings in commits of `CHUNK`."""
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        archive.add_embeddings("made", [f"image-{start + i}" for i in range(n)], world.draw(n, 1 + start // CHUNK))


def timed(find: object, queries: np.ndarray, k: int) -> tuple[list[set[int]], np.ndarray]:
    """What is found for each query, and the milliseconds of each."""
    found, ms = [], []
    for query in queries:
        started = time.perf_counter()
        places, _ = find(query, k)  # type: ignore[operator]
        ms.append((time.perf_counter() - started) * 1e3)
        found.append(set(places.tolist()))
    return found, np.array(ms)


def main() -> None:
    """Print how long building took, and for texts and images the recall and the time of both sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--kind", choices=("like-real", "noise"), default="like-real")
    parser.add_argument("--keep", type=Path, help="keep the archive here, and use it if it is there")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    world = World(options.width, options.kind)
    try:
        started = time.perf_counter()
        if not (folder / "archive.json").exists():
            archive = Archive.create(folder)
            fill(archive, world, options.vectors)
            print(f"{options.vectors:,} x {options.width} written in {time.perf_counter() - started:.0f} s")
        archive = Archive.open(folder)
        table = VectorTable(archive, "made")
        if not table.n_indexed:
            started = time.perf_counter()
            table.index()
            print(f"index built in {time.perf_counter() - started:.0f} s")
        exact = ExactVectors(table.units())
        compare(world, table, exact, options.queries)
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def compare(world: World, table: VectorTable, exact: ExactVectors, count: int, k: int = 10) -> None:
    """Print one line for each kind of query."""
    some = exact.units[:: max(1, len(exact) // 500)][:500]
    for what, texts in (("text", True), ("image", False)):
        queries = unit(world.draw(count, 7777 + texts, texts))
        print(f"{what} queries: mean cosine with images {float((queries @ some.T).mean()):.2f}")
        timed(table.nearest, queries[: count // 4], k)  # warm: the index is read once, and other pages with the queries
        timed(table.nearest, queries, k)
        through_index, index_ms = timed(table.nearest, queries, k)
        timed(exact.nearest, queries[:3], k)
        compared, exact_ms = timed(exact.nearest, queries[: max(20, count // 4)], k)
        compared += timed(exact.nearest, queries[len(compared) :], k)[0]
        recall = np.mean([len(one & other) / k for one, other in zip(through_index, compared, strict=True)])
        print(
            f"  index: median {np.median(index_ms):.1f} ms, p95 {np.percentile(index_ms, 95):.1f} ms, recall@{k} {recall:.3f}\n"
            f"  NumPy, all {len(exact):,}: median {np.median(exact_ms):.1f} ms; "
            f"{np.median(exact_ms) / np.median(index_ms):.0f} times as long"
        )
    allowed = np.random.default_rng(0).random(len(exact)) < 0.1
    queries = unit(world.draw(20, 8888, texts=True))
    filtered, ms = timed(lambda q, n: table.nearest(q, n, allowed), queries, k)
    truth = [set(exact.nearest(q, k, allowed)[0].tolist()) for q in queries]
    recall = np.mean([len(one & other) / k for one, other in zip(filtered, truth, strict=True)])
    print(f"text queries among a tenth: index median {np.median(ms):.1f} ms, recall@{k} {recall:.3f}")


if __name__ == "__main__":
    main()
