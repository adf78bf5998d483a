"""`hilum retrieval`: how well a model finds the report of an image, the image of a report, and neighbors of a class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hilum.evaluation.archive_retrieval import RetrievalEvaluation
    from hilum.evaluation.results import Result


def retrieval(
    paths: Annotated[
        list[Path], typer.Argument(metavar="MODEL... ARCHIVE", help="One or more model folders, then the archive.")
    ],
    where: Annotated[
        str | None, typer.Option(help="Which images, as for `hilum search`; for example \"split = 'test'\".")
    ] = None,
    finding: Annotated[
        list[str] | None,
        typer.Option("--class", "-c", help="A finding that neighbors should share; repeatable. Adds Precision@K."),
    ] = None,
    said_by: Annotated[
        str | None, typer.Option(help="Whose labels: dataset, rules, ... Default: datasets', where there are any.")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Table of texts that ask for a class: columns finding, text. Default: prompts.")
    ] = None,
    prompts: Annotated[str, typer.Option(help="Prompt set that asks for the classes.")] = "chexzero",
    replicates: Annotated[int, typer.Option(min=1, help="Bootstrap resamples of patients.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the first resample.")] = 0,
    dataset: Annotated[str | None, typer.Option(help="Name in the results (else the archive's).")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="CSV of every number measured.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every number measured as JSON.")] = False,
) -> None:
    """Measure retrieval: Recall@K and mean rank of each image's own report, and Precision@K of classes, with intervals.

    Equal report texts count as one text; how many different ones there are is said with every number.

    Example: hilum retrieval runs/chexzero archive --where "split = 'test'" --class edema --class "pleural effusion" -o r.csv
    """
    from rich.console import Console

    from hilum.cli.search import steps
    from hilum.errors import UsageError
    from hilum.evaluation.archive_retrieval import evaluate_retrieval
    from hilum.evaluation.results import as_json as to_json
    from hilum.tables import check_place

    if len(paths) < 2:
        raise UsageError("hilum retrieval needs a model and an archive: hilum retrieval MODEL [MODEL ...] ARCHIVE")
    if out is not None:
        check_place(out)
    with steps(Console(stderr=True)) as step:
        measured = evaluate_retrieval(
            paths[:-1],
            paths[-1],
            where=where,
            classes=finding or (),
            said_by=said_by,
            queries=queries,
            prompts=prompts,
            replicates=replicates,
            seed=seed,
            dataset=dataset,
            out=out,
            on_batch=step("embed images"),
        )
    if as_json:
        typer.echo(to_json(measured.results))
    else:
        show(measured)
        if out is not None:
            typer.echo(f"results: {out}")


def show(measured: RetrievalEvaluation) -> None:
    """Recall and rank of each model, precision of each class."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=150)  # a pipe has no width of its own
    for model in dict.fromkeys(row.model for row in measured.results):
        rows = [row for row in measured.results if row.model == model]
        for title, columns, lines in (_ranks(rows), *_precisions(rows)):
            if not lines:
                continue
            table = Table(title=f"{model}: {title}", title_justify="left", box=None, pad_edge=False)
            for place, column in enumerate(columns):
                table.add_column(column, justify="left" if place == 0 else "right", no_wrap=True)
            for cells in lines:
                table.add_row(*cells, style="bold" if cells[0].startswith("mean over") else None)
            console.print(table)
            console.print()
    about = [
        f"{measured.images:,} images of {measured.patients:,} patients; {measured.with_text:,} with a report text, "
        f"{measured.texts:,} different ones ({measured.duplicates:,} repeated texts merged).",
        *measured.remarks,
        "95 % intervals: patients drawn with replacement. Research use only.",
    ]
    for line in about:
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


_DIRECTIONS = {
    "image_to_text": "image to report",
    "text_to_image": "report to image",
    "image_to_image": "image to image",
}


def _ranks(rows: list[Result]) -> tuple[str, list[str], list[list[str]]]:
    from hilum.evaluation.summary import number

    own = [row for row in rows if "recall@" in row.metric or row.metric.endswith("mean_rank")]
    measures = list(dict.fromkeys(row.metric.removeprefix(row.metric[:14]) for row in own))
    lines = []
    for direction in ("image_to_text", "text_to_image"):
        mine = {row.metric.removeprefix(f"{direction}_"): row for row in own if row.metric.startswith(direction)}
        if mine:
            first = next(iter(mine.values()))
            cells = [number(mine.get(measure)) for measure in measures]
            lines.append([_DIRECTIONS[direction], f"{first.n:,}", first.note.split(";")[0].split()[1], *cells])
    heads = [measure.replace("recall@", "Recall@").replace("_", " ") for measure in measures]
    return "own report and own image", ["", "asked", "among", *heads], lines


def _precisions(rows: list[Result]) -> list[tuple[str, list[str], list[list[str]]]]:
    from hilum.evaluation.results import MACRO
    from hilum.evaluation.summary import number

    tables: list[tuple[str, list[str], list[list[str]]]] = []
    for direction, words in {**_DIRECTIONS, "text_to_image": "class text to image"}.items():
        mine = [row for row in rows if row.metric.startswith(f"{direction}_precision@")]
        measures = list(dict.fromkeys(row.metric for row in mine))
        lines: list[list[str]] = []
        for finding in dict.fromkeys(row.finding for row in mine):
            of = {row.metric: row for row in mine if row.finding == finding}
            first = next(iter(of.values()))
            chance = first.note.partition("chance ")[2] or ""
            name = first.note.split(";")[0] if finding == MACRO else finding
            lines.append([name, f"{first.n:,}", chance, *(number(of.get(measure)) for measure in measures)])
        heads = [f"P@{measure.rpartition('@')[2]}" for measure in measures]
        tables.append((f"{words}, same class", ["", "n", "chance", *heads], lines))
    return tables
