"""`hilum embed`: an archive's images to vectors, kept in the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def embed(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    archive: Annotated[Path, typer.Argument(help="The archive.")],
    where: Annotated[str | None, typer.Option(help="Which images, for example \"view = 'pa'\".")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once in the tower.")] = 64,
) -> None:
    """Embed an archive's images with a model; images embedded before are left as they are.

    Example: hilum embed runs/chexzero archive
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hilum.tasks import embed

    columns = (TextColumn("embed images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        done = embed(
            model,
            archive,
            where=where,
            batch_size=batch_size,
            on_batch=lambda n, all_: bar.update(task, completed=n, total=all_),
        )
    typer.echo(f"{done.fingerprint}: {done.new} images embedded, {done.before} were before")
