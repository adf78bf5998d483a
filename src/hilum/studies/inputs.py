"""The models and datasets of a study, opened, with the fingerprints that say whether they have changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hilum.archive import Archive
from hilum.errors import ModelError
from hilum.models import Model, imagenet_model, import_checkpoint, load_all
from hilum.studies.spec import DatasetEntry, ModelEntry
from hilum.studies.store import Store, Truth
from hilum.tasks.targets import Examples, examples_of, score_names


class NotImportedError(ModelError):
    """A checkpoint that is imported only when the study is run."""


@dataclass(frozen=True, eq=False)
class Opened:
    """An encoder of the study.

    Attributes:
        entry: as study.toml has it.
        members: the model; of an ensemble several.
        fingerprint: of all members.
    """

    entry: ModelEntry
    members: tuple[Model, ...]
    fingerprint: str

    @property
    def model(self) -> Model:
        """The one model.

        Raises:
            ModelError: it is an ensemble, which has no features of its own.
        """
        if len(self.members) > 1:
            raise ModelError(
                f"{self.entry.name} is an ensemble of {len(self.members)} models: it answers zero-shot, but has no one set of "
                "features to probe or finetune. Name one of its members."
            )
        return self.members[0]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A target of the study.

    Attributes:
        entry: as study.toml has it.
        archive: opened.
        examples: every labeled image.
        data_fingerprint: of image ids, pixels and labels.
        split_fingerprint: of which image is in which split.
    """

    entry: DatasetEntry
    archive: Archive
    examples: Examples
    data_fingerprint: str
    split_fingerprint: str

    def truth(self) -> Truth:
        """Of the test images."""
        test = self.examples.of_split("test")
        return Truth(test.image_ids, test.patient_ids, score_names(test.target), test.columns())


def open_model(entry: ModelEntry, store: Store) -> Opened:
    """A model of the study: loaded, imported (once, into the study's folder), or made.

    Raises:
        HilumError: it is not there, or cannot be loaded.
    """
    if entry.folder is not None:
        members = load_all([entry.folder])
    elif entry.checkpoint is not None:
        members = load_all([_imported(entry, store)])
    else:
        torch.manual_seed(entry.seed)
        members = [imagenet_model(entry.tower, str(entry.init), entry.image_size_px)]
    for model in members:
        model.name = entry.name
    return Opened(entry, tuple(members), "+".join(model.fingerprint for model in members))


def open_dataset(entry: DatasetEntry) -> Dataset:
    """A dataset of the study.

    Raises:
        HilumError: the archive or its labels cannot be read, or say nothing of the target.
    """
    archive = Archive.open(entry.archive)
    target = list(entry.target) if isinstance(entry.target, tuple) else entry.target
    examples = examples_of(archive, target, said_by=entry.said_by, labels=entry.labels, where=entry.where)
    stored = archive.images(["image_id", "pixels_sha1"])
    sha1_of = dict(zip(stored["image_id"].to_pylist(), stored["pixels_sha1"].to_pylist(), strict=True))
    data, split = hashlib.sha256(json.dumps([examples.target.task, examples.target.classes]).encode()), hashlib.sha256()
    for row in np.argsort(np.array(examples.image_ids)):
        one = examples.image_ids[row]
        data.update(f"{one}\t{sha1_of[one]}\t".encode() + np.ascontiguousarray(examples.truth[row]).tobytes())
        split.update(f"{one}\t{examples.patient_ids[row]}\t{examples.splits[row]}\n".encode())
    return Dataset(entry, archive, examples, data.hexdigest()[:16], split.hexdigest()[:16])


def _imported(entry: ModelEntry, store: Store) -> Path:
    """The folder of an imported checkpoint; one is made for each version of the file."""
    files = [Path(one) for one in (entry.checkpoint or ())]
    for path in files:
        if not path.is_file():
            raise ModelError(f"{path}: no such checkpoint file.")
    state = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    version = hashlib.sha256(json.dumps([entry.release, state, entry.options], sort_keys=True).encode()).hexdigest()[:8]
    place = store.folder / "models" / f"{entry.name}-{version}"
    if (place / "config.json").exists():
        return place
    if store.read_only:
        raise NotImportedError(f"{entry.name}: imported when the study is run.")
    with store.claim(f"import-{entry.name}", wait=True):
        if not (place / "config.json").exists():
            import_checkpoint(str(entry.release), files, place, **entry.options)
    return place
