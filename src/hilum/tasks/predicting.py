"""Scores of new images by a model with a head."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hilum.archive import Archive
from hilum.archive.manifest import NAME as MANIFEST
from hilum.errors import ImageError, ModelError, UsageError
from hilum.imaging import DecodePool
from hilum.labelsets import LabelSet
from hilum.models import Model
from hilum.models.head import Head
from hilum.models.model import CONFIG, read_config
from hilum.tables import check_place, write_table
from hilum.tasks.embedding import OnBatch
from hilum.tasks.feature_cache import features, features_of_squares
from hilum.tasks.probing import step_scores
from hilum.tasks.targets import score_names

log = logging.getLogger(__name__)
Members = list[tuple[Model, Head]]

BATCH_IMAGES = 64
LONGER_SIDE_PX = 384  # to which files are shrunk where the head does not say what it was trained on


@dataclass(frozen=True, eq=False)
class Predicted:
    """Scores of images.

    Attributes:
        ids: columns that tell the images: of an archive `image_id`, `study_id`, `patient_id`; of files `path`.
        names: findings or classes; of ordered classes each step, "X or more".
        scores: (N, C) in [0, 1]. Scores, not probabilities: calibrate before reading them so.
        rejected: file -> why it has no score.
    """

    ids: dict[str, list[str]]
    names: tuple[str, ...]
    scores: np.ndarray
    rejected: dict[str, str] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """One row an image: ids, then scores."""
        columns: dict[str, pa.Array] = {name: pa.array(values, pa.string()) for name, values in self.ids.items()}
        columns |= {name: pa.array(self.scores[:, place]) for place, name in enumerate(self.names)}
        return pa.table(columns)


def predict(
    model: str | PathLike[str],
    images: str | PathLike[str] | Sequence[str | PathLike[str]] | Archive,
    *,
    encoder: str | PathLike[str] | None = None,
    where: str | None = None,
    workers: int = 0,
    out: str | PathLike[str] | None = None,
    on_batch: OnBatch | None = None,
) -> Predicted:
    """Score images with a finetuned model or a probe.

    Args:
        model: the folder of a finetuned model, or of a probe.
        images: an archive, files (DICOM, PNG, JPEG, ...), or folders of files.
        encoder: the folder of a probe's encoder, where it is no longer where the probe found it.
        where: which images of an archive.
        workers: processes that decode files; 0 decodes here.
        out: a CSV file to write.
        on_batch: called with (done, all).

    Raises:
        ModelError: the folder has no head, or the encoder is not the one that the head was made on.
        UsageError: no image to score.
    """
    if out is not None:
        check_place(Path(out))
    members = load_headed(model, encoder)
    if isinstance(images, Archive) or (isinstance(images, str | PathLike) and _is_archive(images)):
        predicted = _of_archive(members, images, where, on_batch)
    else:
        if where is not None:
            raise UsageError("where= filters the images of an archive; these are files.")
        given = [images] if isinstance(images, str | PathLike) else list(images)
        predicted = _of_files(members, _listed(given), workers, on_batch)
    if out is not None:
        write_table(Path(out), predicted.table())
    return predicted


def load_headed(folder: str | PathLike[str], encoder: str | PathLike[str] | None = None) -> list[tuple[Model, Head]]:
    """A model with its head; of an ensemble each member with its own.

    Args:
        folder: of a finetuned model, of an ensemble of such, or of a probe (which names the folder of its encoder).
        encoder: the encoder's folder, in place of the one a probe names.

    Raises:
        ModelError: there is no head, no encoder, or they do not belong together.
    """
    place = Path(folder)
    is_model = (place / CONFIG).is_file()
    config = read_config(place) if is_model else {}
    if config.get("kind") == "ensemble":
        members = [pair for member in config["members"] for pair in load_headed(place / member, encoder)]
        if len({(head.task, head.names) for _, head in members}) != 1:
            raise ModelError(f"{place}: the heads of its {len(members)} members do not name the same findings.")
        return members
    head = Head.load(place)
    if is_model and encoder is None:
        return [(Model.load(place), head)]
    named: dict[str, Any] = head.provenance.get("encoder") or {}
    where = encoder or named.get("folder")
    if where is None or not Path(where).exists():
        raise ModelError(
            f"{place}: the probe's encoder ({named.get('name', 'unknown')}, fingerprint {named.get('fingerprint')}) is not at "
            f"{where}. Name its folder with --encoder."
        )
    model = Model.load(where)
    if named.get("fingerprint") not in (None, model.fingerprint):
        raise ModelError(
            f"{place}: the probe was made on an encoder of fingerprint {named['fingerprint']}, but {where} is "
            f"{model.fingerprint}. Name the right folder with --encoder."
        )
    return [(model, head)]


def _is_archive(place: str | PathLike[str]) -> bool:
    return "://" in str(place) or (Path(place) / MANIFEST).is_file()


def _of_archive(
    members: Members, images: Archive | str | PathLike[str], where: str | None, on_batch: OnBatch | None
) -> Predicted:
    archive = images if isinstance(images, Archive) else Archive.open(images)
    table = archive.images(["image_id", "study_id", "patient_id"], where=where)
    if not len(table):
        raise UsageError(f"{archive.path}: no image fits {where!r}." if where else f"{archive.path} has no images.")
    ids = {name: table[name].to_pylist() for name in ("image_id", "study_id", "patient_id")}
    scores = [
        step_scores(head, features(model, archive, ids["image_id"], on_batch=on_batch)) for model, head in members
    ]
    return Predicted(ids, _names(members), np.mean(scores, axis=0))


def _of_files(members: Members, files: list[Path], workers: int, on_batch: OnBatch | None) -> Predicted:
    read: list[str] = []
    rejected: dict[str, str] = {}
    chunks: list[np.ndarray] = []
    waiting: list[np.ndarray] = []

    def score() -> None:
        scores = [
            step_scores(head, features_of_squares(model, model.preprocess.squares(waiting))) for model, head in members
        ]
        chunks.append(np.mean(scores, axis=0))
        waiting.clear()

    # As the archive's images were, so that a file has the score that it has in the archive.
    side_px = members[0][1].provenance.get("longer_side_px", LONGER_SIDE_PX)
    with DecodePool(workers, side_px=side_px) as pool:
        for done, (path, found) in enumerate(pool.imap(files), start=1):
            if isinstance(found, ImageError):
                rejected[os.fspath(path)] = str(found)
                log.warning("%s", found)
            else:
                read.append(os.fspath(path))
                waiting.append(found.pixels)
            if len(waiting) == BATCH_IMAGES or (waiting and done == len(files)):
                score()
            if on_batch is not None:
                on_batch(done, len(files))
    if not read:
        first = next(iter(rejected.values()))
        raise UsageError(f"none of the {len(files)} files could be read. The first: {first}")
    return Predicted({"path": read}, _names(members), np.concatenate(chunks), rejected)


def _names(members: Members) -> tuple[str, ...]:
    head = members[0][1]
    return score_names(LabelSet("head", head.task, head.names))  # type: ignore[arg-type]


def _listed(given: Sequence[str | PathLike[str]]) -> list[Path]:
    def files_in(place: Path) -> Iterator[Path]:
        if not place.is_dir():
            yield place
            return
        yield from sorted(one for one in place.rglob("*") if one.is_file() and not one.name.startswith("."))

    files = [one for place in given for one in files_in(Path(place))]
    if not files:
        raise UsageError(f"no files to score in {', '.join(map(str, given)) or 'nothing'}.")
    return files
