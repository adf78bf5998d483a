"""`hilum check`: what may be wrong with an archive, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def check(
    archive: Annotated[Path, typer.Argument(help="The archive's directory.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Look for leaks between splits, duplicates, orphans and odd images; exit 0 when clean, 1 when not.

    Example: hilum check my-archive
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from hilum.archive import Archive
    from hilum.archive import check as look

    opened = Archive.open(archive)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking at images", total=len(opened))
        problems = look(opened, lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        report = {"archive": str(archive), "clean": not problems, "problems": [p.to_dict() for p in problems]}
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    elif not problems:
        typer.echo(f"{archive}: {len(opened):,} images looked at, no problem found.")
    else:
        for problem in problems:
            typer.echo(f"{problem.kind}: {problem.what}")
            typer.echo(f"  such as: {'; '.join(problem.examples)}")
            typer.echo(f"  what to do: {problem.next_step}\n")
        typer.echo(f"{archive}: {len(problems)} kinds of problem in {len(opened):,} images.")
    if problems:
        raise typer.Exit(1)
