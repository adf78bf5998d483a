"""hilum sources: which datasets and layouts can be ingested."""

from __future__ import annotations

import typer


def sources() -> None:
    """List the datasets and layouts that can be ingested.

    Example: hilum sources
    """
    from hilum.sources import SOURCES

    for name, source in SOURCES.items():
        typer.echo(typer.style(name, bold=True) + f"  {source.task}")
        if source.outputs:
            typer.echo(f"    states:  {', '.join(source.outputs)}")
        typer.echo(f"    licence: {source.licence}")
        typer.echo(f"    from:    {source.where}")
        typer.echo(f"    layout:  {source.layout}")
    typer.echo("\nhilum ingest SOURCE PATH -o ARCHIVE")
