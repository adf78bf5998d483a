"""The grids of numbers that a person reads: one for each model and kind of metric, one for each comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hilum.evaluation.metrics import CALIBRATION_METRICS, METRICS, RANK_METRICS, THRESHOLD_METRICS
from hilum.evaluation.results import MACRO, Result

SHOWN = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "f1": "F1",
    "mcc": "MCC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "brier": "Brier score",
    "ece": "calibration error",
}
KINDS = {"ranking": RANK_METRICS, "calls": THRESHOLD_METRICS, "calibration": CALIBRATION_METRICS}
UNDEFINED = "-"


@dataclass(frozen=True)
class Grid:
    """A grid of text, ready to be shown.

    Attributes:
        title: whose numbers.
        kind: "ranking", "calls", "calibration" or "difference".
        columns: headings.
        rows: cells, as many in each row as columns; the last row is the macro mean where there is one.
        remarks: what the cells cannot say, one line each.
    """

    title: str
    kind: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()


def grids(results: Iterable[Result]) -> list[Grid]:
    """The grids of an evaluation, models first, in the order of the results."""
    by_model: dict[str, list[Result]] = {}
    for result in results:
        by_model.setdefault(result.model, []).append(result)
    found = []
    for model, rows in by_model.items():
        is_difference = any(row.p_value is not None for row in rows)
        if is_difference:
            found.append(_difference(model, rows))
            continue
        for kind, metrics in KINDS.items():
            present = [metric for metric in metrics if any(row.metric == metric for row in rows)]
            if present:
                found.append(_grid(model, kind, present, rows))
    return found


def reader_grids(results: Sequence[Result]) -> list[Grid]:
    """What several readers are together, as `hilum.evaluation.reader_study` tells it: agreement, their mean beside each model,
    and leave-one-reader-out.
    """
    grids_ = [_agreement(results), _beside_mean(results), _left_out(results)]
    return [grid for grid in grids_ if grid.rows]


def _agreement(results: Sequence[Result]) -> Grid:
    kappas = [row for row in results if row.metric in ("cohen_kappa", "fleiss_kappa")]
    groups = sorted(dict.fromkeys(row.model for row in kappas), key=lambda name: name != "all readers")
    found = {(row.model, row.finding): row for row in kappas}
    lines = []
    for finding in dict.fromkeys(row.finding for row in kappas):
        cells = [found.get((group, finding)) for group in groups]
        name = "mean" if finding == MACRO else finding
        lines.append((name, f"{max((c.n for c in cells if c), default=0):,}", *(number(cell) for cell in cells)))
    heads = [f"{group} ({'Fleiss' if group == 'all readers' else 'Cohen'})" for group in groups]
    return Grid("agreement among readers, kappa", "readers", ("finding", "n", *heads), tuple(lines))


def _beside_mean(results: Sequence[Result]) -> Grid:
    """The mean over readers, and every model less it: means over findings."""
    macros = [row for row in results if row.finding == MACRO and " readers" in row.model and "against" not in row.model]
    own = [row for row in macros if row.model.startswith("mean of ")]
    lines = []
    for row in own:
        lines.append((row.model, SHOWN[row.metric], f"{row.n:,}", number(row), UNDEFINED))
    for row in macros:
        if row.p_value is not None:
            lines.append((row.model, SHOWN[row.metric], f"{row.n:,}", number(row), f"{row.p_value:.3f}"))
    return Grid("readers together, means over findings", "readers", ("", "metric", "n", "value", "p"), tuple(lines))


def _left_out(results: Sequence[Result]) -> Grid:
    """Each reader and model against the majority of the other readers: means over findings."""
    lines = tuple(
        (
            row.model,
            SHOWN[row.metric],
            f"{row.n:,}",
            number(row),
            UNDEFINED if row.p_value is None else f"{row.p_value:.3f}",
        )
        for row in results
        if row.finding == MACRO and "against the" in row.model
    )
    return Grid("leave one reader out, means over findings", "readers", ("", "metric", "n", "value", "p"), lines)


def number(result: Result | None) -> str:
    """A value with its interval.

    Example:
        >>> number(Result("m", "d", "Edema", "auroc", 0.8123, 0.75, 0.86, 90, 20, 1000, 0))
        '0.812 (0.750 to 0.860)'
    """
    if result is None or result.value is None:
        return UNDEFINED
    if result.low is None or result.high is None:
        return f"{result.value:.3f}"
    return f"{result.value:.3f} ({result.low:.3f} to {result.high:.3f})"


def _grid(model: str, kind: str, metrics: list[str], rows: list[Result]) -> Grid:
    cells: dict[str, dict[str, Result]] = {}
    for row in rows:
        if row.metric in metrics:
            cells.setdefault(row.finding, {})[row.metric] = row
    lines, reasons = [], []
    for finding, found in cells.items():
        first = next(iter(found.values()))
        positive = "" if first.n_positive is None else f"{first.n_positive:,}"
        name = _macro_name(first) if finding == MACRO else finding
        lines.append((name, f"{first.n:,}", positive, *(number(found.get(metric)) for metric in metrics)))
        if finding == MACRO:  # average precision is defined without a negative, AUROC is not
            others = [row for row in found.values() if _macro_name(row) != name]
            reasons += [f"{SHOWN[row.metric]}: {_macro_name(row)}" for row in others]
            continue
        why = dict.fromkeys(row.note.split("; ")[0] for row in found.values() if row.value is None)
        reasons += [f"{finding}: {', '.join(why)}"] if why else []
    columns = ("finding", "n", "positive", *(SHOWN[metric] for metric in metrics))
    return Grid(model, kind, columns, tuple(lines), tuple(reasons))


def _difference(model: str, rows: list[Result]) -> Grid:
    present = [metric for metric in METRICS if any(row.metric == metric for row in rows)]
    lines = [
        (
            _macro_name(row) if row.finding == MACRO else row.finding,
            SHOWN[metric],
            f"{row.n:,}",
            number(row),
            UNDEFINED if row.p_value is None else f"{row.p_value:.3f}",
        )
        for metric in present
        for row in rows
        if row.metric == metric
    ]
    return Grid(model, "difference", ("finding", "metric", "n", "difference", "p"), tuple(lines))


def _macro_name(row: Result) -> str:
    return next((part for part in row.note.split("; ") if part.startswith("mean over")), MACRO)
