"""The evaluation of a probe or a finetuned model: its test scores against the truth, thresholds from its validation scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from hilum.errors import EvaluationError
from hilum.evaluation.evaluator import Evaluation, evaluate
from hilum.evaluation.resampling import Progress


def evaluate_adapted(
    name: str,
    truth: Mapping[str, pa.Table],
    scores: Mapping[str, pa.Table],
    *,
    dataset: str,
    replicates: int = 1000,
    seed: int = 0,
    by_patient: bool = True,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure scores of the split 'test'; where there is none, those of 'val', without thresholds.

    Args:
        name: of the model in the results.
        truth: split -> table with `image_id`, `patient_id` and a column of 1, 0 or null for each name.
        scores: split -> table with `image_id` and a column of scores for each name.
        dataset: name of the sample in the results.
        replicates: bootstrap resamples.
        seed: of the first.
        by_patient: resample patients, not images.
        out: folder for `results.csv`, figures and `report.html`.
        progress: called with the resamples done and their total.

    Raises:
        EvaluationError: neither split has images.
    """
    measured = next((split for split in ("test", "val") if split in scores), None)
    if measured is None:
        raise EvaluationError(
            f"{dataset}: no image of the splits 'test' and 'val' has a label of the target, so nothing can be measured. "
            "Ingest with a split that has some."
        )
    has_validation = measured == "test" and "val" in scores
    return evaluate(
        truth[measured],
        {name: scores[measured]},
        id_column="image_id",
        patient_column="patient_id" if by_patient else None,
        thresholds_from=scores["val"] if has_validation else None,
        validation_truth=truth["val"] if has_validation else None,
        replicates=replicates,
        seed=seed,
        dataset=dataset if measured == "test" else f"{dataset} (validation images)",
        out=out,
        progress=progress,
    )
