"""`hilum pretrain`: from an archive to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hilum.training import Pretrained

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def pretrain(
    method: Annotated[
        str | None, typer.Argument(help="Which method; leave out to list them.", show_default=False)
    ] = None,
    archives: Annotated[
        list[Path] | None, typer.Argument(help="The archive to learn from, or several.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The model folder to write.", show_default=False)
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="Small settings: minutes on two CPU cores.")] = False,
    variant: Annotated[
        str | None, typer.Option(help="A named variant of the recipe; `hilum recipe list` names them.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and draws.")] = 0,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between states a stopped run goes on from.")] = 50,
    devices: Annotated[int, typer.Option(min=1, help="Devices of each machine: GPUs, or processes of a CPU.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines, started by torchrun or SLURM.")] = 1,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the towers with torch.compile.")] = False,
    profiled: Annotated[bool, typer.Option("--profile", help="Say at the end where the time went.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the recipe and stop.")] = False,
) -> None:
    """Pretrain an encoder on the images and reports of one archive or several, without labels.

    A stopped run goes on when the same command is given again. Settings: hilum recipe show METHOD.

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
        print_recipe(entry.recipe.resolve(settings or [], tiny, variant))
        return
    if not archives or out is None:
        missing = "ARCHIVE" if not archives else "-o RUN"
        raise UsageError(
            f"hilum pretrain {method}: {missing} is missing. Example: hilum pretrain {method} archive -o runs/{method}"
        )
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: expected one of {', '.join(PRECISIONS)}.")
    if out.is_file():
        raise UsageError(f"-o {out} is a file; expected a folder for the model, made if it is not there.")
    from hilum.training.processes import is_first

    console = Console(stderr=True, quiet=not is_first())  # of several processes one tells
    options = {
        "tiny": tiny,
        "variant": variant,
        "settings": settings or [],
        "seed": seed,
        "save_every": save_every,
        "devices": devices,
        "nodes": nodes,
        "precision": precision,
        "compiled": compiled,
        "profiled": profiled,
    }
    done = _run_with_progress(method, archives, out, options, console)
    if profiled and done.shares:
        _show_profile(done, console)
    _show(done, console)
    if is_first():
        typer.echo(done.folder)


def _run_with_progress(
    method: str, archives: list[Path], out: Path, options: dict[str, Any], console: Console
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

        return pretrain(method, archives, out, on_step=show, **options)


def _show(done: Pretrained, console: Console) -> None:
    for split, counts in done.counts.items():
        if counts:
            told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
            console.print(f"{split}: {told}", soft_wrap=True)
    if done.best is not None:
        measured = ", ".join(f"{k} {v:.4f}" for k, v in done.best.items() if k != "step")
        console.print(
            f"kept step {done.best['step']} of {done.steps} by {done.selected_by} ({measured})", soft_wrap=True
        )


def _show_profile(done: Pretrained, console: Console) -> None:
    from rich.table import Table

    table = Table("section", "share of the time", title="where the time went", title_justify="left")
    for section, share in done.shares.items():
        table.add_row(section, f"{100 * share:.1f} %")
    console.print(table)
    console.print(
        f"all but the towers' forward and backward pass: {100 * done.overhead:.1f} % of the steps", soft_wrap=True
    )
