"""hilum ingest: bring a dataset or folder into an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilum.errors import UsageError

if TYPE_CHECKING:
    from hilum.sources.layout import Progress

SALT_VARIABLE = "HILUM_SALT"


def ingest(
    source: Annotated[str | None, typer.Argument(help="Which dataset or layout; left out, they are listed.")] = None,
    path: Annotated[Path | None, typer.Argument(help="Its folder (for 'table', the table).")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The archive; made when it is not there.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Decoding processes (default: one for each core).")] = None,
    split: Annotated[str | None, typer.Option(help="auto, hashed, official or none (default: auto).")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the hashed split (default: 0).")] = None,
    text_policy: Annotated[
        str | None, typer.Option(help="Which text of a report stands for a study; chosen once, for a new archive.")
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(help="dicom: table of reports; mimic: the folder or zip file of reports.")
    ] = None,
    pseudonymize: Annotated[
        str | None,
        typer.Option(metavar="SALT-FILE", help=f"Hash ids and paths; 'env' takes the salt from ${SALT_VARIABLE}."),
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="WHAT=COLUMN", help="Which column holds what, as in view=ViewPosition."),
    ] = None,
    view_map: Annotated[
        list[str] | None, typer.Option(metavar="WORD=VIEW", help="A table's word for a view, as in Frontal=pa.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="table: a label column; repeat, or separate by commas.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the source; see: hilum sources SOURCE."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be read.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look only: decode nothing, write nothing.")] = False,
) -> None:
    """Bring radiographs, reports and labels into an archive.

    Example: hilum ingest dicom exports/ -o cxr.hilum --reports reports.csv

    Run it again to go on after an interruption, or to add what is new. A file that cannot be read gets a row in the
    archive's rejects, and the exit code is 3.
    """
    if source is None:
        from hilum.cli.sources import sources

        sources()
        return
    if path is None or out is None:
        raise UsageError("name a source, its folder and the archive: hilum ingest SOURCE PATH -o ARCHIVE.")
    from hilum.sources import ingest as run

    options: dict[str, Any] = {
        **_pairs(settings, "--set"),
        "reports": reports,
        "columns": _pairs(mapped, "--map"),
        "views": _pairs(view_map, "--view-map"),
        "labels": [name.strip() for part in labels or () for name in part.split(",") if name.strip()],
    }
    with _bar() as progress:
        summary = run(
            source,
            path,
            out,
            workers=workers,
            split=split,  # type: ignore[arg-type]  # checked there
            seed=seed,
            text_policy=text_policy,
            pseudonymize=_salt(pseudonymize),
            strict=strict,
            dry_run=dry_run,
            progress=progress,
            **{name: value for name, value in options.items() if value},
        )
    for line in summary.lines():
        typer.echo(line)
    if summary.rejected:
        for example in summary.examples:
            typer.echo(f"  {example}", err=True)
        if not dry_run:
            typer.echo(f"Each rejected file and its reason: hilum info {out} --rejects", err=True)
        raise typer.Exit(3)


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for pair in given or ():
        left, equals, right = pair.partition("=")
        if not equals or not left.strip() or not right.strip():
            raise UsageError(f"{option} '{pair}': expected two names with '=' between them.")
        pairs[left.strip()] = right.strip()
    return pairs


def _salt(given: str | None) -> bytes | Path | None:
    if given != "env":
        return Path(given) if given else None
    salt = os.environ.get(SALT_VARIABLE, "").strip()
    if not salt:
        raise UsageError(f"--pseudonymize env: the variable {SALT_VARIABLE} is not set.")
    return salt.encode()


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar on stderr; nothing where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def show(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done, total=total)

        yield show
