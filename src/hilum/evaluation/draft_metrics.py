"""How near drafted reports come to the reports that were written: labels, words and vectors, with intervals by patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hilum.errors import EvaluationError
from hilum.evaluation.bleu import MOST_WORDS, bleu, bleu_counts
from hilum.evaluation.resampling import Resampler, interval, two_sided_p
from hilum.evaluation.results import MACRO, Result
from hilum.findings import CHEXPERT_NAMES
from hilum.models.model import unit_rows
from hilum.reports.grid import CODES, POSITIVE
from hilum.reports.state_metrics import generation_f1

MICRO, REPORT = "micro", "report"
Embedder = Callable[[Sequence[str]], np.ndarray]  # N texts to (N, D)
# (finding, metric) -> (1 + replicates,): the sample's value, then the replicates'
Values = dict[tuple[str, str], np.ndarray]


def measure_drafts(
    references: Sequence[str],
    drafts: Mapping[str, Sequence[str]],
    patients: Sequence[str],
    labeler: Any,
    embedders: Mapping[str, Embedder],
    *,
    dataset: str,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Result]:
    """Measure several ways of drafting on the same studies; all see the same resamples of patients.

    Labels: both texts are read by one labeler, and only "positive" counts as there (blank and uncertain are absent, as in
    CXR-RePaiR's evaluation). Macro F1 is the mean over the 14 observations, an empty one counting 0; macro precision and
    recall count 1 where nothing was said, or was there. Words: BLEU. Vectors: the mean cosine of draft and reference.

    Args:
        references: N reports that were written.
        drafts: way -> N drafted reports; the first way is compared with each of the others.
        patients: N; drawn with all their studies.
        labeler: a rule or neural labeler (`label_many`).
        embedders: metric -> what turns texts into vectors.
        dataset: the sample's name in the results.
        replicates: bootstrap resamples.
        level: of the percentile intervals.
        seed: of the first resample.

    Returns:
        One row a number; then the paired differences, first way minus each other.

    Raises:
        EvaluationError: lengths differ, or there is nothing to measure.
    """
    sizes = {len(references), len(patients), *map(len, drafts.values())}
    if len(sizes) != 1 or not references or not drafts:
        raise EvaluationError(f"drafts, references and patients in numbers {sorted(sizes)}; expected as many of each.")
    patient_of = np.unique(np.asarray(patients), return_inverse=True)[1].reshape(-1)
    resampler = Resampler(len(references), replicates, seed, patient_of)
    weights = np.concatenate([np.ones((1, len(references))), *(chunk.T for chunk in resampler.counts())])
    gold = label_codes(labeler, references)
    vectors = {name: unit_rows(embed(references)) for name, embed in embedders.items()}
    measured: dict[str, Values] = {}
    for way, texts in drafts.items():
        cosines = {
            name: (unit_rows(embed(texts)) * vectors[name]).sum(1).astype(np.float64)
            for name, embed in embedders.items()
        }
        measured[way] = _values(gold, label_codes(labeler, texts), bleu_counts(texts, references), cosines, weights)
    positives = (gold == POSITIVE).sum(0)

    def row(way: str, key: tuple[str, str], values: np.ndarray, note: str = "", p: float | None = None) -> Result:
        finding, metric = key
        found = interval(values[1:], level)
        value = None if np.isnan(values[0]) else float(values[0])
        n_positive = int(positives[CHEXPERT_NAMES.index(finding)]) if finding in CHEXPERT_NAMES else None
        if value is None:
            note = "neither the references nor the drafts say it"
        ends = (found.low, found.high) if value is not None else (None, None)
        return Result(
            way, dataset, finding, metric, value, *ends, len(references), n_positive, replicates, seed, note, p
        )

    rows = [row(way, key, values) for way, found in measured.items() for key, values in found.items()]
    first, *others = measured
    for other in others:
        for key, values in measured[first].items():
            if key[0] in CHEXPERT_NAMES:
                continue
            apart = values - measured[other][key]
            p = two_sided_p(apart[1:])
            rows.append(row(f"{first} - {other}", key, apart, f"paired difference, p = {p:.3g}" if p else "", p))
    return rows


def label_codes(labeler: Any, texts: Sequence[str]) -> np.ndarray:
    """(N, 14) class codes of texts, in the order of the CheXpert observations; equal texts are read once."""
    different = list(dict.fromkeys(texts))
    read = {
        text: [CODES[labels.values[name]] for name in CHEXPERT_NAMES]
        for text, labels in zip(different, labeler.label_many(different), strict=True)
    }
    return np.array([read[text] for text in texts], np.int8).reshape(-1, len(CHEXPERT_NAMES))


def _values(
    gold: np.ndarray, said: np.ndarray, counts: np.ndarray, cosines: Mapping[str, np.ndarray], weights: np.ndarray
) -> Values:
    """Every metric on the sample and on each resample."""
    found: Values = {}
    for average, name in (("macro", MACRO), ("micro", MICRO)):
        found[name, "label_f1"] = generation_f1(gold, said, uncertain="absent", average=average, weights=weights)
    there, told = (gold == POSITIVE).astype(np.float64), (said == POSITIVE).astype(np.float64)
    hit, spoken, present = weights @ (there * told), weights @ told, weights @ there  # (draws, 14)
    found[MACRO, "label_precision"] = _share(hit, spoken, 1.0).mean(1)
    found[MACRO, "label_recall"] = _share(hit, present, 1.0).mean(1)
    scores = bleu(weights @ counts)
    found |= {(REPORT, f"bleu_{n + 1}"): scores[:, n] for n in range(MOST_WORDS)}
    found |= {(REPORT, name): weights @ each / weights.sum(1) for name, each in cosines.items()}
    f1 = _share(2 * hit, spoken + present, np.nan)
    return found | {(name, "label_f1"): f1[:, column] for column, name in enumerate(CHEXPERT_NAMES)}


def _share(over: np.ndarray, under: np.ndarray, otherwise: float) -> np.ndarray:
    return np.divide(over, under, out=np.full(under.shape, otherwise), where=under != 0)
