"""What a probe sees of an archive's images: computed once for each model, in evaluation mode, and kept in the archive."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from hilum.archive import Archive
from hilum.errors import ArchiveBusyError, UsageError
from hilum.models import Model
from hilum.tasks.embedding import COMMIT_IMAGES, OnBatch, read_ahead

SUFFIX = (
    "+features"  # after the model's fingerprint: the embeddings of image-text models stand under the fingerprint alone
)
PATIENCE_S = 600.0  # for another process that writes the archive


def features(
    model: Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    image_ids: list[str] | None = None,
    *,
    batch_size: int = 64,
    on_batch: OnBatch | None = None,
) -> np.ndarray:
    """Features of chosen images: those that the archive keeps are read, the others computed and kept.

    Normalization layers use what they learned and nothing is dropped out, whatever mode the encoder was left in; so an
    image's features depend on no other image.

    Args:
        model: the model, or its folder.
        archive: the archive, or its path.
        image_ids: N images of the archive, in any order; default all, in the archive's order.
        batch_size: images at once in the tower.
        on_batch: called with (done, all) after each batch that is computed.

    Returns:
        (N, F) float32.

    Raises:
        UsageError: an id is not in the archive.
    """
    model = model if isinstance(model, Model) else Model.load(model)
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    images = archive.images(["row", "image_id"])
    row_of = dict(zip(images["image_id"].to_pylist(), images["row"].to_pylist(), strict=True))
    wanted = list(row_of) if image_ids is None else list(image_ids)
    strangers = [one for one in wanted if one not in row_of]
    if strangers:
        raise UsageError(
            f"{archive.path}: no image {strangers[0]!r} ({len(strangers)} such ids). Are they of this archive?"
        )
    kept = _kept(archive, model)
    new = [one for one in dict.fromkeys(wanted) if one not in kept.place]
    if new:
        rows = np.array([row_of[one] for one in new], np.int64)
        if not isinstance(archive.path, Path):  # behind a URI an archive is read only: nothing can be kept in it
            chunks = [features_of_squares(model, one) for _, one in read_ahead(model, archive, rows, batch_size)]
            return _joined(kept, new, np.concatenate(chunks), wanted)
        _compute(model, archive, new, rows, batch_size, on_batch)
        kept = _kept(archive, model)
    return kept.vectors[[kept.place[one] for one in wanted]]


class _Kept:
    """Vectors by image id."""

    def __init__(self, place: dict[str, int], vectors: np.ndarray) -> None:
        self.place, self.vectors = place, vectors


def _joined(kept: _Kept, new: list[str], vectors: np.ndarray, wanted: list[str]) -> np.ndarray:
    """Kept and new vectors of chosen images, in their order."""
    place = {one: row for row, one in enumerate(new)}
    return np.stack([vectors[place[one]] if one in place else kept.vectors[kept.place[one]] for one in wanted])


def key_of(model: Model) -> str:
    """The name under which an archive keeps a model's features."""
    return model.fingerprint + SUFFIX


def _kept(archive: Archive, model: Model) -> _Kept:
    found = archive.embeddings(key_of(model))
    if found is None:
        return _Kept({}, np.zeros((0, 1), np.float32))
    return _Kept({one: place for place, one in enumerate(found.image_ids)}, found.vectors)


def _compute(
    model: Model, archive: Archive, ids: list[str], rows: np.ndarray, batch_size: int, on_batch: OnBatch | None
) -> None:
    start, chunks = 0, []
    for stop, squares in read_ahead(model, archive, rows, batch_size):
        chunks.append(features_of_squares(model, squares))
        if stop - start >= COMMIT_IMAGES or stop == len(rows):
            _commit(archive, key_of(model), ids[start:stop], np.concatenate(chunks))
            start, chunks = stop, []
        if on_batch is not None:
            on_batch(stop, len(rows))


@torch.inference_mode()
def features_of_squares(model: Model, squares: np.ndarray | torch.Tensor) -> np.ndarray:
    """(N, canvas, canvas) uint8, as `preprocess.squares` makes them, to (N, F) float32."""
    with evaluating(model.encoder):
        images = model.preprocess.tensor(torch.as_tensor(squares).to(model.device))
        return model.encoder.image_features(images).float().cpu().numpy()


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and afterwards in the mode it was in."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _commit(archive: Archive, key: str, ids: list[str], vectors: np.ndarray) -> None:
    """Keep vectors; wait while another process writes."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            archive.add_embeddings(key, ids, vectors)
            return
        except ArchiveBusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
