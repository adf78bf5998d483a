"""`hilum predict`: scores of new images by a model with a head."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    model: Annotated[Path, typer.Argument(help="The folder of a finetuned model or a probe.")],
    images: Annotated[list[str], typer.Argument(help="An archive, or files and folders of files.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV to write; default: standard output.")] = None,
    encoder: Annotated[Path | None, typer.Option(help="A probe's encoder, where it has moved.")] = None,
    where: Annotated[str | None, typer.Option(help="Which images of an archive.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode files; 0: none.")] = 1,
) -> None:
    """Score images for the findings that a model was finetuned on, or a probe fitted to. Files that cannot be read are told.

    Example: hilum predict runs/finetuned new/*.dcm -o scores.csv
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hilum.cli import EXIT_SOME_REJECTED
    from hilum.tables import csv_text
    from hilum.tasks import predict as score

    console = Console(stderr=True)
    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        predicted = score(
            model,
            images[0] if len(images) == 1 else images,
            encoder=encoder,
            where=where,
            workers=workers,
            out=out,
            on_batch=lambda done, all_: bar.update(task, completed=done, total=all_),
        )
    for why in predicted.rejected.values():
        console.print(f"no score: {why}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{len(predicted.scores)} images x {len(predicted.names)} scores, {len(predicted.rejected)} files without. Scores, not "
        "probabilities. Research use only.",
        soft_wrap=True,
    )
    typer.echo(out if out is not None else csv_text(predicted.table()), nl=out is not None)
    if predicted.rejected:
        raise typer.Exit(EXIT_SOME_REJECTED)
