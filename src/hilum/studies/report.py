"""From the finished cells of a study to results.csv, tables, figures and one HTML page."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hilum import __version__
from hilum.errors import UsageError
from hilum.evaluation.figures import Picture
from hilum.studies.cells import cells_of
from hilum.studies.figures import draw
from hilum.studies.measuring import measure
from hilum.studies.rows import Row, with_holm, write_rows
from hilum.studies.spec import Study
from hilum.studies.store import DONE, Record, Store
from hilum.studies.tables import Table, tables


@dataclass(frozen=True, eq=False)
class Report:
    """A study's outcome.

    Attributes:
        study: what was compared.
        records: one for each cell that was tried.
        waiting: how many cells were not.
        rows: every number.
        tables, pictures: drawn from the rows.
        folder: where all of it was written.
    """

    study: Study
    records: tuple[Record, ...]
    waiting: int
    rows: tuple[Row, ...]
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]
    folder: Path

    @property
    def done(self) -> int:
        """Cells with scores."""
        return sum(record.status == DONE for record in self.records)

    @property
    def missing(self) -> int:
        """Cells without, and with a reason."""
        return len(self.records) - self.done


def write_report(study: Study, store: Store, on_dataset: Callable[[str], None] | None = None) -> Report:
    """Measure what is finished and write it: `results.csv`, `tables/`, `figures/` and `study.html`.

    Args:
        study: what was compared.
        store: its folder.
        on_dataset: called with each dataset's name before it is measured.

    Raises:
        UsageError: the folder cannot be written.
    """
    cells = cells_of(study)
    found = [store.record(cell) for cell in cells]
    records = tuple(record for record in found if record is not None)
    rows = measure(study, store, records, on_dataset)
    if study.statistics.correction == "holm":
        rows = with_holm(rows)
    pictures = draw(study, rows)
    report = Report(
        study,
        records,
        len(cells) - len(records),
        tuple(rows),
        tuple(tables(study, rows, records)),
        tuple(pictures),
        store.folder,
    )
    try:
        _write(report)
    except OSError as error:
        raise UsageError(f"the report cannot be written to {store.folder}: {error.strerror}.") from error
    return report


def render(report: Report) -> str:
    """The HTML page, with every picture inside."""
    templates = Environment(
        loader=PackageLoader("hilum.studies", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["data_uri"] = _data_uri
    first = [table for table in report.tables if table.name == "improvements"]
    return templates.get_template("study.html.j2").render(
        report=report,
        study=report.study,
        statistics=report.study.statistics,
        headline=first,
        means=[table for table in report.tables if table.name.startswith("means")],
        findings=[table for table in report.tables if table.name == "findings"],
        missing=[table for table in report.tables if table.name == "missing"],
        overview=[one for one in report.pictures if not one.name.startswith("figure1")],
        details=[one for one in report.pictures if one.name.startswith("figure1")],
        remarks=_remarks(report.records),
        provenance=_provenance(report.records),
        version=__version__,
    )


def _write(report: Report) -> None:
    for name in ("tables", "figures"):
        (report.folder / name).mkdir(parents=True, exist_ok=True)
    write_rows(report.rows, report.folder / "results.csv")
    for table in report.tables:
        for ending, text in (("csv", table.as_csv()), ("md", table.as_markdown()), ("tex", table.as_latex())):
            _replace(report.folder / "tables" / f"{table.name}.{ending}", text.encode())
    for picture in report.pictures:
        _replace(report.folder / "figures" / f"{picture.name}.png", picture.png)
        _replace(report.folder / "figures" / f"{picture.name}.svg", picture.svg)
    _replace(report.folder / "study.html", render(report).encode())


def _remarks(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """Each remark once, with the cells that it is about."""
    said: dict[str, list[str]] = {}
    for record in records:
        for remark in record.remarks:
            said.setdefault(remark, []).append(f"{record.cell.model} on {record.cell.dataset}")
    return [(remark, list(dict.fromkeys(cells))) for remark, cells in said.items()]


def _provenance(records: Sequence[Record]) -> list[dict[str, Any]]:
    """What made each number: fingerprints of model, data and split, code version, seconds."""
    return [
        {
            "cell": record.cell,
            "model": record.inputs.get("model", ""),
            "data": record.inputs.get("data", ""),
            "split": record.inputs.get("split", ""),
            "left_out": len(record.inputs.get("left_out", [])),
            "code": record.made.get("code", ""),
            "seconds": record.made.get("seconds", 0.0),
        }
        for record in records
        if record.status == DONE
    ]


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
