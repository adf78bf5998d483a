"""Two wordings of one finding against each other: what another prompt does to the AUROC, where a truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hilum.archive import Archive, export_labels
from hilum.archive.export import IDS
from hilum.errors import EvaluationError, UsageError
from hilum.evaluation.resampling import Interval, Resampler, bootstrap, interval
from hilum.evaluation.series import Series

if TYPE_CHECKING:  # a page that only shows trials need not wait for torch
    from hilum.models import Model
    from hilum.models.prompt_pooling import Pool
    from hilum.models.zero_shot import PromptSet

SILENCE = ("negative", "left out")
MOST_PROMPTS = 32  # a side
LONGEST_PROMPT = 300  # characters
BINS = 30  # of the histogram of scores


@dataclass(frozen=True)
class Wording:
    """The prompts of one finding: what speaks for it, and what against."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]

    def __post_init__(self) -> None:
        for side, prompts in (("positive", self.positive), ("negative", self.negative)):
            if not prompts or not all(prompt.strip() for prompt in prompts):
                raise UsageError(f"the {side} side needs at least one prompt, and none may be blank.")
            if len(prompts) > MOST_PROMPTS or max(map(len, prompts)) > LONGEST_PROMPT:
                raise UsageError(f"at most {MOST_PROMPTS} prompts a side, each of at most {LONGEST_PROMPT} characters.")


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a finding, image by image.

    Attributes:
        image_ids, patient_ids: N ids.
        positive: (N,) bool.
        left_out: images of which it is not known, or doubtful.
    """

    image_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    positive: np.ndarray
    left_out: int


@dataclass(frozen=True)
class Measured:
    """One wording's result.

    Attributes:
        wording: its prompts.
        auroc, low, high: with the ends of its interval; None where undefined.
        positives, negatives: images by score, in `BINS` bins from `PromptTrial.least` to `PromptTrial.most`.
    """

    wording: Wording
    auroc: float | None
    low: float | None
    high: float | None
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True)
class PromptTrial:
    """Two wordings on the same images.

    Attributes:
        finding, said_by: what was measured, and whose labels were the truth.
        before, after: the wordings in the order given.
        difference, difference_low, difference_high: of the AUROCs, after less before, on the same resamples of patients.
        n, n_positive, patients: the sample.
        left_out: images whose truth is not known or doubtful.
        not_embedded: images with a truth that the model has not embedded.
        replicates, seed: of the resampling.
        least, most: ends of the histograms.
    """

    finding: str
    said_by: str
    before: Measured
    after: Measured
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    n: int
    n_positive: int
    patients: int
    left_out: int
    not_embedded: int
    replicates: int
    seed: int
    least: float
    most: float


def truth_of(labels: pa.Table, finding: str, silence: str = "negative") -> Truth:
    """The truth of one finding from a table of labels.

    Args:
        labels: as `hilum.archive.export_labels` gives them.
        finding: a column.
        silence: what "not mentioned" counts as; doubt is always left out.

    Raises:
        UsageError: no label is about the finding.
    """
    if silence not in SILENCE:
        raise UsageError(f"silence is {silence!r}; expected one of {', '.join(SILENCE)}.")
    known = findings_of(labels)
    if finding not in known:
        raise UsageError(f"no label is about {finding!r}. Findings with labels: {', '.join(known)}.")
    said = labels[finding].to_pylist()
    code = {1: True, 0: False, None: False if silence == "negative" else None}
    values = [code.get(one) for one in said]
    kept = [i for i, value in enumerate(values) if value is not None]
    ids, patients = labels["image_id"].to_pylist(), labels["patient_id"].to_pylist()
    return Truth(
        tuple(ids[i] for i in kept), tuple(patients[i] for i in kept), np.array([values[i] for i in kept], bool),
        len(said) - len(kept),
    )  # fmt: skip


def labels_of(archive: Archive, said_by: str, split: str | None = None, frontal: bool = True) -> pa.Table:
    """One speaker's labels of every image, or of a split; lateral views left out unless asked for."""
    conditions = [f"split = '{split}'"] if split in ("train", "val", "test") else []
    if frontal:
        conditions.append("view != 'lateral'")
    return export_labels(archive, said_by, " AND ".join(conditions) or None)


