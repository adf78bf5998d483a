"""Agreement of labelers with a gold standard, with bootstrap intervals and paired differences.

Reports are drawn with replacement (whole patients, when a group column is named); every labeler sees the same draws,
so a difference between two of them is paired. Each replicate is a vector of counts; every metric a function of counts.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from hilum.errors import EvaluationError, UsageError
from hilum.findings import CHEXPERT_NAMES
from hilum.reports import state_metrics
from hilum.reports.grid import BLANK, NEGATIVE, NO_FINDING, POSITIVE, UNCERTAIN, LabelGrid, read_grid
from hilum.reports.joining import GOLD_KINDS, join, kind_of, named_apart, without_negative_no_finding

log = logging.getLogger(__name__)

MACRO, MICRO = "macro", "micro"

# How much of the draws (replicates x reports) is held at once: 32 million float32, 128 MB.
_DRAWS_AT_ONCE = 32_000_000

_SETS = {"14": CHEXPERT_NAMES, "5": state_metrics.FIVE}


@dataclass(frozen=True)
class AgreementRow:
    """One measured number.

    Attributes:
        model: the labeler, or "B - A" for a paired difference.
        dataset: the gold table.
        finding: a finding, "macro" (mean over findings) or "micro" (all cells pooled).
        metric: such as "uncertain_f1"; None in `value` when it is undefined, with the reason in `note`.
        low, high: percentile bootstrap interval.
        n: reports (cells for micro); n_positive: of these, what the gold counts as a hit for this metric.
        replicates: bootstrap replicates in which the metric was defined.
        p_value: two-sided, of a difference against none; None otherwise.
    """

    model: str
    dataset: str
    finding: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_positive: int
    replicates: int
    seed: int
    note: str = ""
    p_value: float | None = None


@dataclass(frozen=True)
class Agreement:
    """All rows of a comparison, and what a reader must know of how it was made."""

    rows: tuple[AgreementRow, ...]
    gold_kind: str
    notes: tuple[str, ...]

    def row(self, model: str, finding: str, metric: str) -> AgreementRow:
        """The one row of this model, finding and metric.

        Raises:
            EvaluationError: there is none.
        """
        for row in self.rows:
            if (row.model, row.finding, row.metric) == (model, finding, metric):
                return row
        raise EvaluationError(f"no measured {metric!r} of {finding!r} for {model!r}.")

    def to_csv(self, path: Path) -> None:
        """Write the tidy table, one measured number a row."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [field.name for field in fields(AgreementRow)])
            table.writeheader()
            table.writerows(asdict(row) for row in self.rows)


