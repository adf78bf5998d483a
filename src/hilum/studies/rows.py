"""Tidy rows of a study, and Holm's correction over datasets."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

MACRO = "macro"


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        model, dataset, adaptation, part: of the arm.
        seeds: whose mean it is, with blanks between.
        less: the baseline subtracted, as "model, adaptation"; blank where the number is the arm's own.
        finding: its name, or "macro" for the mean over findings with enough positives.
        metric: such as "auroc".
        value, low, high: on the test images, and the bootstrap interval; None where undefined, with the reason in `note`.
        n, n_positive: images evaluated, and those with the finding (None of a mean).
        p: two-sided, of a difference; `p_holm` corrected over datasets where that was asked.
        replicates, resample_seed: of the bootstrap.
        note: what else must be known to read the number.
    """

    model: str
    dataset: str
    adaptation: str
    part: str
    seeds: str
    less: str
    finding: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_positive: int | None
    p: float | None
    p_holm: float | None
    replicates: int
    resample_seed: int
    note: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def with_holm(rows: Sequence[Row]) -> list[Row]:
    """Rows with p-values corrected over datasets: a family is one comparison of means, of one metric, on every dataset."""
    families: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if row.p is not None and row.finding == MACRO:
            key = (row.model, row.adaptation, row.part, row.less, row.metric)
            families.setdefault(key, []).append(place)
    result = list(rows)
    for places in families.values():
        corrected = holm([float(rows[place].p or 0.0) for place in places])
        for place, p in zip(places, corrected, strict=True):
            result[place] = replace(rows[place], p_holm=p)
    return result


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, so_far = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = so_far
    return corrected


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write results.csv: an undefined number is an empty cell, every other is written to its last digit."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            cells = {name: getattr(row, name) for name in COLUMNS}
            writer.writerow({name: "" if cell is None else cell for name, cell in cells.items()})
    os.replace(temporary, path)


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a study's results.csv, as they were written."""

    with Path(path).open(newline="", encoding="utf-8") as file:
        return [_read(saved) for saved in csv.DictReader(file)]


def _read(saved: dict[str, str]) -> Row:
    def number(name: str) -> float | None:
        return float(saved[name]) if saved[name] else None

    n_positive = int(saved["n_positive"]) if saved["n_positive"] else None
    text = [saved[name] for name in COLUMNS[:8]]
    model, dataset, adaptation, part, seeds, less, finding, metric = text
    return Row(
        model, dataset, adaptation, part, seeds, less, finding, metric,
        number("value"), number("low"), number("high"), int(saved["n"]), n_positive, number("p"), number("p_holm"),
        int(saved["replicates"]), int(saved["resample_seed"]), saved["note"],
    )  # fmt: skip
