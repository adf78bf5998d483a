"""`hilum probe`: logistic regression on a model's features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hilum.tasks.probing import Probed


def probe(
    model: Annotated[Path, typer.Argument(help="A model folder.")],
    archive: Annotated[Path, typer.Argument(help="The archive.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for scores, results and the probe itself.")],
    target: Annotated[
        str | None,
        typer.Option(
            help="A label set (edema-severity, nih-14, ...) or findings, with commas. Default: all that is labeled."
        ),
    ] = None,
    fraction: Annotated[float, typer.Option(help="Share of the training patients to learn from.")] = 1.0,
    shots: Annotated[int | None, typer.Option(help="This many images of each class instead.")] = None,
    unit: Annotated[str, typer.Option("--by", help="What a fraction is of: patient or image.")] = "patient",
    protocol: Annotated[
        str, typer.Option(help="validated (C chosen on the split val) or cxrlearn (the founding study's constants).")
    ] = "validated",
    labels: Annotated[Path | None, typer.Option(help="A table of labels, in place of the archive's.")] = None,
    said_by: Annotated[str | None, typer.Option(help="Whose labels, as in dataset:nih.")] = None,
    where: Annotated[str | None, typer.Option(help="Which images, for example \"view != 'lateral'\".")] = None,
    seed: Annotated[int, typer.Option(help="Of the part that is drawn, and of the resamples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON instead of tables.")] = False,
) -> None:
    """Fit a linear probe on the split train, choose its strength on val, and measure it on test.

    Example: hilum probe runs/chexzero archive --target chexpert-5 --fraction 0.1 -o probes/chexzero
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hilum.cli.evaluate import show
    from hilum.errors import UsageError
    from hilum.evaluation.adapted import evaluate_adapted
    from hilum.evaluation.results import as_json as to_json
    from hilum.tasks import probe as fit
    from hilum.tasks.fitting import PROTOCOLS

    if unit not in ("patient", "image") or protocol not in PROTOCOLS:
        raise UsageError(f"--by {unit} --protocol {protocol}: expected patient or image, and {' or '.join(PROTOCOLS)}.")
    console = Console(stderr=True)
    columns = (TextColumn("features"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        probed = fit(
            model,
            archive,
            target,
            fraction=fraction,
            shots=shots,
            unit=unit,
            protocol=protocol,
            labels=labels,
            said_by=said_by,
            where=where,
            seed=seed,
            out=out,
            on_batch=lambda done, all_: bar.update(task, completed=done, total=all_),
        )
    if not as_json:
        _say(probed, console)
    evaluation = evaluate_adapted(
        model.resolve().name,
        {split: probed.examples[split].table() for split in probed.scores},
        {split: probed.table(split) for split in probed.scores},
        dataset=archive.resolve().name,
        seed=seed,
        out=out,
    )
    if as_json:
        typer.echo(to_json(evaluation.results))
    else:
        show(evaluation, out)


def _say(probed: Probed, console: Console) -> None:
    counts = ", ".join(f"{split} {len(examples)}" for split, examples in probed.examples.items())
    console.print(f"{probed.head.task} probe; images: {counts}; part: {probed.part}", markup=False, soft_wrap=True)
    for remark in probed.remarks:
        console.print(f"  {remark}", markup=False, highlight=False, soft_wrap=True, style="dim")
