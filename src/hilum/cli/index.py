"""`hilum index`: make an archive's searches quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def index(
    model: Annotated[Path, typer.Argument(help="A model folder.", show_default=False)],
    archive: Annotated[Path, typer.Argument(help="The archive.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Index vectors even where comparing all is as quick.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once in the tower.")] = 64,
) -> None:
    """Embed what is new in an archive, and build or refresh its indexes: of vectors, and of words in reports.

    Run it again after images were added: what an index has not seen is found too, only more slowly.

    Example: hilum index runs/chexzero archive
    """
    from rich.console import Console

    from hilum.cli.search import steps
    from hilum.tasks.search.indexing import index

    console = Console(stderr=True)
    with steps(console) as step:
        done = index(model, archive, force=force, batch_size=batch_size, on_step=step)
    for line in done.lines():
        typer.echo(line)
