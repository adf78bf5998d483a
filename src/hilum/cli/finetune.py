"""`hilum finetune`: a head on a pretrained encoder, and both trained on labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hilum.tasks.finetuning import Finetuned


def finetune(
    model: Annotated[Path | None, typer.Argument(help="A model folder.", show_default=False)] = None,
    archive: Annotated[Path | None, typer.Argument(help="The archive.", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The model folder to write.", show_default=False)
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="A label set (edema-severity, nih-14, ...) or findings, with commas. Default: all that is labeled."
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(help="paper (the founding study's settings) or modern.")] = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Train the head alone.")] = False,
    fraction: Annotated[float, typer.Option(help="Share of the training patients to learn from.")] = 1.0,
    shots: Annotated[int | None, typer.Option(help="This many images of each class instead.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A table of labels, in place of the archive's.")] = None,
    where: Annotated[str | None, typer.Option(help="Which images, for example \"view != 'lateral'\".")] = None,
    seed: Annotated[int, typer.Option(help="Of the part, the head, order and draws.")] = 0,
) -> None:
    """Train on the split train, keep the best pass by val, measure on test. Without words, the recipes are shown.

    A stopped run goes on when the same command is given again.

    Example: hilum finetune runs/chexzero archive --target chexpert-5 --recipe modern -o runs/finetuned
    """
    from rich.console import Console

    from hilum.cli.evaluate import show
    from hilum.errors import UsageError
    from hilum.evaluation.adapted import evaluate_adapted
    from hilum.tasks.finetuning import find_recipe

    chosen = find_recipe(recipe, [*(settings or []), *(["freeze=true"] if freeze else [])])
    if model is None:
        from hilum.cli.recipe import print_recipe

        print_recipe(chosen)
        return
    if archive is None or out is None:
        missing = "ARCHIVE" if archive is None else "-o RUN"
        raise UsageError(
            f"hilum finetune: {missing} is missing. Example: hilum finetune MODEL ARCHIVE -o runs/finetuned"
        )
    if out.is_file():
        raise UsageError(f"-o {out} is a file; expected a folder for the model, made if it is not there.")
    console = Console(stderr=True)
    done = _run_with_progress(model, archive, out, target, chosen, fraction, shots, labels, where, seed, console)
    _say(done, console)
    evaluation = evaluate_adapted(
        out.resolve().name,
        {split: done.examples[split].table() for split in done.scores},
        {split: done.table(split) for split in done.scores},
        dataset=archive.resolve().name,
        seed=seed,
        out=out / "evaluation",
    )
    show(evaluation, out / "evaluation")
    typer.echo(out)


def _run_with_progress(
    model: Path,
    archive: Path,
    out: Path,
    target: str | None,
    recipe: object,
    fraction: float,
    shots: int | None,
    labels: Path | None,
    where: str | None,
    seed: int,
    console: Console,
) -> Finetuned:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hilum.tasks import finetune as train
    from hilum.tasks.gradient import Pass

    said = TextColumn("{task.fields[said]}")
    columns = (TextColumn("finetune"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), said)
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task("", total=None, said="")

        def after_pass(one: Pass) -> None:
            text = f"pass {one.epoch}/{one.epochs}  loss {one.loss:.4f}  val AUROC {one.val_auroc:.4f}"
            bar.update(task, said=text + ("  best" if one.is_best else ""))
            if not bar.console.is_terminal:
                bar.console.print(f"{text}  {one.seconds_left:.0f} s left", soft_wrap=True)

        return train(
            model,
            archive,
            target,
            out=out,
            recipe=recipe,  # type: ignore[arg-type]
            fraction=fraction,
            shots=shots,
            labels=labels,
            where=where,
            seed=seed,
            on_pass=after_pass,
            on_step=lambda step, steps: bar.update(task, completed=step, total=steps),
        )


def _say(done: Finetuned, console: Console) -> None:
    counts = ", ".join(f"{split} {len(examples)}" for split, examples in done.examples.items())
    kept = "the last pass" if done.outcome.best_epoch is None else f"pass {done.outcome.best_epoch}"
    auroc = "" if done.outcome.best_auroc is None else f", val AUROC {done.outcome.best_auroc:.4f}"
    console.print(f"images: {counts}; part: {done.part}; kept {kept}{auroc}", markup=False, soft_wrap=True)
    for remark in done.remarks:
        console.print(f"  {remark}", markup=False, highlight=False, soft_wrap=True, style="dim")
