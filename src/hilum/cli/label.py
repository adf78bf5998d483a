"""hilum label: say what reports state of each finding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilum.errors import ReportError, UsageError

if TYPE_CHECKING:
    from hilum.reports.labeling import LabelingSummary, Progress


def label(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="INPUT", help="A CSV, TSV or Parquet table, a folder of .txt files, or an archive."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The CSV to write (default: labels.csv; of an archive, none).")
    ] = None,
    text_column: Annotated[
        list[str] | None, typer.Option(help="Column that holds report text; repeat to join several, in order.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of identifiers (default: id, study_id, uid, ...).")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="Write the words each label rests on, one report a line (JSON).")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page that shows reports with their evidence marked.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="OTHER.csv", help="With --html: show where another labeler's table differs.")
    ] = None,
    vocabulary: Annotated[
        list[Path] | None, typer.Option(metavar="MY.toml", help="Add findings, synonyms or cues of your own.")
    ] = None,
    compat: Annotated[str | None, typer.Option(help="chexpert: order and aggregation of the CheXpert labeler.")] = None,
    model: Annotated[
        Path | None, typer.Option("--with", metavar="MODEL", help="Label with a trained model instead of the rules.")
    ] = None,
    uncertain: Annotated[str, typer.Option(help="keep, u-ones, u-zeros or u-ignore.")] = "keep",
    propagate_parents: Annotated[
        bool, typer.Option("--propagate-parents", help="A positive finding makes its parents positive.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Only run the labeler's own example sentences.")
    ] = False,
) -> None:
    """Label reports: 14 findings, each positive (1), negative (0), uncertain (-1) or not mentioned (blank).

    Example: hilum label reports.csv --text-column findings --text-column impression --out labels.csv

    Run it again to go on after an interruption. Reports that are empty or not English keep a blank row.
    """
    if self_test:
        _self_test()
        return
    if source is None:
        raise UsageError("name what to label: hilum label INPUT --out labels.csv (or --self-test).")
    from hilum.reports.labeling import label as run

    with _bar() as progress:
        summary = run(
            source,
            out,
            text_columns=text_column or (),
            id_column=id_column,
            vocabulary=vocabulary,
            compat=compat,
            model=model,
            uncertain=uncertain,
            propagate_parents=propagate_parents,
            evidence=evidence,
            html=html,
            against=against,
            workers=workers,
            progress=progress,
        )
    _show(summary)
    if summary.notes.get("not English"):
        raise typer.Exit(3)


def _self_test() -> None:
    from hilum.reports.self_test import run_examples

    n, misses = run_examples()
    new = [miss for miss in misses if not miss.is_known]
    for miss in misses:
        wrong = ", ".join(f"{name}: expected {want}, got {got}" for name, (want, got) in miss.wrong.items())
        typer.echo(
            f"{'known miss' if miss.is_known else 'WRONG'}: {miss.example.sentence!r} ({miss.example.group}): {wrong}"
        )
    typer.echo(
        f"{n - len(misses)} of {n} example sentences read as they should be; {len(misses) - len(new)} known misses."
    )
    if new:
        raise ReportError(
            f"self-test failed: {len(new)} example sentences are misread. The installation is damaged or changed."
        )


def _show(summary: LabelingSummary) -> None:
    typer.echo(f"{summary.reports:,} reports labeled by {summary.said_by}")
    if summary.resumed_at:
        typer.echo(f"  {summary.resumed_at:,} of them by an earlier run that was stopped")
    for finding, counts in summary.counts.items():
        shown = "  ".join(f"{value} {counts.get(value, 0):>7,}" for value in ("positive", "negative", "uncertain"))
        typer.echo(f"  {finding:<27} {shown}")
    for note, times in summary.notes.items():
        where = f"; listed in {summary.notes_file}" if summary.notes_file else ""
        typer.echo(f"{times:,} reports left blank: {note}{where}")
    if summary.duplicate_ids:
        typer.echo(f"{summary.duplicate_ids:,} rows repeat an identifier; all were labeled")
    for name, path in (("labels", summary.out), ("evidence", summary.evidence), ("review page", summary.review)):
        if path:
            typer.echo(f"{name}: {path}")


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar on stderr; nothing where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.fields[reports]:,} reports"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("label", total=1.0, reports=0)
        yield lambda reports, share: bar.update(task, completed=share, reports=reports)
