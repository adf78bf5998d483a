"""Embed an archive's images once for each model, and keep the vectors in the archive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive import Archive, VectorTable
from hilum.models import Model

COMMIT_IMAGES = 4096

OnBatch = Callable[[int, int], None]


@dataclass(frozen=True)
class Embedded:
    """What an embedding run did: the key of the vectors, images embedded now, and images that had been before."""

    fingerprint: str
    new: int
    before: int


def embed(
    model: Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    *,
    where: str | None = None,
    image_ids: Collection[str] | None = None,
    batch_size: int = 64,
    on_batch: OnBatch | None = None,
) -> Embedded:
    """Embed the images that this model has not embedded yet, and keep the vectors under its fingerprint.

    Stopped and called again, it goes on from the last commit.

    Args:
        model: the model, or its folder.
        archive: the archive, or its path.
        where: which images, as a filter on `images`; default all.
        image_ids: only these of them.
        batch_size: images at once in the tower.
        on_batch: called with (done, all) after each batch.

    Example:
        >>> hilum.embed("runs/chexzero", "archive").new  # doctest: +SKIP
        1024
    """
    model = model if isinstance(model, Model) else Model.load(model)
    archive = archive if isinstance(archive, Archive) else Archive.open(Path(archive))
    images = archive.images(["row", "image_id"], where=where)
    have = set(VectorTable(archive, model.fingerprint).image_ids().to_pylist())
    if image_ids is not None:
        images = images.filter(pc.is_in(images["image_id"], value_set=pa.array(list(image_ids), pa.string())))
    ids = images["image_id"].to_pylist()
    new = np.array([i for i, image_id in enumerate(ids) if image_id not in have], np.int64)
    rows = images["row"].to_numpy()[new]
    new_ids = [ids[i] for i in new]
    vectors: list[np.ndarray] = []
    start = 0
    for stop, squares in read_ahead(model, archive, rows, batch_size):
        vectors.append(model.embed_squares(squares))
        if stop - start >= COMMIT_IMAGES or stop == len(rows):
            archive.add_embeddings(model.fingerprint, new_ids[start:stop], np.concatenate(vectors))
            vectors, start = [], stop
        if on_batch is not None:
            on_batch(stop, len(rows))
    return Embedded(model.fingerprint, len(new), len(ids) - len(new))


def vectors_of(model: Model, archive: Archive, image_ids: list[str]) -> np.ndarray:
    """The kept vectors of chosen images, in their order: (N, D) float32, as the model gave them.

    Raises:
        KeyError: an image has not been embedded.
    """
    kept = archive.embeddings(model.fingerprint)
    if kept is None:
        return np.zeros((0, model.embed_dim), np.float32)
    place = {image_id: i for i, image_id in enumerate(kept.image_ids)}
    return kept.vectors[[place[image_id] for image_id in image_ids]]


def read_ahead(model: Model, archive: Archive, rows: np.ndarray, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Squares of bytes batch by batch, each with where it ends; the next are read while the tower works on this one."""

    def read(start: int) -> np.ndarray:
        return model.preprocess.squares(archive.pixels(rows[start : start + batch_size]))

    starts = deque(range(0, len(rows), batch_size))
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        ahead: deque[Future[np.ndarray]] = deque()
        for start in range(0, len(rows), batch_size):
            while starts and len(ahead) < 3:
                ahead.append(reader.submit(read, starts.popleft()))
            yield min(start + batch_size, len(rows)), ahead.popleft().result()
