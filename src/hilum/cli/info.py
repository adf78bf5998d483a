"""`hilum info`: what an archive holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from hilum.archive import Archive


def info(
    archive: Annotated[Path, typer.Argument(help="The archive's directory.", show_default=False)],
    rejects: Annotated[bool, typer.Option("--rejects", help="List the files that could not be used, and why.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show what an archive holds: counts by view, sex, age, split and source, reports, labels, embeddings, rejects.

    Example: hilum info my-archive
    """
    from hilum.archive import Archive, summarize

    opened = Archive.open(archive)
    if rejects:
        _list_rejects(opened, as_json)
        return
    summary = summarize(opened)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    from rich.columns import Columns
    from rich.console import Console

    console = Console()
    head = (
        f"{_count(summary['images'], 'image')}, {_count(summary['studies'], 'study', 'studies')}, "
        f"{_count(summary['patients'], 'patient')}, "
        f"{summary['size_bytes'] / 1e6:,.1f} MB on disk"
    )
    console.print(f"{summary['path']}\n{head}", highlight=False, markup=False, soft_wrap=True)
    console.print(_grid(("setting", "value"), [(k, _short(v)) for k, v in summary["manifest"].items()], text=2))
    console.print(Columns(_small_tables(summary), padding=(0, 4)))
    for table in _wide_tables(summary):
        console.print(table)


def _list_rejects(archive: Archive, as_json: bool) -> None:
    rows = archive.rejects().select(["source", "reason", "path", "message"]).to_pylist()
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        typer.echo(f"{row['reason']}\t{row['path']}\t{row['message']}")


def _small_tables(summary: dict[str, Any]) -> list[Table]:
    counted = [(name, "images", counts) for name, counts in summary["by"].items()]
    counted.append(("text", "studies", summary["reports"]))
    if summary["rejects"]:
        counted.append(("rejected for", "files", summary["rejects"]))
    return [_grid((name, unit), [(k, f"{n:,}") for k, n in counts.items()]) for name, unit, counts in counted]


def _wide_tables(summary: dict[str, Any]) -> list[Table]:
    shown = []
    if summary["labels"]:
        values = ("positive", "negative", "uncertain", "not_mentioned")
        rows = [(r["said_by"], r["finding"], *(f"{r.get(v, 0):,}" for v in values)) for r in summary["labels"]]
        shown.append(_grid(("labels said by", "finding", *(v.replace("_", " ") for v in values)), rows, text=2))
    if summary["embeddings"]:
        rows = [(e["fingerprint"], f"{e['n']:,}", f"{e['dimension']:,}") for e in summary["embeddings"]]
        shown.append(_grid(("embeddings by model", "images", "dimension"), rows))
    return shown


def _grid(columns: tuple[str, ...], rows: list[tuple[str, ...]], text: int = 1) -> Table:
    """A table whose first `text` columns are words, the others numbers."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(header_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < text else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    table.add_row()
    return table


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(value) or "none"
    return str(value)
