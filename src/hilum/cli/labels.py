"""`hilum labels`: what one can do with tables of labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hilum.reports.agreement import Agreement, AgreementRow

app = typer.Typer(help="Compare tables of report labels; export an archive's labels.", no_args_is_help=True)


@app.callback()
def labels() -> None:
    """Compare tables of report labels; export an archive's labels."""


@app.command("compare")
def compare(
    gold: Annotated[Path, typer.Argument(help="Gold labels: a CSV with an identifier and one column a finding.")],
    predicted: Annotated[list[Path], typer.Argument(help="One or more labelers' tables of the same reports.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write every measured number to this CSV.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The identifier's column (default: id, study_id, uid, ...).")
    ] = None,
    group_column: Annotated[str | None, typer.Option(help="Draw these together in the bootstrap (a patient).")] = None,
    gold_kind: Annotated[str, typer.Option(help="four-state, binary, or auto.")] = "auto",
    generation: Annotated[
        list[str] | None,
        typer.Option(help="Clinical F1 of generated reports: UNCERTAIN/SET/AVERAGE, as present/5/micro."),
    ] = None,
    replicates: Annotated[int, typer.Option(min=0, help="Bootstrap replicates; 0: no intervals.")] = 1000,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print every measured number as JSON.")] = False,
) -> None:
    """Measure how labelers agree with a gold standard: F1 of each state, weighted F1, kappa, intervals, differences.

    Example: hilum labels compare expert.csv rules.csv neural.csv --out agreement.csv
    """
    from hilum.reports.agreement import compare_labels

    result = compare_labels(
        gold,
        list(predicted),
        gold_kind=gold_kind,
        id_column=id_column,
        group_column=group_column,
        generation=tuple(generation or ()),
        replicates=replicates,
        confidence=confidence,
        seed=seed,
    )
    if out is not None:
        result.to_csv(out)
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(
            json.dumps({"gold_kind": result.gold_kind, "notes": result.notes, "rows": [asdict(r) for r in result.rows]})
        )
    else:
        _show(result)


@app.command("export")
def export(
    archive: Annotated[Path, typer.Argument(help="The archive.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV to write; default: standard output.")] = None,
    said_by: Annotated[
        str | None, typer.Option(help="Whose labels, as in dataset:nih; not needed where only one has spoken.")
    ] = None,
    where: Annotated[str | None, typer.Option(help="Which images, for example \"split = 'test'\".")] = None,
) -> None:
    """Write an archive's labels as a table: a row an image, a column a finding; 1, 0, -1 (uncertain) or blank.

    Example: hilum labels export archive -o truth.csv --said-by dataset:nih --where "split = 'test'"
    """
    from hilum.archive import Archive, export_labels
    from hilum.tables import csv_text, write_table

    table = export_labels(Archive.open(archive), said_by, where)
    if out is None:
        typer.echo(csv_text(table), nl=False)
        return
    write_table(out, table)
    typer.echo(f"{len(table):,} images, {len(table.column_names) - 4} findings", err=True)
    typer.echo(out)


def _show(result: Agreement) -> None:
    """One table a labeler (findings down, metrics across); of differences, only the averages."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    console, complain = Console(), Console(stderr=True)
    if not console.is_terminal:
        console = Console(width=160)
    with_intervals = console.width >= 150  # a narrow terminal shows values only; --out has them all
    for note in result.notes:
        complain.print(f"note: {note}", markup=False)
    wide = [f"{finding}\t{metric}" for finding, metric in dict.fromkeys((r.finding, r.metric) for r in result.rows)]
    for model in dict.fromkeys(row.model for row in result.rows):
        rows = {f"{row.finding}\t{row.metric}": row for row in result.rows if row.model == model}
        is_difference = any(row.p_value is not None for row in rows.values())
        metrics = list(dict.fromkeys(row.metric for row in rows.values() if not row.finding.startswith("F1-")))
        if is_difference:
            table = Table("finding", "metric", "difference", "interval", "p", title=model, box=SIMPLE)
            for key in wide:
                row = rows[key]
                if row.finding in ("macro", "micro") or row.finding.startswith("F1-"):
                    p = "" if row.p_value is None else f"{row.p_value:.3f}"
                    table.add_row(
                        row.finding, row.metric, _number(row.value, sign="+"), _interval(row.low, row.high), p
                    )
        else:
            heads = [metric.replace("_f1", "\nF1").replace(", uncertain=", "\n-1 ") for metric in metrics]
            table = Table(Column("finding", no_wrap=True), "n", *heads, title=model, box=SIMPLE)
            for finding in dict.fromkeys(row.finding for row in rows.values() if not row.finding.startswith("F1-")):
                shown = [rows.get(f"{finding}\t{metric}") for metric in metrics]
                n = next(row.n for row in shown if row is not None)
                cells = ["" if row is None else _cell(row, with_intervals) for row in shown]
                table.add_row(finding, str(n), *cells)
        console.print(table)
        alone = [row for row in rows.values() if row.finding.startswith("F1-") and not is_difference]
        for row in alone:
            console.print(
                f"{row.finding} {row.metric}: {_number(row.value)} {_interval(row.low, row.high)}", markup=False
            )


def _cell(row: AgreementRow, with_interval: bool) -> str:
    interval = _interval(row.low, row.high) if with_interval else ""
    return _number(row.value) + (f" {interval}" if interval else "")


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"({low:.2f}-{high:.2f})"
