"""From tables of truth and scores to every number, interval, difference and picture of one evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hilum.errors import EvaluationError, UsageError
from hilum.evaluation.joining import Joined, Sample, join
from hilum.evaluation.matching import Unmatched
from hilum.evaluation.measurement import Measurement, Settings
from hilum.evaluation.reader_study import reader_study
from hilum.evaluation.resampling import Progress, require_level
from hilum.evaluation.results import Result, write_csv
from hilum.evaluation.sheets import TableLike, stem_of
from hilum.evaluation.thresholds import RULES, best_threshold

log = logging.getLogger(__name__)

Example = tuple[bytes, str]

FEW_PATIENTS = 5  # positives of fewer do not make a sample


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One evaluation: its rows, its sample, and what did not match.

    Attributes:
        results: every number, in the order of the printed table.
        sample: the images evaluated.
        settings: how the numbers were made.
        thresholds: (model, finding) -> operating point chosen on validation scores.
        unmatched: ids and columns that found no counterpart.
        remarks: what a reader of the numbers should know.
        examples: pictures shown in the report, as (PNG bytes, caption).
        readers_together: of two or more readers their mean, their agreement, and each against the others.
    """

    results: tuple[Result, ...]
    sample: Sample
    settings: Settings
    thresholds: dict[tuple[str, str], float]
    unmatched: tuple[Unmatched, ...]
    remarks: tuple[str, ...]
    examples: tuple[Example, ...] = field(default=())
    readers_together: tuple[Result, ...] = field(default=())

    def get(self, model: str, finding: str, metric: str) -> Result:
        """The row of one number.

        Raises:
            UsageError: there is no such row.
        """
        for result in (*self.results, *self.readers_together):
            if (result.model, result.finding, result.metric) == (model, finding, metric):
                return result
        raise UsageError(f"no result for model {model!r}, finding {finding!r}, metric {metric!r}.")

    def method(self) -> str:
        """How the intervals were made, in one sentence."""
        made = self.settings
        unit = (
            f"{len(set(self.sample.patients))} patients" if self.sample.patients else f"{len(self.sample.ids)} images"
        )
        return (
            f"Intervals: {made.level:.0%} percentile bootstrap, {made.replicates} resamples of {unit}, "
            f"seed {made.seed}, the same resamples for every finding, model and reader."
        )

    def write(self, folder: str | Path) -> Path:
        """Write `results.csv`, the figures and `report.html` into a folder, and of several readers `readers.csv`."""
        folder = Path(folder)
        # Here, because drawing loads matplotlib, and measuring does not need it.
        from hilum.evaluation.figures import draw
        from hilum.evaluation.html_report import render

        pictures = draw(self)
        page = render(self, pictures)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_csv(self.results, folder / "results.csv")
            if self.readers_together:
                write_csv(self.readers_together, folder / "readers.csv")
            for picture in pictures:
                (folder / f"{picture.name}.png").write_bytes(picture.png)
                (folder / f"{picture.name}.svg").write_bytes(picture.svg)
            (folder / "report.html").write_text(page, encoding="utf-8")
        except OSError as error:
            raise EvaluationError(f"the results cannot be written to {folder}: {error.strerror}.") from error
        return folder


