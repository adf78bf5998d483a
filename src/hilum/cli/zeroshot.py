"""`hilum zeroshot`: scores for findings named in plain language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def zeroshot(
    paths: Annotated[
        list[Path], typer.Argument(metavar="MODEL... ARCHIVE", help="One or more model folders, then the archive.")
    ],
    finding: Annotated[
        list[str] | None,
        typer.Option("--finding", "-f", help="In plain language; repeatable. Default: the 14 CheXpert ones."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV to write; default: standard output.")] = None,
    where: Annotated[str | None, typer.Option(help="Which images, for example \"split = 'test'\".")] = None,
    prompts: Annotated[
        str, typer.Option(help="Prompt set (chexzero, reports, ...) or a TOML file of one's own.")
    ] = "chexzero",
    pool: Annotated[
        str | None,
        typer.Option(
            help="Several prompts: average their vectors (embedding), their similarities (mean), or take the max."
        ),
    ] = None,
    similarity: Annotated[
        str, typer.Option(help="global: of embeddings; GLoRIA's models also match words with regions: local, both.")
    ] = "global",
    free_text: Annotated[
        bool, typer.Option("--free-text", help="Take findings as they are, even if misspelled.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once in the tower.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="A summary with prompts and fingerprints, as JSON.")] = False,
) -> None:
    """Score an archive's images for findings, without labels. Several models give the mean of their scores.

    Example: hilum zeroshot runs/chexzero archive --finding "pleural effusion" --out scores.csv
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hilum.errors import UsageError
    from hilum.tasks import zeroshot

    if len(paths) < 2:
        raise UsageError("hilum zeroshot needs a model and an archive: hilum zeroshot MODEL [MODEL ...] ARCHIVE")
    *models, archive = paths
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("embed images", total=None)
        result = zeroshot(
            models,
            archive,
            finding,
            where=where,
            prompts=prompts,
            pool=pool,  # type: ignore[arg-type] # checked there
            similarity=similarity,  # type: ignore[arg-type]
            free_text=free_text,
            batch_size=batch_size,
            out=out,
            on_batch=lambda done, all_: bar.update(task, completed=done, total=all_),
        )
    console.print(
        f"{len(result.image_ids)} images x {len(result.findings)} findings, {len(result.fingerprints)} model(s); "
        f"{result.embedded} images embedded now. Scores, not probabilities: they rank. Research use only.",
        soft_wrap=True,
    )
    if as_json:
        import json

        summary = {
            "images": len(result.image_ids),
            "findings": result.findings,
            "prompt_set": result.prompt_set,
            "pool": result.pool,
            "similarity": result.similarity,
            "prompts": {k: {"positive": p, "negative": n} for k, (p, n) in result.prompts.items()},
            "models": result.fingerprints,
            "embedded": result.embedded,
            "out": str(out) if out else None,
        }
        typer.echo(json.dumps(summary, indent=2))
    elif out is not None:
        for name, (positive, negative) in result.prompts.items():
            console.print(
                f"  {name}: {' | '.join(positive)}  against  {' | '.join(negative)}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        typer.echo(out)
    else:
        from hilum.tables import csv_text

        typer.echo(csv_text(result.table()), nl=False)