def try_prompts(
    model: Model,
    archive: Archive,
    finding: str,
    truth: Truth,
    before: Wording,
    after: Wording,
    *,
    said_by: str = "",
    pool: Pool = "embedding",
    replicates: int = 300,
    seed: int = 0,
) -> PromptTrial:
    """Measure two wordings on the images that the model has embedded and whose truth is known.

    Args:
        model: with a text tower.
        archive: with its embeddings.
        finding: for the record; the wordings are taken as they are.
        truth: see `truth_of`.
        before, after: what is compared.
        said_by: whose labels the truth is, for the record.
        pool: how several prompts of a side are put together.
        replicates, seed: of the bootstrap over patients.

    Raises:
        EvaluationError: no such image, or all are alike.
        ModelError: the model has no text tower.
    """
    from hilum.models.model import unit_rows

    kept = archive.embeddings(model.fingerprint)
    place = {} if kept is None else {image_id: i for i, image_id in enumerate(kept.image_ids)}
    there = np.array([place.get(image_id, -1) for image_id in truth.image_ids], np.int64)
    found = there >= 0
    if kept is None or not found.any():
        raise EvaluationError(
            f"{model.name} has embedded none of these images. Run: hilum embed MODEL ARCHIVE, and ask again."
        )
    positive = truth.positive[found]
    if positive.all() or not positive.any():
        raise EvaluationError(
            f"{finding}: of {len(positive)} images with a truth {int(positive.sum())} have it; an AUROC needs both kinds. "
            "Choose another split, finding or speaker."
        )
    vectors = unit_rows(kept.vectors[there[found]])
    patients = np.array(truth.patient_ids, object)[found]
    patient_of = np.unique(patients.astype(str), return_inverse=True)[1]
    scores = {name: _scores(model, vectors, wording, pool) for name, wording in (("before", before), ("after", after))}
    series = {name: Series(positive, of, metrics=("auroc",)) for name, of in scores.items()}
    drawn = bootstrap(series, Resampler(len(positive), replicates, seed, patient_of))
    everything = np.concatenate(list(scores.values()))
    least, most = float(everything.min()), float(everything.max())
    edges = np.linspace(least, most if most > least else least + 1e-6, BINS + 1)
    points = {name: one.point()["auroc"] for name, one in series.items()}

    def measured(name: str, wording: Wording) -> Measured:
        between = interval(drawn[name]["auroc"])
        tall = [tuple(np.histogram(scores[name][which], edges)[0].tolist()) for which in (positive, ~positive)]
        return Measured(wording, points[name], between.low, between.high, *tall)

    apart: Interval = interval(drawn["after"]["auroc"] - drawn["before"]["auroc"])
    return PromptTrial(
        finding, said_by, measured("before", before), measured("after", after), points["after"] - points["before"],
        apart.low, apart.high, len(positive), int(positive.sum()), int(patient_of.max()) + 1, truth.left_out,
        int((~found).sum()), replicates, seed, least, most,
    )  # fmt: skip


def _scores(model: Model, vectors: np.ndarray, wording: Wording, pool: Pool) -> np.ndarray:
    from hilum.models.zero_shot import PromptSet, pooled_pair_scores, prompt_vectors

    # As a special finding, the prompts stand as they were written, braces and all.
    asked = PromptSet("edited", ("{}",), ("{}",), special={"": (wording.positive, wording.negative)})
    return pooled_pair_scores(vectors, *prompt_vectors(model, [""], asked), pool)[:, 0]


def wording_of(prompts: PromptSet, finding: str) -> Wording:
    """A prompt set's wording of a finding."""
    positive, negative = prompts.prompts(finding)
    return Wording(tuple(positive), tuple(negative))


def lines_of(text: str) -> tuple[str, ...]:
    """Prompts written one a line.

    Example:
        >>> lines_of("edema\\n\\n  pulmonary edema ")
        ('edema', 'pulmonary edema')
    """
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def findings_of(labels: pa.Table) -> list[str]:
    """The findings that a table of labels has columns of."""
    return [name for name in labels.column_names if name not in (*IDS, "row")]
