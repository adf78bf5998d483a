"""`hilum study`: a benchmark of models, datasets and adaptations, to tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hilum.studies import Planned, Report, Step


def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY.TOML", help="What to compare; see docs/study.md.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; run again to go on.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes. The command may also be started several times.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the cells and about how long they take.")] = False,
    report_only: Annotated[bool, typer.Option("--report-only", help="Write the report of what is done.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do the cells, write no report.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line for each cell.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the cells (--dry-run) or the results as JSON.")
    ] = False,
) -> None:
    """Run every cell of a study that is not done, then write results.csv, tables, figures and study.html.

    A stopped study goes on when the same command is given again. A missing model or a cell that fails is reported with its
    reason, and the rest is done.

    Example: hilum study study.toml -o studies/first --workers 2
    """
    from rich.console import Console

    from hilum.studies import Store, load_study, plan, run_cells, run_study, write_report

    console = Console(stderr=True)
    opened = load_study(file)
    if dry_run:
        _show_plan(plan(opened, Store(out, read_only=True)), as_json)
        return

    def show(step: Step) -> None:
        if quiet:
            return
        reason = f": {step.reason}" if step.reason and step.what == "missing" else ""
        line = f"{step.index}/{step.count}  {step.what:9} {step.seconds:7.1f} s  {step.cell.name.replace('~', '  ')}{reason}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if no_report:
        run_cells(opened, Store(out), on_cell=show)
        return
    report = write_report(opened, Store(out)) if report_only else run_study(file, out, workers=workers, on_cell=show)
    _show(report, as_json, console)


def _show_plan(planned: list[Planned], as_json: bool) -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    if as_json:
        cells = [
            {**one.cell.describe(), "what": one.what, "seconds": one.seconds, "reason": one.reason} for one in planned
        ]
        typer.echo(json.dumps(cells, indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    table = Table("dataset", "model", "adaptation", "part", "seed", "", "about", box=None, pad_edge=False)
    for one in planned:
        about = one.reason or (f"{one.seconds:.0f} s" if one.what == "to do" else "")
        cell = one.cell
        table.add_row(cell.dataset, cell.model, cell.adaptation, cell.part, str(cell.seed), one.what, about)
    console.print(table)
    seconds = sum(one.seconds for one in planned)
    counts = {what: sum(one.what == what for one in planned) for what in ("done", "to do", "missing")}
    listed = ", ".join(f"{count} {what}" for what, count in counts.items())
    console.print(f"{len(planned)} cells: {listed}; about {seconds / 60:.1f} minutes with one worker", highlight=False)


def _show(report: Report, as_json: bool, console: Console) -> None:
    import json
    from dataclasses import asdict

    from rich.console import Console as Out
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps([asdict(row) for row in report.rows], indent=2))
        return
    printed = Out()
    if not printed.is_terminal:
        printed = Out(width=180)
    for found in report.tables:
        if found.name == "findings":
            continue
        table = Table(title=found.title, title_justify="left", box=None, pad_edge=False)
        for place, column in enumerate(found.columns):
            table.add_column(column, justify="left" if place == 0 or found.name == "missing" else "right")
        for row in found.rows:
            table.add_row(*row)
        printed.print(table)
        for note in found.notes:
            printed.print(f"  {note}", style="dim", highlight=False, markup=False, soft_wrap=True)
        printed.print()
    waiting = f", {report.waiting} not run" if report.waiting else ""
    printed.print(
        f"{report.done} cells done, {report.missing} missing{waiting}. Written to {report.folder}: results.csv, tables/, figures/, "
        "study.html. Research use only.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
