"""What an evaluation measured, as tidy rows that every table, figure and page is drawn from."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

COLUMNS = (
    "model", "dataset", "finding", "metric", "value", "low", "high", "n", "n_positive", "replicates", "seed", "note",
)  # fmt: skip
MACRO = "macro"


@dataclass(frozen=True)
class Result:
    """One measured number and what it takes to trust it.

    Attributes:
        model: a score file's or reader's name, or "A - B" for a paired difference.
        dataset: the sample's name.
        finding: the finding's name, or "macro" for the mean over findings.
        metric: lower case, such as "auroc".
        value: the metric on the whole sample; None where undefined, with the reason in `note`.
        low: lower end of the bootstrap interval; None where there is none.
        high: upper end.
        n: images evaluated.
        n_positive: those with the finding; None for a macro mean.
        replicates: bootstrap resamples.
        seed: of the first resample.
        note: what else must be known to read the number.
        p_value: two-sided, of a difference; also in `note`.
    """

    model: str
    dataset: str
    finding: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_positive: int | None
    replicates: int
    seed: int
    note: str = ""
    p_value: float | None = None

    def row(self) -> dict[str, Any]:
        """The columns of `results.csv`."""
        return {column: getattr(self, column) for column in COLUMNS}


def as_table(results: Iterable[Result]) -> pa.Table:
    """The rows as a table with the columns of `results.csv`."""
    number, count, text = pa.float64(), pa.int64(), pa.string()
    kinds = (text, text, text, text, number, number, number, count, count, count, count, text)
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    return pa.Table.from_pylist([result.row() for result in results], schema=schema)


def write_csv(results: Sequence[Result], path: str | Path) -> None:
    """Write `results.csv`: an undefined number is an empty cell; every other is written to its last digit."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for result in results:
            writer.writerow({key: "" if cell is None else cell for key, cell in result.row().items()})
    os.replace(partial, path)


def read_csv(path: str | Path) -> list[Result]:
    """The rows of a `results.csv`, as they were written."""

    def number(cell: str) -> float | None:
        return float(cell) if cell else None

    with Path(path).open(newline="", encoding="utf-8") as file:
        return [
            Result(
                row["model"],
                row["dataset"],
                row["finding"],
                row["metric"],
                number(row["value"]),
                number(row["low"]),
                number(row["high"]),
                int(row["n"]),
                int(row["n_positive"]) if row["n_positive"] else None,
                int(row["replicates"]),
                int(row["seed"]),
                row["note"],
            )
            for row in csv.DictReader(file)
        ]


def as_json(results: Iterable[Result]) -> str:
    """The rows as a JSON list; undefined numbers are null."""
    return json.dumps([asdict(result) for result in results], indent=2)
