"""hilum sources: which datasets and layouts can be ingested."""

from __future__ import annotations

from typing import Annotated

import typer


def sources(
    name: Annotated[str | None, typer.Argument(help="One source in full; left out, all are listed.")] = None,
) -> None:
    """List the datasets and layouts that can be ingested, or tell all of one.

    Example: hilum sources pediatric
    """
    from hilum.sources import SOURCES
    from hilum.sources.description import describe, describe_briefly

    if name is not None:
        for what, words in describe(name):
            show(what, words)
        typer.echo(f"\nhilum ingest {name} PATH -o ARCHIVE")
        return
    for known, source in SOURCES.items():
        typer.echo(typer.style(known, bold=True) + f"  {source.title}")
        for what, words in describe_briefly(known):
            show(what, words)
    typer.echo("\nAll of one: hilum sources NAME\nhilum ingest SOURCE PATH -o ARCHIVE")


def show(what: str, words: str) -> None:
    """One line, or several with the later ones indented."""
    typer.echo(f"    {what + ':':<12} " + words.replace("\n", "\n" + " " * 17))
