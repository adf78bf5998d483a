"""Retrieval on an archive: each image's own report among all, the image of each report, and neighbors of the same class.

Recall@K and mean rank as CXR-CLIP (You et al. 2023, section 3.3) and ConVIRT's successors give them, with equal texts as one;
Precision@K as ConVIRT (Zhang et al. 2020, section 4.3) and GLoRIA (Huang et al. 2021, section 4.1) on CheXpert 8x200 and 5x200.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from hilum.archive import Archive
from hilum.errors import EvaluationError, UsageError
from hilum.evaluation.resampling import Resampler, interval, require_level
from hilum.evaluation.results import MACRO, Result, write_csv
from hilum.evaluation.retrieval import TextRetrieval, image_retrieval, merged, nearest, text_retrieval
from hilum.evaluation.retrieval_sample import RetrievalSample, asked_texts
from hilum.models import Model
from hilum.models.model import unit_rows
from hilum.tasks.embedding import OnBatch, embed, vectors_of
from hilum.tasks.text_cache import text_vectors

RECALL_AT, PRECISION_AT = (1, 5, 10), (5, 10, 50, 100)
REPORT = "report"  # in place of a finding, where the right answer is the image's own report
SPARE = 4  # times K: so many of the nearest hold K of any resample of the candidates


@dataclass(frozen=True, eq=False)
class RetrievalEvaluation:
    """What was measured.

    Attributes:
        results: tidy rows; `metric` is such as image_to_text_recall@5, text_to_image_mean_rank or image_to_image_precision@10.
        images: in the sample, of `patients`; `with_text` of them have a report text.
        texts: different report texts; `duplicates`, of images beyond the first with a text.
        classes: class -> images of it; empty where no classes were asked for.
        remarks: what must be known to read the numbers.
    """

    results: tuple[Result, ...]
    images: int
    patients: int
    with_text: int
    texts: int
    duplicates: int
    classes: dict[str, int]
    remarks: tuple[str, ...]

    def get(self, metric: str, finding: str = REPORT, model: str | None = None) -> Result:
        """The one row of this metric and finding.

        Raises:
            EvaluationError: there is none.
        """
        for row in self.results:
            if (row.metric, row.finding) == (metric, finding) and model in (None, row.model):
                return row
        raise EvaluationError(f"no measured {metric!r} of {finding!r}.")


def evaluate_retrieval(
    models: Sequence[Model | str | PathLike[str]] | Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    *,
    where: str | None = None,
    classes: Sequence[str] = (),
    said_by: str | None = None,
    queries: str | PathLike[str] | None = None,
    prompts: str = "chexzero",
    recall_at: Sequence[int] = RECALL_AT,
    precision_at: Sequence[int] = PRECISION_AT,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    dataset: str | None = None,
    out: str | PathLike[str] | None = None,
    on_batch: OnBatch | None = None,
) -> RetrievalEvaluation:
    """Measure retrieval on an archive's images and reports.

    Image and text vectors are computed once for each model and kept in the archive.

    Args:
        models: image-text models, or their folders.
        archive: the archive, or its path.
        where: which images, as in search (`hilum.tasks.search.filters`), such as "split = 'test' AND view != 'lateral'".
        classes: findings for Precision@K; a neighbor is right when it has the query's finding. An image asks where it has one
            of them alone; images with none of them, or several, are neighbors only.
        said_by: whose labels say so, in full or what stands before '@' or ':'; default datasets', where there are any.
        queries: a table of texts to ask for, columns `finding` (or `Variable`) and `text`; default the prompts.
        prompts: a prompt set, whose positive prompts of each class are asked for.
        recall_at, precision_at: which K; those as large as the gallery are left out.
        replicates: bootstrap resamples of patients: of those that ask, and for class texts of those that are found.
        level: of the intervals.
        seed: of the first resample.
        dataset: name in the results; default the archive's.
        out: a CSV file for the results.
        on_batch: called with (done, all) while images are embedded.

    Raises:
        UsageError: nothing can be measured, or the filter or a class cannot be used.
        ModelError: a model has no text tower.
    """
    require_level(level)
    given = [models] if isinstance(models, Model | str | PathLike) else list(models)
    loaded = [one if isinstance(one, Model) else Model.load(one) for one in given]
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    sample = RetrievalSample.of(archive, where, classes, said_by)
    asked = asked_texts(sample.classes, queries, prompts)
    rows: list[Result] = []
    for model in loaded:
        embed(model, archive, image_ids=sample.image_ids, on_batch=on_batch)
        vectors = _Vectors.of(model, archive, sample, asked)
        about = _About(model.name, dataset or archive.path.name, replicates, level, seed)
        if sample.texts:
            rows += _own_reports(sample, vectors, about, recall_at)
        if sample.classes:
            rows += _same_class(sample, vectors, about, precision_at)
    if not rows:
        raise UsageError(
            f"nothing to measure: {len(sample.image_ids)} images, none with a report text, and no classes named. "
            "Name classes, or choose images with reports."
        )
    if out is not None:
        write_csv(rows, Path(out))
    counts = {name: int(has.sum()) for name, has in zip(sample.classes, sample.has.T, strict=True)}
    texts = len(dict.fromkeys(sample.texts))
    patients = len(set(sample.patients.tolist()))
    return RetrievalEvaluation(
        tuple(rows),
        len(sample.image_ids),
        patients,
        len(sample.texts),
        texts,
        len(sample.texts) - texts,
        counts,
        tuple(sample.remarks),
    )


@dataclass(frozen=True)
class _About:
    """What every row of one model says."""

    model: str
    dataset: str
    replicates: int
    level: float
    seed: int

    def row(
        self, finding: str, metric: str, value: float, drawn: np.ndarray, n: int, n_positive: int | None, note: str
    ) -> Result:
        """One number; `drawn` are its (R,) values under the resamples."""
        found = interval(drawn, self.level)
        return Result(
            self.model,
            self.dataset,
            finding,
            metric,
            value,
            found.low,
            found.high,
            n,
            n_positive,
            self.replicates,
            self.seed,
            note,
        )

    def means(self, values: np.ndarray, patients: np.ndarray) -> np.ndarray:
        """(R,) the mean of (Q,) values under resamples of the patients whom the Q belong to."""
        _, unit = np.unique(patients, return_inverse=True)
        resampler = Resampler(len(values), self.replicates, self.seed, unit)
        parts = [(values @ counts) / counts.sum(axis=0) for counts in resampler.counts()]
        return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class _Vectors:
    """Unit rows of a model: (N, D) images, (T, D) their texts, and of each class text its class and vector."""

    images: np.ndarray
    texts: np.ndarray
    asked: np.ndarray
    asked_class: np.ndarray

    @classmethod
    def of(cls, model: Model, archive: Archive, sample: RetrievalSample, asked: list[tuple[int, str]]) -> _Vectors:
        return cls(
            unit_rows(vectors_of(model, archive, sample.image_ids)),
            unit_rows(text_vectors(model, archive, sample.texts)),
            model.embed_texts([text for _, text in asked]),
            np.array([place for place, _ in asked], np.int64),
        )


def _own_reports(sample: RetrievalSample, vectors: _Vectors, about: _About, at: Sequence[int]) -> list[Result]:
    """Recall@K and mean rank, images to texts and texts to images."""
    images, patients = vectors.images[sample.with_text], sample.patients[sample.with_text]
    to_text = text_retrieval(images, vectors.texts, sample.texts, at)
    to_image = image_retrieval(images, vectors.texts, sample.texts, at)
    of_texts = patients[merged(sample.texts)[1]]  # a repeated text is its first patient's
    rows = []
    for name, found, of in (("image_to_text", to_text, patients), ("text_to_image", to_image, of_texts)):
        note = _gallery_note(name, found)
        for k in (k for k in at if k < found.gallery):
            hits = (found.ranks <= k).astype(float)
            chance = f"; chance {k / found.gallery:.4f}" if name == "image_to_text" else ""
            drawn = about.means(hits, of)
            rows.append(about.row(REPORT, f"{name}_recall@{k}", found.recall[k], drawn, len(hits), None, note + chance))
        drawn = about.means(found.ranks.astype(float), of)
        chance = f"; chance {(found.gallery + 1) / 2:.1f}" if name == "image_to_text" else ""
        rows.append(
            about.row(REPORT, f"{name}_mean_rank", found.mean_rank, drawn, len(found.ranks), None, note + chance)
        )
    return rows


def _gallery_note(name: str, found: TextRetrieval) -> str:
    what = "different texts" if name == "image_to_text" else "images"
    return f"among {found.gallery} {what}; {found.duplicates} repeated texts merged"


def _same_class(sample: RetrievalSample, vectors: _Vectors, about: _About, at: Sequence[int]) -> list[Result]:
    """Precision@K: images to images, images to report texts, class texts to images."""
    asks = np.flatnonzero(sample.own_class >= 0)
    if not len(asks):
        raise UsageError(f"no image has one alone of {', '.join(sample.classes)}: there is nothing to ask with.")
    own, most = sample.own_class[asks], max(at)
    rows = []
    candidates = len(sample.image_ids)
    k = min(most, candidates - 1)
    found = nearest(vectors.images[asks], vectors.images, k, leave_out=asks)
    right = sample.has[found, own[:, None]]  # (Q, k)
    rows += _by_image(
        sample, about, "image_to_image", asks, right, at, sample.has, f"among {candidates - 1} other images"
    )
    if len(sample.with_text) > 1:
        rows += _image_to_text(sample, vectors, about, asks, at)
    rows += _by_text(sample, vectors, about, at)
    return rows


def _image_to_text(
    sample: RetrievalSample, vectors: _Vectors, about: _About, asks: np.ndarray, at: Sequence[int]
) -> list[Result]:
    """Of an image's nearest report texts, those that some image of its class has (GLoRIA)."""
    number, first = merged(sample.texts)
    has = np.zeros((len(first), len(sample.classes)), bool)
    np.logical_or.at(has, number, sample.has[sample.with_text])
    own = sample.own_class[asks]
    found = nearest(vectors.images[asks], vectors.texts[first], min(max(at), len(first)))
    right = has[found, own[:, None]]
    return _by_image(
        sample, about, "image_to_text", asks, right, at, has, f"among {len(first)} different texts, its own too"
    )


