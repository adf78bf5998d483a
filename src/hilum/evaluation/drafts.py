"""Drafts for every study of a split, measured beside a random report and the most frequent one."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from hilum.archive import Archive
from hilum.errors import EvaluationError
from hilum.evaluation.draft_metrics import Embedder, measure_drafts
from hilum.evaluation.results import Result, write_csv
from hilum.models import Model
from hilum.models.model import unit_rows
from hilum.reports import RuleLabeler
from hilum.tables import check_place
from hilum.tasks.composing import NOTICE, Corpus, Own, compose_many
from hilum.tasks.composing.asked import own_of_study, words_of_study
from hilum.tasks.composing.corpus import TEXT, studies_of
from hilum.tasks.composing.drafting import SENTENCES
from hilum.tasks.embedding import OnBatch, embed, vectors_of

SELECTED, NEAREST, SELECT, WHOLE = "selected sentences", "nearest sentences", "report or sentences", "nearest report"
RANDOM, FREQUENT = "a random report", "the most frequent report"
_VIEW_ORDER = ("pa", "ap", "ap_supine", "unknown", "lateral")


@dataclass(frozen=True)
class DraftEvaluation:
    """What was measured of drafts.

    Attributes:
        results: tidy rows, as in `results.csv`; `model` is the way of drafting.
        drafts: way -> the draft of each study.
        references: the reports that were written; `study_ids` go with them.
        studies, patients, texts: how many were drafted for, of how many patients, from how many different texts.
        remarks: what must be known to read the numbers.
    """

    results: tuple[Result, ...]
    drafts: dict[str, list[str]]
    references: list[str]
    study_ids: list[str]
    patients: int
    texts: int
    remarks: tuple[str, ...]

    @property
    def studies(self) -> int:
        """How many studies were drafted for."""
        return len(self.references)

    def get(self, way: str, finding: str, metric: str) -> Result:
        """The one row of this way, finding and metric.

        Raises:
            EvaluationError: there is none.
        """
        for one in self.results:
            if (one.model, one.finding, one.metric) == (way, finding, metric):
                return one
        raise EvaluationError(f"no measured {metric!r} of {finding!r} for {way!r}.")


def evaluate_drafts(
    model: Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    corpus: Corpus | None = None,
    *,
    split: str = "test",
    sentences: int | None = None,
    text: str = TEXT,
    labeler: Any = None,
    replicates: int = 1000,
    seed: int = 0,
    out: str | PathLike[str] | None = None,
    on_batch: OnBatch | None = None,
) -> DraftEvaluation:
    """Draft for every study of a split and compare with the report it has.

    A study is asked for with one image, a frontal one where there is one. Ways: our selection of sentences, the nearest
    sentences and "report or sentences" as CXR-RePaiR drafts them, the nearest whole report; beside a random report of the
    corpus and its most frequent one. No study is given a report of its own patient, by any way.

    Args:
        model: a model with a text tower, or its folder.
        archive: the archive, or its path; image vectors are kept in it.
        corpus: what is drafted from, in sentences; default those of the archive's split "train".
        split: which studies.
        sentences: how many of the nearest; default 6.
        text: the words of a study's report that are the reference, a text policy.
        labeler: reads drafts and references; default the rule labeler. A neural one also gives `labeler_similarity`, the
            S_emb of CXR-RePaiR.
        replicates: bootstrap resamples of patients.
        seed: of the first resample, and of the random reports.
        out: a CSV file for the results.
        on_batch: called with (done, all) while images are embedded.

    Raises:
        EvaluationError: no study of the split has a report.
        ReportError: the corpus is empty.
        ModelError: the model has no text tower.

    Example:
        >>> evaluate_drafts("runs/chexzero", "cxr.hilum").get("selected sentences", "macro", "label_f1")  # doctest: +SKIP
    """
    if out is not None:
        check_place(Path(out))
    model = model if isinstance(model, Model) else Model.load(model)
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    require_text_tower(model)
    corpus = corpus or Corpus.of_archive(archive, text=text)
    labeler = labeler or RuleLabeler()
    asked = _asked(archive, split, text)
    embed(model, archive, where=f"split = '{split}'", on_batch=on_batch)
    vectors = unit_rows(vectors_of(model, archive, [image for image, _, _ in asked]))
    owners = [own for _, own, _ in asked]
    references = [reference for _, _, reference in asked]
    drafts = _all_ways(model, corpus, vectors, owners, sentences or SENTENCES, seed)
    patients = [own.patient_id for own in owners]
    results = measure_drafts(
        references,
        drafts,
        patients,
        labeler,
        _embedders(model, labeler),
        dataset=f"{archive.path.name} {split}",
        replicates=replicates,
        seed=seed,
    )
    if out is not None:
        write_csv(results, Path(out))
    remarks = [NOTICE, _said_cut(model, drafts)]
    return DraftEvaluation(
        tuple(results),
        drafts,
        references,
        [own.study_id for own in owners],
        len(set(patients)),
        len(corpus),
        tuple(filter(None, remarks)),
    )


def require_text_tower(model: Model) -> None:
    """Refuse an encoder of images alone before anything long is begun.

    Raises:
        ModelError: the model has no text tower.
    """
    model.embed_texts([])


def _asked(archive: Archive, split: str, text: str) -> list[tuple[str, Own, str]]:
    """(image id, whose it is, reference) of each study with a report, by its most frontal image."""
    images = archive.images(["image_id", "study_id", "patient_id", "view"], where=f"split = '{split}'").to_pylist()
    best: dict[str, dict[str, Any]] = {}
    for image in sorted(images, key=lambda image: _VIEW_ORDER.index(image["view"])):
        best.setdefault(image["study_id"], image)
    found = []
    for study in studies_of(archive, split):
        reference = words_of_study(study, text)
        image = best.get(study["study_id"] or "")
        if image is not None and reference:
            found.append((image["image_id"], own_of_study(study, image["patient_id"]), reference))
    if not found:
        splits = ", ".join(sorted({str(one) for one in archive.images(["split"])["split"].to_pylist()})) or "none"
        raise EvaluationError(
            f"{archive.path}: no study of the split '{split}' has a report with '{text}' (splits: {splits}); drafts are measured "
            "against reports. Name another split, or other words with --text findings."
        )
    return found


def _all_ways(
    model: Model, corpus: Corpus, vectors: np.ndarray, owners: list[Own], sentences: int, seed: int
) -> dict[str, list[str]]:
    whole = corpus.whole_reports()
    ways = {
        SELECTED: (corpus, "selected", sentences),
        NEAREST: (corpus, "cxr-repair", sentences),
        SELECT: (corpus, "cxr-repair-select", sentences),
        WHOLE: (whole, "cxr-repair", 1),
    }
    drafts = {
        name: [one.text for one in compose_many(vectors, owners, model, source, sentences=most, way=way)]
        for name, (source, way, most) in ways.items()
    }
    chance = np.random.default_rng(seed)
    owned = [corpus.owned(own) for own in owners]
    drafts[RANDOM] = [_random(corpus, left_out, chance) for left_out in owned]
    overall = corpus.most_frequent()
    drafts[FREQUENT] = [corpus.most_frequent(left_out) if left_out else overall for left_out in owned]
    return drafts


def _random(corpus: Corpus, left_out: frozenset[int], chance: np.random.Generator) -> str:
    rows = [row for row in range(len(corpus.reports)) if row not in left_out] if left_out else None
    count = len(rows) if rows is not None else len(corpus.reports)
    if not count:
        return ""
    drawn = int(chance.integers(count))
    return corpus.reports[rows[drawn] if rows is not None else drawn]


def _embedders(model: Model, labeler: Any) -> dict[str, Embedder]:
    embedders: dict[str, Embedder] = {"text_similarity": lambda texts: model.embed_texts(list(texts))}
    if hasattr(labeler, "embed"):
        embedders["labeler_similarity"] = labeler.embed
    return embedders


def _said_cut(model: Model, drafts: dict[str, list[str]]) -> str:
    """How many drafts are longer than the text tower reads: their similarity is of their beginning."""
    most = model.tokenizer.context_length
    cut = {way: int((model.tokenizer.lengths(texts) > most).sum()) for way, texts in drafts.items()}
    told = ", ".join(f"{way} {count}" for way, count in cut.items() if count)
    if not told:
        return ""
    return f"Longer than the {most} tokens that the model reads, so that text_similarity is of their beginning: {told}."