def evaluate(
    truth: TableLike | Sequence[TableLike],
    scores: TableLike | Sequence[TableLike] | Mapping[str, TableLike],
    readers: Sequence[TableLike] | Mapping[str, TableLike] = (),
    *,
    id_column: str | None = None,
    patient_column: str | None = None,
    thresholds_from: TableLike | Sequence[TableLike] | None = None,
    validation_truth: TableLike | None = None,
    threshold_rule: str = "mcc",
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    uncertain: str = "ignore",
    blank: str = "ignore",
    dataset: str | None = None,
    examples: Sequence[Example] = (),
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure how well scores, and human readers, agree with the truth, with bootstrap intervals for every number.

    Args:
        truth: a table (path, pyarrow table or dict of columns) of 1, 0, -1 (uncertain) or blank for each finding; or
            several, put under each other.
        scores: a table of scores in [0, 1] for each model: one, several, or {name: table}. Files are named by
            their stem.
        readers: tables of 0/1 calls of human readers.
        id_column: the column to join on, the same in every table; found by name when None.
        patient_column: resample patients with all their images, not images.
        thresholds_from: scores on validation images, one table for each score table. Each finding's operating point is
            chosen on them; their ids are left out of the test.
        validation_truth: truth of the validation images where `truth` does not hold it.
        threshold_rule: what the operating point makes largest: "mcc" (as CheXzero), "f1" or "youden". One point
            serves F1, MCC, sensitivity and specificity.
        replicates: bootstrap resamples, the same for all findings, models and readers.
        level: of the percentile intervals.
        seed: replicate i is drawn from seed + i.
        uncertain: what -1 in the truth counts as: "ignore" (not evaluated), "positive" or "negative".
        blank: what a blank truth counts as: "ignore" or "negative".
        dataset: name of the sample in the results; the truth file's stem when None.
        examples: pictures for the report, as (PNG bytes, caption).
        out: folder for `results.csv`, figures and `report.html`.
        progress: called with the resamples done and their total, now and then.

    Raises:
        EvaluationError: the tables cannot be compared, or hold values they should not.
        TableError: a file cannot be read.
        UsageError: the call itself is wrong.

    Example:
        >>> truth = {"id": ["a", "b", "c", "d"], "Edema": [0, 0, 1, 1]}
        >>> scores = {"id": ["d", "c", "b", "a"], "edema": [0.9, 0.3, 0.4, 0.1]}
        >>> evaluation = evaluate(truth, {"ours": scores}, replicates=20)
        >>> evaluation.get("ours", "Edema", "auroc").value
        0.75
    """
    if threshold_rule not in RULES:
        raise UsageError(f"threshold_rule is {threshold_rule!r}; expected one of {', '.join(RULES)}.")
    require_level(level)
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"{out} is a file; expected a folder for the results, made if it is not there.")
    models, people = _named(scores, "model"), _named(readers, "reader")
    if not models:
        raise UsageError("no scores given; expected at least one table of scores.")
    both = sorted(set(models) & set(people))
    if both:
        raise UsageError(f"{both[0]!r} names both a score file and a reader; rename one of the files.")
    joined = join(
        truth, models, people, _validation_tables(thresholds_from, models), validation_truth,
        id_column, patient_column, uncertain, blank,
    )  # fmt: skip
    settings = Settings(dataset or _name_of(truth), replicates, level, seed, threshold_rule, patient_column is not None)
    thresholds, no_threshold = _choose_thresholds(joined, threshold_rule)
    measurement = Measurement(joined.test, settings, thresholds, no_threshold, progress)
    evaluation = Evaluation(
        tuple(measurement.results()),
        joined.test,
        settings,
        thresholds,
        joined.unmatched,
        _remarks(joined),
        tuple(examples),
        tuple(reader_study(measurement)),
    )
    for one in joined.unmatched:
        log.info("%s", one)
    if out is not None:
        evaluation.write(out)
    return evaluation


def _choose_thresholds(joined: Joined, rule: str) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], str]]:
    """The operating point of each model and finding, and why where there is none."""
    thresholds: dict[tuple[str, str], float] = {}
    missing: dict[tuple[str, str], str] = {}
    if joined.validation is None:
        return thresholds, missing
    for name in joined.validation.models:
        for finding in joined.validation.findings:
            truth, values, evaluated = joined.validation.series_of(name, finding)
            found = best_threshold(truth[evaluated], values[evaluated], rule)
            if found is not None:
                thresholds[name, finding] = found
            else:
                n, n_positive = int(evaluated.sum()), int((truth[evaluated] == 1).sum())
                missing[name, finding] = f"no threshold: {n_positive} positive among {n} validation images"
    return thresholds, missing


def _remarks(joined: Joined) -> tuple[str, ...]:
    remarks = []
    if joined.validation is None:
        remarks.append(
            "F1, MCC, sensitivity and specificity of a model need thresholds chosen on other images: "
            "give their scores with --thresholds-from."
        )
    if joined.patients_unused:
        column, patients = joined.patients_unused
        remarks.append(
            f"The {len(joined.test.ids)} images are of {patients} patients, yet were resampled one by one, which makes "
            f"intervals too narrow: resample patients with --patient {column}."
        )
    if joined.shared_patients:
        remarks.append(
            f"{joined.shared_patients} patients have images both in the validation and in the test sample: the "
            "thresholds have seen them. Split by patient."
        )
    few = _findings_of_few_patients(joined.test)
    if few:
        remarks.append(
            f"Positives of fewer than {FEW_PATIENTS} patients: {', '.join(few)}. Resampling cannot tell how other patients "
            "would score: do not trust their intervals."
        )
    return tuple(remarks)


def _findings_of_few_patients(sample: Sample) -> list[str]:
    """Findings with positives, of too few patients, as "Hernia (8 images of 1)"."""
    if sample.patients is None:
        return []
    patients, found = np.array(sample.patients), []
    for column, finding in enumerate(sample.findings):
        positive = sample.truth[:, column] == 1
        count = len(np.unique(patients[positive]))
        if 0 < count < FEW_PATIENTS:
            found.append(f"{finding} ({positive.sum()} images of {count})")
    return found


def _named(tables: TableLike | Sequence[TableLike] | Mapping[str, TableLike], kind: str) -> dict[str, TableLike]:
    """name -> table: names of a mapping of tables, stems of paths, or model_1, model_2, ..."""
    if isinstance(tables, Mapping) and all(_is_table(one) for one in tables.values()):
        return dict(tables)
    several: list[TableLike] = list(tables) if isinstance(tables, list | tuple) else [tables]
    stems = [stem_of(one) if isinstance(one, str | Path) else f"{kind}_{n}" for n, one in enumerate(several, start=1)]
    if len(set(stems)) < len(stems):  # a/scores.csv and b/scores.csv: say which folder
        stems = [
            f"{Path(one).resolve().parent.name}/{stem}" if isinstance(one, str | Path) else stem
            for one, stem in zip(several, stems, strict=True)
        ]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise UsageError(
            f"two {kind} files are named {twice[0]!r}; results could not be told apart. Rename one of them."
        )
    return dict(zip(stems, several, strict=True))


def _is_table(one: object) -> bool:
    return isinstance(one, str | Path | Mapping) or hasattr(one, "column_names")


def _validation_tables(
    thresholds_from: TableLike | Sequence[TableLike] | Mapping[str, TableLike] | None, models: Mapping[str, TableLike]
) -> dict[str, TableLike]:
    if thresholds_from is None or (isinstance(thresholds_from, list | tuple) and not thresholds_from):
        return {}
    if isinstance(thresholds_from, Mapping) and set(thresholds_from) == set(models):
        return dict(thresholds_from)
    several = list(thresholds_from) if isinstance(thresholds_from, list | tuple) else [thresholds_from]
    if len(several) != len(models):
        raise UsageError(
            f"thresholds-from names {len(several)} tables for {len(models)} score tables; expected one "
            "for each model, in the same order: --scores A.csv --thresholds-from A_valid.csv --scores B.csv "
            "--thresholds-from B_valid.csv."
        )
    return dict(zip(models, several, strict=True))


def _name_of(truth: TableLike | Sequence[TableLike]) -> str:
    first = truth[0] if isinstance(truth, list | tuple) else truth
    return stem_of(first) if isinstance(first, str | Path) else "dataset"
