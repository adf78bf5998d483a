"""Vectors of an archive's report texts: computed once for each model and each different text, and kept in the archive."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from os import PathLike

import numpy as np

from hilum.archive import SECTIONS, Archive
from hilum.models import Model
from hilum.reports import study_text
from hilum.tasks.embedding import COMMIT_IMAGES, OnBatch

# After the model's fingerprint. A text's key is its SHA-1, so that a report that changes is embedded anew.
SUFFIX = "+texts"


def study_texts(archive: Archive) -> tuple[list[str], list[str]]:
    """The studies that have a text by the archive's text policy, in the archive's order, and those texts."""
    studies, texts = [], []
    for study in archive.studies(["study_id", "report", *SECTIONS]).to_pylist():
        text = study_text(study, archive.manifest.text_policy)
        if text.strip():
            studies.append(study["study_id"])
            texts.append(text.strip())
    return studies, texts


def text_vectors(
    model: Model,
    archive: Archive,
    texts: Sequence[str],
    *,
    keep: bool = True,
    batch_size: int = 256,
    on_batch: OnBatch | None = None,
) -> np.ndarray:
    """Vectors of texts, as the model gave them: those that the archive keeps are read, the others computed.

    Args:
        model: an image-text model.
        archive: where vectors are kept.
        texts: N texts; equal ones are embedded once.
        keep: write new vectors to the archive; False leaves it as it is.
        batch_size: texts at once in the tower.
        on_batch: called with (done, all) after each batch that is computed.

    Returns:
        (N, D) float32.

    Raises:
        ModelError: the model has no text tower.
        ArchiveError: vectors are to be kept, and the archive cannot be written.
    """
    keys = [hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for text in texts]
    text_of = dict(zip(keys, texts, strict=True))
    kept = archive.embeddings(model.fingerprint + SUFFIX)
    place = {} if kept is None else {key: i for i, key in enumerate(kept.image_ids)}
    new = [key for key in text_of if key not in place]
    chunks = [] if kept is None else [kept.vectors]
    unsaved = 0
    for start in range(0, len(new), batch_size):
        some = new[start : start + batch_size]
        chunks.append(model.embed_texts([text_of[key] for key in some], normalize=False))
        place |= {key: len(place) + i for i, key in enumerate(some)}
        unsaved += len(some)
        done = start + len(some)
        if keep and (unsaved >= COMMIT_IMAGES or done == len(new)):
            vectors = np.concatenate(chunks)[len(place) - unsaved :]
            archive.add_embeddings(model.fingerprint + SUFFIX, new[done - unsaved : done], vectors)
            unsaved = 0
        if on_batch is not None:
            on_batch(done, len(new))
    if not chunks:
        return np.zeros((0, model.embed_dim), np.float32)
    return np.concatenate(chunks)[[place[key] for key in keys]]


def embed_reports(
    model: Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    *,
    batch_size: int = 256,
    on_batch: OnBatch | None = None,
) -> int:
    """Embed the report texts that this model has not embedded yet, and keep their vectors in the archive.

    Returns:
        How many different texts the archive's studies have.
    """
    model = model if isinstance(model, Model) else Model.load(model)
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    _, texts = study_texts(archive)
    different = list(dict.fromkeys(texts))
    text_vectors(model, archive, different, batch_size=batch_size, on_batch=on_batch)
    return len(different)


__all__ = ["SUFFIX", "embed_reports", "study_texts", "text_vectors"]
