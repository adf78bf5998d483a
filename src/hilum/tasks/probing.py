"""A linear probe of a model on an archive: features, a part of the training images, a fit, scores of val and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow as pa

import hilum
from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.labelsets import LabelSet
from hilum.models import Model
from hilum.models.head import Head
from hilum.tables import write_table
from hilum.tasks.embedding import OnBatch
from hilum.tasks.feature_cache import features
from hilum.tasks.fitting import Fit, fit_probe
from hilum.tasks.fractions import Part, draw
from hilum.tasks.targets import Examples, examples_of, require_split, score_names

SCORED_SPLITS = ("val", "test")


@dataclass(frozen=True, eq=False)
class Probed:
    """A probe and what it says.

    Attributes:
        fit: the fit; `fit.head` is the probe.
        scores: split -> (N, C') scores of its images, in the order of `examples[split]`; val and test where they are there.
        examples: split -> its images and truth; 'train' is the part that was fitted on.
        part: which training images.
        remarks: what a reader of the numbers should know.
    """

    fit: Fit
    scores: dict[str, np.ndarray]
    examples: dict[str, Examples]
    part: Part
    remarks: tuple[str, ...]

    @property
    def head(self) -> Head:
        """The probe's weights."""
        return self.fit.head

    def table(self, split: str) -> pa.Table:
        """Scores of a split: `image_id`, `study_id`, `patient_id` and a column for each finding or class that has scores."""
        return scores_table(self.examples[split], self.head, self.scores[split])

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write the probe (`head.json`, `head.safetensors`), and `scores-SPLIT.csv` with `truth-SPLIT.csv`, into a folder."""
        place = Path(folder)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{place} cannot be made ({error.strerror}). Name another folder.") from error
        for split in self.scores:
            write_table(place / f"scores-{split}.csv", self.table(split))
            write_table(place / f"truth-{split}.csv", self.examples[split].table())
        self.head.save(place)
        return place


def probe(
    model: Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    target: str | Sequence[str] | LabelSet | None = None,
    *,
    fraction: float = 1.0,
    shots: int | None = None,
    unit: str = "patient",
    seed: int = 0,
    protocol: str = "validated",
    strength: float | None = None,
    said_by: str | None = None,
    labels: str | PathLike[str] | None = None,
    where: str | None = None,
    examples: Examples | None = None,
    exclude: Sequence[str] = (),
    batch_size: int = 64,
    out: str | PathLike[str] | None = None,
    on_batch: OnBatch | None = None,
) -> Probed:
    """Fit logistic regression on a model's features of the split 'train', and score 'val' and 'test'.

    Args:
        model: the model, or its folder.
        archive: the archive, or its path; the features are kept in it.
        target: a label set or findings; default every finding that the labels state.
        fraction: share of the training patients (or images, with `unit`) to fit on; smaller parts lie inside larger ones.
        shots: this many images of each class instead.
        unit: "patient" or "image": what a fraction is of.
        seed: of the part.
        protocol: "validated": C chosen on 'val'; "cxrlearn": the founding study's constants.
        strength: C; nothing is chosen then.
        said_by: whose labels.
        labels: a table of labels in place of the archive's.
        where: which images, for example "view != 'lateral'".
        examples: the labeled images, where `examples_of` has read them before; then target, said_by, labels and where are not used.
        exclude: image ids to leave out of every split, such as those a model has seen in pretraining.
        batch_size: images at once in the tower.
        out: a folder to write to; see `Probed.save`.
        on_batch: called with (done, all) while features are computed.

    Raises:
        UsageError: no training images of the target, or nothing to fit.

    Example:
        >>> probed = hilum.tasks.probe("runs/chexzero", "archive", "chexpert-5")  # doctest: +SKIP
        >>> probed.table("test")  # doctest: +SKIP
    """
    folder = None if isinstance(model, Model) else str(Path(model).resolve())
    model = model if isinstance(model, Model) else Model.load(model)
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    part = Part(fraction, shots, "image" if unit == "image" else "patient", seed)
    every = examples
    if every is None:
        every = examples_of(archive, target, said_by=said_by, labels=Path(labels) if labels else None, where=where)
    every = every.without(exclude)
    train = draw(require_split(every, "train", archive), part)
    held = {split: found for split in SCORED_SPLITS if len(found := every.of_split(split))}
    groups = {"train": train, **held}
    seen = features(
        model,
        archive,
        [one for group in groups.values() for one in group.image_ids],
        batch_size=batch_size,
        on_batch=on_batch,
    )
    edges = np.cumsum([0, *(len(group) for group in groups.values())])
    x = {name: seen[start:stop] for name, start, stop in zip(groups, edges[:-1], edges[1:], strict=True)}
    fit = fit_probe(
        x["train"],
        train.truth,
        names=every.target.classes,
        task=every.target.task,
        validation=(x["val"], held["val"].truth) if "val" in held else None,
        strength=strength,
        protocol=protocol,
    )
    made = {
        "made_by": "probe",
        "hilum": hilum.__version__,
        "protocol": protocol,
        "target": every.target.name,
        "said_by": every.said_by,
        "longer_side_px": archive.manifest.longer_side_px,
        "part": part.describe(),
        "images": {name: len(group) for name, group in groups.items()},
        "strengths": [float(one) for one in fit.strengths],
        "encoder": {"name": model.name, "fingerprint": model.fingerprint, "folder": folder},
    }
    fit = replace(fit, head=replace(fit.head, provenance=made))
    remarks = [*every.remarks, *(f"{name}: {why}" for name, why in fit.skipped.items()), *fit.remarks]
    remarks += [f"no image of the split '{split}' has a label" for split in SCORED_SPLITS if split not in held]
    probed = Probed(
        fit, {split: step_scores(fit.head, x[split]) for split in held}, groups, part, tuple(dict.fromkeys(remarks))
    )
    if out is not None:
        probed.save(out)
    return probed


def step_scores(head: Head, seen: np.ndarray) -> np.ndarray:
    """Scores as `score_names` are named: of ordered classes, the chance of each step or more."""
    scores = head.scores(seen)
    return np.cumsum(scores[:, ::-1], axis=1)[:, ::-1][:, 1:].clip(0, 1) if head.task == "ordinal" else scores


def scores_table(examples: Examples, head: Head, scores: np.ndarray) -> pa.Table:
    """Scores of images as a table with their ids."""
    columns: dict[str, pa.Array] = {
        "image_id": pa.array(examples.image_ids, pa.string()),
        "study_id": pa.array(examples.study_ids, pa.string()),
        "patient_id": pa.array(examples.patient_ids, pa.string()),
    }
    names = score_names(LabelSet(examples.target.name, head.task, head.names))  # type: ignore[arg-type]
    columns |= {name: pa.array(scores[:, place]) for place, name in enumerate(names)}
    return pa.table(columns)
