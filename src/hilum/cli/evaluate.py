"""`hilum evaluate`: how well scores and readers agree with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from hilum.evaluation import Evaluation

PRINTED = ("ranking", "calls")  # the rest is in results.csv and report.html
PRINTED_DIFFERENCES = ("AUROC", "MCC", "F1")


class COMMAND_CLASS(TyperCommand):
    """Lets one option take several files, as a shell spreads them: `--readers readers/*.csv`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its files; this command has no arguments that could be meant instead."""
        many = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        last = ""
        for place, word in enumerate(args):
            is_further = last in many and not word.startswith("-") and args[place - 1] != last
            spread += [last, word] if is_further else [word]
            last = word if word.startswith("-") else last
        return super().parse_args(ctx, spread)


def evaluate(
    truth: Annotated[
        list[Path], typer.Option(help="Table of 1, 0, -1 or blank for each finding. Several are put under each other.")
    ],
    scores: Annotated[list[Path], typer.Option(help="A model's scores in 0 to 1. Give several to compare models.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for results.csv, figures and report.html.")],
    readers: Annotated[list[Path] | None, typer.Option(help="A human reader's calls, 0 or 1. May be repeated.")] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", help="Column to join on (found by name if not given).")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="Column of patients: draw patients, not images.")] = None,
    thresholds_from: Annotated[
        list[Path] | None,
        typer.Option(help="Scores on validation images, one file for each --scores; their ids are not tested."),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 1000,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the first resample.")] = 0,
    dataset: Annotated[str | None, typer.Option(help="Name in the results (else the truth file's).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON instead of tables.")] = False,
) -> None:
    """Measure scores, and human readers, against the truth: every number with its bootstrap interval.

    Tables are joined by id, columns by the name of the finding. Thresholds for F1, MCC, sensitivity and specificity are
    chosen on validation scores only: their truth is looked up in --truth.

    Example: hilum evaluate --truth truth.csv --scores scores.csv -o evaluation
    """
    from rich.console import Console
    from rich.progress import Progress

    from hilum.evaluation import evaluate as measure
    from hilum.evaluation.results import as_json as to_json

    console = Console(stderr=True)
    columns = Progress.get_default_columns()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("resampling", total=replicates)
        evaluation = measure(
            list(truth),
            list(scores),
            list(readers or []),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            id_column=id_column,
            patient_column=patient,
            thresholds_from=list(thresholds_from or []),
            replicates=replicates,
            level=level,
            seed=seed,
            dataset=dataset,
            out=out,
        )
    if as_json:
        typer.echo(to_json(evaluation.results))
    else:
        show(evaluation, out)


def show(evaluation: Evaluation, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from hilum.evaluation.summary import grids, reader_grids

    console = Console()
    if not console.is_terminal:
        console = Console(width=150)  # a pipe has no width of its own
    for grid in (*grids(evaluation.results), *reader_grids(evaluation.readers_together)):
        rows = grid.rows
        if grid.kind == "difference":
            rows = tuple(row for row in rows if row[1] in PRINTED_DIFFERENCES)
        elif grid.kind not in (*PRINTED, "readers"):
            continue
        table = Table(
            title=grid.title if grid.kind == "readers" else f"{grid.title}: {grid.kind}",
            title_justify="left",
            box=None,
            pad_edge=False,
        )
        for place, column in enumerate(grid.columns):
            is_text = place == 0 or column == "metric"
            table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row, style="bold" if row[0].startswith("mean over") else None)
        console.print(table)
        for remark in grid.remarks:
            console.print(f"  {remark}", style="dim", highlight=False, markup=False)
        console.print()
    for line in (*evaluation.remarks, *map(str, evaluation.unmatched)):
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)
    console.print(evaluation.method(), style="dim", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"Written to {out}: results.csv, {'readers.csv, ' if evaluation.readers_together else ''}figures, report.html. "
        "Research use only.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