def compare_labels(
    gold: Path | LabelGrid,
    predicted: Sequence[Path | LabelGrid],
    *,
    gold_kind: str = "auto",
    id_column: str | None = None,
    group_column: str | None = None,
    generation: Sequence[str] = (),
    replicates: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """How well each labeler agrees with a gold standard, finding by finding and on average.

    Args:
        gold: the gold labels, a file or a grid.
        predicted: one or more labelers' labels; reports are joined by identifier, columns by name.
        gold_kind: "four-state" (1, 0, -1, nothing = not mentioned), "binary" (1 present, 0 absent, nothing = left out)
            or "auto": four-state, unless the table can only be binary (a 0 for No Finding, or hardly an empty cell).
        id_column: the identifier's column in every file; by default the first usual name.
        group_column: a column of the gold whose rows are drawn together, such as the patient.
        generation: clinical F1 as used for generated reports, each named "UNCERTAIN/SET/AVERAGE", as in
            "present/5/micro": uncertain counts as present or absent; 5 or 14 observations; micro, macro, weighted or
            samples.
        replicates: bootstrap replicates; 0 gives no intervals.
        confidence: coverage of the intervals.
        seed: of the draws.

    Raises:
        TableError: a file does not hold labels.
        EvaluationError: no report or no finding in common.
        UsageError: an option has no such value.

    Example:
        >>> import numpy as np
        >>> gold = LabelGrid("gold", ("a", "b", "c"), ("Edema",), np.array([[1], [2], [3]]))
        >>> rules = LabelGrid("rules", ("a", "b", "c"), ("Edema",), np.array([[1], [2], [0]]))
        >>> result = compare_labels(gold, [rules], replicates=0)
        >>> result.row("rules", "Edema", "positive_f1").value
        1.0
    """
    _check(gold_kind, generation, replicates, confidence)
    truth = gold if isinstance(gold, LabelGrid) else read_grid(gold, id_column, group_column)
    grids = named_apart([p if isinstance(p, LabelGrid) else read_grid(p, id_column) for p in predicted])
    if not grids:
        raise UsageError("nothing to compare with the gold labels; give at least one labeler's table.")
    notes: list[str] = []
    kind, why = kind_of(truth, gold_kind)
    if why:
        notes.append(why)
    rows_of, findings = join(truth, grids, notes)
    gold_codes = truth.select(rows_of[0], findings)
    codes = [grid.select(rows, findings) for grid, rows in zip(grids, rows_of[1:], strict=True)]
    if kind == "four-state":
        gold_codes = without_negative_no_finding(gold_codes, findings, notes, truth.name)
    groups = None if truth.groups is None else [truth.groups[row] for row in rows_of[0]]
    measured: list[Metrics] = []  # a labeler's (finding, metric) -> (1 + replicates,): the sample, then its replicates
    for predicted_codes in codes:
        parts = [
            _metrics(kind, gold_codes, predicted_codes, findings, generation, weights)
            for weights in _draws(len(gold_codes), replicates, seed, groups)
        ]
        measured.append({key: np.concatenate([part[key] for part in parts]) for key in parts[0]})
    supports = _supports(kind, gold_codes, findings, list(measured[0]))

    rows: list[AgreementRow] = []
    for grid, metrics in zip(grids, measured, strict=True):
        for (finding, metric), values in metrics.items():
            value, low, high, defined = _interval(values, confidence)
            note = "" if value is not None else _why_undefined(finding, metric)
            support = supports[finding, metric]
            rows.append(
                AgreementRow(grid.name, truth.name, finding, metric, value, low, high, *support, defined, seed, note)
            )
    for first, second in combinations(range(len(grids)), 2):
        rows += _differences(rows, grids[first], grids[second], measured[first], measured[second], confidence)
    return Agreement(tuple(rows), kind, tuple(notes))


Metrics = dict[tuple[str, str], np.ndarray]


def _metrics(
    kind: str,
    gold: np.ndarray,
    predicted: np.ndarray,
    findings: Sequence[str],
    generation: Sequence[str],
    weights: np.ndarray,
) -> Metrics:
    """(finding, metric) -> (draws,) values, for the (draws, reports) weights."""
    counts = state_metrics.confusion(gold, predicted, weights)  # (draws, findings, 4, 4)
    pooled = counts.sum(1, keepdims=True)
    found: Metrics = {}

    def keep(metric: str, each: np.ndarray, micro: np.ndarray | None) -> None:
        found.update({(finding, metric): each[:, column] for column, finding in enumerate(findings)})
        found[MACRO, metric] = state_metrics.macro(metric, each, findings)
        if micro is not None:
            found[MICRO, metric] = micro[:, 0]

    if kind == "four-state":
        together = state_metrics.four_state(pooled, ["all"])
        for metric, each in state_metrics.four_state(counts, findings).items():
            # A pooled weighted F1 is none of the published numbers.
            keep(metric, each, None if metric == "weighted_f1" else together[metric])
        for name in generation:
            uncertain, which, average = name.split("/")
            columns = [findings.index(finding) for finding in _SETS[which]]
            pair = gold[:, columns], predicted[:, columns]
            value = state_metrics.generation_f1(*pair, uncertain=uncertain, average=average, weights=weights)
            found[f"F1-{which}", f"{average}, uncertain={uncertain}"] = value
            same = state_metrics.exact_match(*pair, uncertain=uncertain, weights=weights)
            found[f"F1-{which}", f"exact_match, uncertain={uncertain}"] = same
    else:
        for uncertain in state_metrics.UNCERTAIN_AS:
            together = state_metrics.binary(pooled, uncertain)
            for metric, each in state_metrics.binary(counts, uncertain).items():
                keep(f"{metric}, uncertain={uncertain}", each, together[metric])
    return found


def _supports(
    kind: str, gold: np.ndarray, findings: Sequence[str], keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[int, int]]:
    """(finding, metric) -> reports (or cells) compared, and of these the gold's hits."""
    counted = {"positive_f1": [POSITIVE], "negative_f1": [NEGATIVE], "uncertain_f1": [UNCERTAIN], "blank_f1": [BLANK]}
    supports = {}
    for finding, metric in keys:
        if finding.startswith("F1-"):
            cells = gold[:, [findings.index(name) for name in _SETS[finding.removeprefix("F1-")]]]
            hits = [POSITIVE, UNCERTAIN] if metric.endswith("present") else [POSITIVE]
        else:
            cells = gold if finding in (MACRO, MICRO) else gold[:, [findings.index(finding)]]
            hits = [POSITIVE] if kind == "binary" else counted.get(metric, [POSITIVE, NEGATIVE, UNCERTAIN])
        compared = cells[cells != BLANK] if kind == "binary" else cells
        n = compared.size if finding == MICRO or (kind == "binary" and finding != MACRO) else len(gold)
        supports[finding, metric] = int(n), int(np.isin(compared, hits).sum())
    return supports


def _draws(reports: int, replicates: int, seed: int, groups: Sequence[str] | None) -> Iterator[np.ndarray]:
    """(some draws, reports) float32: how often each draw holds each report; the first draw is the sample itself."""
    yield np.ones((1, reports), dtype=np.float32)
    chance = np.random.default_rng(seed)
    place = np.arange(reports) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    units = int(place.max()) + 1
    step = max(1, _DRAWS_AT_ONCE // reports)
    for start in range(0, replicates, step):
        some = min(step, replicates - start)
        counts = [np.bincount(chance.integers(0, units, units), minlength=units) for _ in range(some)]
        yield np.stack(counts).astype(np.float32)[:, place]


def _interval(values: np.ndarray, confidence: float) -> tuple[float | None, float | None, float | None, int]:
    """The sample's value, its interval over the replicates where the metric is defined, and how many these are."""
    if np.isnan(values[0]):
        return None, None, None, 0
    value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
    if not len(drawn):
        return value, None, None, 0
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return value, float(low), float(high), len(drawn)


def _differences(
    rows: Sequence[AgreementRow],
    first: LabelGrid,
    second: LabelGrid,
    first_values: Metrics,
    second_values: Metrics,
    confidence: float,
) -> list[AgreementRow]:
    """Second minus first, on the same draws; p is twice the smaller share of replicates on either side of zero."""
    differences = []
    for row in rows:
        if row.model != first.name:
            continue
        apart = second_values[row.finding, row.metric] - first_values[row.finding, row.metric]
        value, low, high, defined = _interval(apart, confidence)
        p_value = None
        if defined:
            drawn = apart[1:][~np.isnan(apart[1:])]
            p_value = min(1.0, 2 * (1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))) / (len(drawn) + 1))
        differences.append(
            replace(
                row,
                model=f"{second.name} - {first.name}",
                value=value,
                low=low,
                high=high,
                replicates=defined,
                note="paired difference" if value is not None else "undefined for one of the two",
                p_value=p_value,
            )
        )
    return differences


def _check(gold_kind: str, generation: Sequence[str], replicates: int, confidence: float) -> None:
    if gold_kind not in GOLD_KINDS:
        raise UsageError(f"gold kind {gold_kind!r} is not known; expected one of {', '.join(GOLD_KINDS)}.")
    if replicates < 0 or not 0 < confidence < 1:
        raise UsageError(
            f"{replicates} replicates at confidence {confidence}; expected 0 or more, and a share such as 0.95."
        )
    for name in generation:
        parts = name.split("/")
        choices = (state_metrics.UNCERTAIN_AS, tuple(_SETS), state_metrics.AVERAGES)
        if len(parts) != 3 or any(part not in choice for part, choice in zip(parts, choices, strict=True)):
            raise UsageError(
                f"generation F1 {name!r}; expected UNCERTAIN/SET/AVERAGE, such as present/5/micro: "
                + "; ".join(" or ".join(choice) for choice in choices)
            )


def _why_undefined(finding: str, metric: str) -> str:
    if finding == NO_FINDING and metric in ("negative_f1", "uncertain_f1"):
        return "No Finding is only said or not said"
    return "neither the gold nor the labeler says it in any report"