def _by_image(
    sample: RetrievalSample,
    about: _About,
    name: str,
    asks: np.ndarray,
    right: np.ndarray,
    at: Sequence[int],
    has: np.ndarray,
    among: str,
) -> list[Result]:
    """Rows of image queries, of each class and the mean over classes.

    `right` is (Q, k), whether each neighbor is of the query's class, and `has` (candidates, C) which candidates are of which.
    """
    own, patients, rows = sample.own_class[asks], sample.patients[asks], []
    for k in (k for k in at if k <= right.shape[1]):
        values = right[:, :k].mean(axis=1)
        each = []
        for c, label in enumerate(sample.classes):
            mine = own == c
            if not mine.any():
                continue
            chance = f"{among}; chance {has[:, c].mean():.3f}"
            drawn = about.means(values[mine], patients[mine])
            each.append((float(values[mine].mean()), drawn))
            n, n_positive = int(mine.sum()), int(has[:, c].sum())
            rows.append(about.row(label, f"{name}_precision@{k}", *each[-1], n, n_positive, chance))
        rows.append(_macro(about, f"{name}_precision@{k}", each, len(values), among))
    return rows


def _by_text(sample: RetrievalSample, vectors: _Vectors, about: _About, at: Sequence[int]) -> list[Result]:
    """Rows of class texts. What is uncertain is which images are there: the patients that are found are drawn."""
    count = len(sample.image_ids)
    ks = [k for k in at if k <= count]
    order = nearest(vectors.asked, vectors.images, min(SPARE * max(ks, default=0) + 50, count))
    right = sample.has[order, vectors.asked_class[:, None]]  # (Q, m)
    of_class = [np.flatnonzero(vectors.asked_class == c) for c in range(len(sample.classes))]
    _, unit = np.unique(sample.patients, return_inverse=True)
    drawn: dict[tuple[int, int], list[np.ndarray]] = {(k, c): [] for k in ks for c in range(len(of_class))}
    for counts in Resampler(count, about.replicates, about.seed, unit).counts():
        for k, c in drawn:
            drawn[k, c].append(_precision_drawn(order[of_class[c]], right[of_class[c]], counts, k))
    rows = []
    for k in ks:
        each = []
        for c, label in enumerate(sample.classes):
            value, n_positive = float(right[of_class[c], :k].mean()), int(sample.has[:, c].sum())
            each.append((value, np.concatenate(drawn[k, c])))
            note = f"{len(of_class[c])} texts, among {count} images; chance {n_positive / count:.3f}"
            rows.append(about.row(label, f"text_to_image_precision@{k}", *each[-1], count, n_positive, note))
        note = f"{len(vectors.asked)} texts, among {count} images"
        rows.append(_macro(about, f"text_to_image_precision@{k}", each, count, note))
    return rows


def _precision_drawn(order: np.ndarray, right: np.ndarray, counts: np.ndarray, k: int) -> np.ndarray:
    """(R,) mean over queries of Precision@k where candidate n is there counts[n, r] times.

    `order` is (Q, m), the nearest candidates, and `right` whether they are of the query's class.
    """
    total = np.zeros(counts.shape[1])
    for places, hit in zip(order, right, strict=True):
        there = counts[places].astype(np.int64)  # (m, R)
        before = np.cumsum(there, axis=0) - there
        taken = np.clip(k - before, 0, there)
        total += (taken * hit[:, None]).sum(axis=0) / np.maximum(taken.sum(axis=0), 1)
    return total / len(order)


def _macro(about: _About, metric: str, each: list[tuple[float, np.ndarray]], n: int, note: str) -> Result:
    value = float(np.mean([one for one, _ in each]))
    drawn = np.mean([drawn for _, drawn in each], axis=0)
    return about.row(MACRO, metric, value, drawn, n, None, f"mean over {len(each)} classes; {note}")
