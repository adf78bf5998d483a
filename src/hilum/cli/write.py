"""`hilum write`: reports of studies, by REFERS' generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def write(
    run: Annotated[Path, typer.Argument(help="The folder of a run of `hilum pretrain refers`.")],
    archive: Annotated[Path, typer.Argument(help="The archive.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table to write: study_id, written, report.")],
    split: Annotated[str, typer.Option(help="Which studies: train, val or test.")] = "test",
    beams: Annotated[int, typer.Option(min=1, help="Reports kept under way; 1 is greedy.")] = 1,
    most: Annotated[int | None, typer.Option(min=1, help="No more studies than this.")] = None,
) -> None:
    """Write reports of studies as REFERS' generator would. Fluent, and often wrong: for research, not for anybody's record.

    Example: hilum write runs/refers archive -o written.csv --beams 3
    """
    import pyarrow as pa
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hilum.tables import write_table
    from hilum.tasks import write_reports

    columns = (TextColumn("write"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        written = write_reports(
            run,
            archive,
            split=split,
            beams=beams,
            most=most,
            on_batch=lambda done, all_: bar.update(task, completed=done, total=all_),
        )
    write_table(
        out, pa.table({name: [getattr(one, name) for one in written] for name in ("study_id", "written", "report")})
    )
    Console(stderr=True).print(
        f"{len(written)} reports, written by a generator and not by a reader. Research use only, not for anybody's record.",
        soft_wrap=True,
    )
    typer.echo(out)
