"""`hilum pointing`: whether heatmaps point at what they should."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hilum.evaluation.results import Result


def pointing(
    model: Annotated[Path, typer.Argument(help="The folder of an image-text model, a finetuned model or a probe.")],
    archive: Annotated[Path, typer.Argument(help="The archive.")],
    boxes: Annotated[
        Path, typer.Argument(help="Table with image_id, finding, x0, y0, x1, y1; or VinDr-CXR's annotations.")
    ],
    side: Annotated[
        int | None, typer.Option(help="Longer side of the images that the boxes were drawn in; default: the archive's.")
    ] = None,
    finding: Annotated[
        list[str] | None, typer.Option("--finding", "-f", help="Repeatable. Default: all of the table.")
    ] = None,
    where: Annotated[str, typer.Option(help="Which images.")] = "view != 'lateral'",
    how: Annotated[str, typer.Option(help="As of `hilum explain`.")] = "auto",
    against: Annotated[str | None, typer.Option(help="As of `hilum explain`.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Results as CSV.")] = None,
    points: Annotated[Path | None, typer.Option(help="CSV of every point and whether it hit.")] = None,
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples of patients.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the first.")] = 0,
) -> None:
    """Play the pointing game: the share of heatmaps whose highest point lies in a box of the finding.

    Against chance, the center of the image, and the one place that lies in most boxes of the finding.

    Example: hilum pointing runs/gloria archive phantoms/truth/signs.csv --side 512
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hilum.archive import Archive
    from hilum.errors import UsageError
    from hilum.evaluation.boxes import boxed_findings
    from hilum.evaluation.pointing import measured, point
    from hilum.evaluation.results import write_csv
    from hilum.tables import check_place, write_table
    from hilum.tasks.explaining import load_members

    for path in (out, points):
        if path is not None:
            check_place(path)
    members = load_members(model)
    opened = Archive.open(archive)
    boxed = boxed_findings(boxes, opened, side_px=side, findings=finding, where=where)
    known = members[0][1].names if members[0][1] is not None else None
    if known is not None:
        boxed = [one for one in boxed if one.finding in known]
        if not boxed:
            raise UsageError(f"{model} scores {', '.join(known)}; {boxes} has boxes of none of these.")
    columns = (TextColumn("explain"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(boxed))
        pointed = point(
            members, opened, boxed, how=how, against=against, on_image=lambda done, _: bar.update(task, completed=done)
        )
    results = measured(pointed, model.name, archive.name, replicates=replicates, seed=seed)
    if out is not None:
        write_csv(results, out)
    if points is not None:
        write_table(points, pointed.table())
    typer.echo(_table(results))


def _table(results: list[Result]) -> str:
    """One line a finding: the map's share of hits, and what it is held against."""
    by = {(one.finding, one.metric): one for one in results}
    lines = [f"{'finding':<28}{'n':>5}  {'points right':<19}{'chance':>7}{'center':>8}{'fixed':>7}   map - center"]
    for finding in dict.fromkeys(one.finding for one in results):
        hit, against = by[finding, "pointing"], by[finding, "pointing - pointing_center"]
        rest = [by[finding, f"pointing_{name}"].value for name in ("chance", "center", "fixed_place")]
        shares = "".join(f"{value:>{width}.2f}" for value, width in zip(rest, (7, 8, 7), strict=True))
        lines.append(f"{finding:<28}{hit.n:>5}  {_span(hit):<19}{shares}   {_span(against, sign=True)}")
    return "\n".join(lines)


def _span(result: Result, sign: bool = False) -> str:
    form = "+.2f" if sign else ".2f"
    if result.low is None or result.high is None:
        return f"{result.value:{form}}"
    return f"{result.value:{form}} ({result.low:{form}} to {result.high:{form}})"
