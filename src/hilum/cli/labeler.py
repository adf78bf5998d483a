"""`hilum labeler`: train a neural report labeler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(help="Train a neural report labeler.", no_args_is_help=True)


@app.callback()
def labeler() -> None:
    """Train a neural report labeler."""


@app.command("train")
def train(
    source: Annotated[Path, typer.Argument(help="An archive, or a CSV/TSV/Parquet table with reports.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model folder to write.")],
    silver: Annotated[str, typer.Option(help="Labels of stage one: rules, a table of labels, or none.")] = "rules",
    gold: Annotated[Path | None, typer.Option(help="Expert labels of some of the reports: stage two.")] = None,
    augment: Annotated[
        list[str] | None, typer.Option(help="More expert-labeled text: paraphrase, backtranslation.")
    ] = None,
    translator: Annotated[
        list[Path] | None, typer.Option(help="Two local translation models for backtranslation: there, then back.")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(help="A local Hugging Face folder, or a labeler to go on from (default: from scratch)."),
    ] = None,
    text_column: Annotated[
        list[str] | None, typer.Option(help="A column with report text; several are joined in this order.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The identifier's column (default: id, study_id, uid, ...).")
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="A small encoder that two CPU cores train in minutes.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the recipe: key=value (lists them: --set help).")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ... (default: the GPU, where there is one).")] = None,
) -> None:
    """Train a labeler on the rules' labels, then on experts', and write it as a model folder.

    Example: hilum labeler train reports.csv --gold expert.csv --augment paraphrase --tiny -o labeler
    """
    from hilum.errors import UsageError
    from hilum.reports.neural.recipe import LabelerRecipe

    if settings == ["help"]:
        for name, value, meaning in LabelerRecipe.resolve(tiny=tiny).describe():
            typer.echo(f"{name} = {value}  ({meaning})")
        raise typer.Exit
    recipe = LabelerRecipe.resolve(settings or (), tiny)
    if translator and len(translator) != 2:
        raise UsageError(f"--translator was given {len(translator)} times; expected two folders: there, then back.")
    from rich.console import Console
    from rich.progress import Progress

    from hilum.reports.neural.training import train_labeler

    with Progress(console=Console(stderr=True), transient=False) as bar:
        trained = train_labeler(
            source,
            out,
            silver="rules" if silver == "none" else silver,
            silver_stage=silver != "none",
            gold=gold,
            augment=tuple(augment or ()),
            translators=(translator[0], translator[1]) if translator else None,
            encoder=encoder,
            recipe=recipe,
            text_columns=tuple(text_column or ()),
            id_column=id_column,
            device=device,
            progress=_shown_on(bar),
        )
    data, measured = trained.config.training["data"], trained.config.training["measured"]
    for name, value in {**data, **measured}.items():
        shown = ", ".join(f"{k} {v:.4f}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name}: {shown}")
    typer.echo(f"labeler {trained.config.fingerprint} written to {out}")


def _shown_on(bar: Progress) -> Callable[[str, int, int, dict[str, float]], None]:
    """One progress bar a stage; the last held-out numbers stay beside it."""
    tasks: dict[str, object] = {}
    held: dict[str, str] = {}

    def show(stage: str, step: int, steps: int, numbers: dict[str, float]) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=steps)
        if len(numbers) > 1:
            held[stage] = f" (held-out cells that agree: {numbers['accuracy']:.1%})"
        loss = f" loss {numbers['loss']:.3f}" if "loss" in numbers else ""
        bar.update(tasks[stage], completed=step, description=stage + loss + held.get(stage, ""))  # type: ignore[arg-type]

    return show
