"""`hilum demo`: the whole idea on synthetic patients, with the commands it consists of."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

# Signs that show well on one small picture, for the report's examples.
SHOWN = ("Pleural Effusion", "Pneumothorax", "Cardiomegaly", "Consolidation", "Edema", "Support Devices", "No Finding")
TEST = "split = 'test' AND view != 'lateral'"
VALIDATION = "split = 'val' AND view != 'lateral'"


def demo(
    out: Annotated[Path, typer.Argument(help="Folder to write; run again to go on.")] = Path("demo"),
    patients: Annotated[int, typer.Option(min=40, help="How many synthetic patients.")] = 1200,
    epochs: Annotated[int | None, typer.Option(help="Passes of the pretraining; default the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Of patients, splits and training.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that draw and decode.")] = 2,
) -> None:
    """Run everything on synthetic patients: draw, ingest, pretrain without labels, score zero-shot, evaluate.

    Each step is printed as the command that does it; the truth is read in the last step alone.

    Example: hilum demo demo
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    started = time.perf_counter()
    phantoms, archive, run, report = out / "phantoms", out / "archive", out / "chexzero", out / "report"
    truth = phantoms / "truth" / "truth.csv"
    recipe = ["--tiny", "--seed", str(seed), *(["--set", f"epochs={epochs}"] if epochs else [])]
    if not truth.exists():
        _step(
            console,
            ["phantom", str(phantoms), "--patients", str(patients), "--seed", str(seed), "--workers", str(workers)],
        )
    _step(
        console,
        ["ingest", "phantom", str(phantoms), "-o", str(archive), "--workers", str(workers), "--seed", str(seed)],
    )
    _step(console, ["pretrain", "chexzero", str(archive), "-o", str(run), *recipe])
    findings = _findings(truth)
    asked = [word for finding in findings for word in ("--finding", finding)] + ["--prompts", "reports"]
    for name, where in (("validation", VALIDATION), ("test", TEST)):
        _step(
            console,
            ["zeroshot", str(run), str(archive), *asked, "--where", where, "--out", str(out / name / "chexzero.csv")],
        )
    _evaluate(console, truth, out, run, archive, report, findings, seed)
    console.print(f"\n[bold]Done in {time.perf_counter() - started:.0f} s.[/bold] Open the report:")
    typer.echo(report / "report.html")
    console.print("\nOr look around in the archive, in the browser (Ctrl-C ends it):")
    serve = f"hilum serve {archive} --model {run} --results {report}"
    console.print(f"[bold cyan]$ hilum embed {run} {archive} && {serve}[/bold cyan]", soft_wrap=True)


def _step(console: Console, arguments: list[str]) -> None:
    import shlex

    from hilum.cli import build_app

    started = time.perf_counter()
    console.print(f"\n[bold cyan]$ hilum {shlex.join(arguments)}[/bold cyan]", markup=True, soft_wrap=True)
    code = build_app()(args=arguments, standalone_mode=False)
    if code:
        raise typer.Exit(int(code))
    console.print(f"  {time.perf_counter() - started:.0f} s")


def _findings(truth: Path) -> list[str]:
    """The findings that the truth has both kinds of images for; their names only, not their values for any image."""
    from hilum.tables import read_table

    table = read_table(truth)
    names = [name for name in table.column_names if name not in ("image_id", "study_id", "patient_id", "view")]
    return [name for name in names if len(table[name].unique()) > 1]


def _evaluate(
    console: Console, truth: Path, out: Path, run: Path, archive: Path, report: Path, findings: list[str], seed: int
) -> None:
    """`hilum evaluate`, with example pictures for the report."""
    from hilum.archive import Archive
    from hilum.cli.evaluate import show
    from hilum.evaluation import evaluate
    from hilum.tables import read_table
    from hilum.tasks import highest_scored, zeroshot

    started = time.perf_counter()
    scores, validation = out / "test" / "chexzero.csv", out / "validation" / "chexzero.csv"
    console.print(
        f"\n[bold cyan]$ hilum evaluate --truth {truth} --scores {scores} --thresholds-from {validation} "
        f"--patient patient_id --seed {seed} --dataset 'phantom, held-out patients' -o {report}[/bold cyan]",
        soft_wrap=True,
    )
    rows = read_table(truth).to_pylist()
    there = {row["image_id"]: [f for f in findings if row[f] == 1] for row in rows}
    opened = Archive.open(archive)
    result = zeroshot(run, opened, findings, where=TEST, prompts="reports")
    shown = [finding for finding in SHOWN if finding in findings]
    evaluation = evaluate(
        truth,
        scores,
        thresholds_from=validation,
        patient_column="patient_id",
        seed=seed,
        dataset="phantom, held-out patients",
        examples=highest_scored(opened, result, shown, there),
        out=report,
    )
    show(evaluation, report)
    console.print(f"  {time.perf_counter() - started:.0f} s")
