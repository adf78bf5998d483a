"""`hilum phantom`: synthetic patients to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def phantom(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; made if missing.")],
    patients: Annotated[int, typer.Option(help="How many patients.")] = 600,
    seed: Annotated[int, typer.Option(help="Of the synthetic world; the same seed writes the same bytes.")] = 0,
    side: Annotated[int, typer.Option(help="Longer side of the images, in pixels.")] = 512,
    workers: Annotated[int, typer.Option(help="Processes.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Draw synthetic patients: DICOM files, reports, and the truth kept aside.

    Example: hilum phantom phantoms --patients 600 --seed 0
    """
    from rich.console import Console
    from rich.progress import Progress

    from hilum.sources.phantom import generate

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("drawing patients", total=patients)
        summary = generate(
            out, patients, seed, side, workers, on_patient=lambda done: progress.update(task, completed=done)
        )
    if as_json:
        import json

        counts = {"patients": summary.patients, "studies": summary.studies, "images": summary.images}
        typer.echo(json.dumps({"out": str(summary.out), **counts, "positives": summary.positives}))
        return
    typer.echo(f"{summary}")
    for name, count in summary.positives.items():
        typer.echo(f"  {name:<28}{count:>5} studies  {100 * count / summary.studies:4.1f} %")
    typer.echo(f"ingest with: hilum ingest phantom {out} -o ARCHIVE")
