"""`hilum pretrain`: from an archive to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hilum.training import Pretrained

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def pretrain(
    method: Annotated[
        str | None, typer.Argument(help="Which method; leave out to list them.", show_default=False)
    ] = None,
    archive: Annotated[Path | None, typer.Argument(help="The archive to learn from.", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The model folder to write.", show_default=False)
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="Small settings: minutes on two CPU cores.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and draws.")] = 0,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between states a stopped run goes on from.")] = 50,
    devices: Annotated[int, typer.Option(min=1, help="Devices of this machine.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the recipe and stop.")] = False,
) -> None:
    """Pretrain an encoder on an archive's images and reports, without labels.

    A stopped run goes on when the same command is given again.

    Example: hilum pretrain chexzero archive -o runs/chexzero --tiny
    """
    from rich.console import Console

    from hilum.cli.recipe import print_methods, print_recipe
    from hilum.errors import UsageError
    from hilum.methods import find_method

    if method is None:
        print_methods()
        return
    entry = find_method(method)
    if dry_run:
        print_recipe(entry.recipe.resolve(settings or [], tiny))
        return
    if archive is None or out is None:
        missing = "ARCHIVE" if archive is None else "-o RUN"
        raise UsageError(
            f"hilum pretrain {method}: {missing} is missing. Example: hilum pretrain {method} archive -o runs/{method}"
        )
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: expected one of {', '.join(PRECISIONS)}.")
    if out.is_file():
        raise UsageError(f"-o {out} is a file; expected a folder for the model, made if it is not there.")
    console = Console(stderr=True)
    done = _run_with_progress(method, archive, out, tiny, settings or [], seed, save_every, devices, precision, console)
    _show(done, console)
    typer.echo(done.folder)


def _run_with_progress(
    method: str,
    archive: Path,
    out: Path,
    tiny: bool,
    settings: list[str],
    seed: int,
    save_every: int,
    devices: int,
    precision: str,
    console: Console,
) -> Pretrained:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from hilum.training import Progress, pretrain

    numbers = TextColumn("loss {task.fields[loss]}  {task.fields[speed]} images/s  {task.fields[validation]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), numbers)
    with Bar(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task(f"pretrain {method}", total=None, loss="-", speed="-", validation="")

        def show(progress: Progress) -> None:
            fields = {"loss": f"{progress.loss:.3f}", "speed": f"{progress.images_per_s:.0f}"}
            if progress.validation is not None:
                fields["validation"] = "  ".join(f"{k} {v:.3f}" for k, v in progress.validation.items())
                if not bar.console.is_terminal:
                    seconds = f"{progress.seconds_left:.0f} s left"
                    bar.console.print(
                        f"step {progress.step}/{progress.steps}  loss {progress.loss:.3f}  {fields['validation']}  "
                        f"{fields['speed']} images/s  {seconds}"
                    )
            bar.update(task, completed=progress.step, total=progress.steps, **fields)  # type: ignore[arg-type]

        return pretrain(
            method,
            archive,
            out,
            tiny=tiny,
            settings=settings,
            seed=seed,
            save_every=save_every,
            devices=devices,
            precision=precision,
            on_step=show,
        )


def _show(done: Pretrained, console: Console) -> None:
    for split, counts in done.counts.items():
        if counts:
            text = f"{split}: {counts['pairs']} pairs from {counts['images']} images"
            text += f", {counts['images_without_text']} without text left out, {counts['texts_cut']} texts cut at the context"
            console.print(text, soft_wrap=True)
    if done.best is not None:
        measured = ", ".join(f"{k} {v:.4f}" for k, v in done.best.items() if k != "step")
        console.print(
            f"kept step {done.best['step']} of {done.steps} by {done.selected_by} ({measured})", soft_wrap=True
        )
