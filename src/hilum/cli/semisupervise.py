"""`hilum semisupervise`: finetuning with few labels and many images without."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def semisupervise(
    model: Annotated[Path, typer.Argument(help="A pretrained model folder.")],
    archive: Annotated[Path, typer.Argument(help="The archive.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write: a model with a head, and results.")],
    target: Annotated[
        str | None, typer.Option(help="A label set of findings, or findings with commas. Default: all that is labeled.")
    ] = None,
    fraction: Annotated[float, typer.Option(help="Share of the training patients whose labels are used.")] = 1.0,
    variant: Annotated[str | None, typer.Option(help="two-students; default: the mean teacher.")] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="Small settings: minutes on two CPU cores.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="A table of labels, in place of the archive's.")] = None,
    said_by: Annotated[str | None, typer.Option(help="Whose labels, as in dataset:nih.")] = None,
    seed: Annotated[int, typer.Option(help="Of the part that is labeled, heads, order and draws.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the recipe and stop.")] = False,
) -> None:
    """Finetune a model with few labels and many images without any (S2MTS2's second stage), and measure it on test.

    A stopped run goes on when the same command is given again.

    Example: hilum semisupervise runs/s2mts2 archive --target chexpert-14 --fraction 0.02 -o runs/taught
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hilum.cli.evaluate import show
    from hilum.cli.recipe import print_recipe
    from hilum.evaluation.adapted import evaluate_adapted
    from hilum.tasks.semi_supervised import SemiSupervised, semi_supervise

    if dry_run:
        print_recipe(SemiSupervised.resolve(settings or [], tiny, variant))
        return
    console = Console(stderr=True)
    columns = (TextColumn("semisupervise"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("loss {task.fields[loss]}"), console=console) as bar:
        task = bar.add_task("", total=None, loss="-")
        taught = semi_supervise(
            model,
            archive,
            target,
            out=out,
            fraction=fraction,
            variant=variant,
            tiny=tiny,
            settings=settings or [],
            labels=labels,
            said_by=said_by,
            seed=seed,
            on_step=lambda step, steps, loss: bar.update(task, completed=step, total=steps, loss=f"{loss:.3f}"),
        )
    counts = ", ".join(f"{count} {name}" for name, count in taught.counts.items())
    console.print(f"training images: {counts}; part: {taught.part}", soft_wrap=True)
    evaluation = evaluate_adapted(
        out.resolve().name,
        {split: taught.examples[split].table() for split in taught.scores},
        {split: taught.table(split) for split in taught.scores},
        dataset=archive.resolve().name,
        seed=seed,
        out=out / "evaluation",
    )
    show(evaluation, out / "evaluation")
    typer.echo(out)
