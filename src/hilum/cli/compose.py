"""`hilum compose`: an impression drafted from the nearest reports, or how good such drafts are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hilum.evaluation.drafts import DraftEvaluation
    from hilum.evaluation.results import Result
    from hilum.tasks import Draft

# What the table shows: (heading, finding, metric); the rest is in the results file.
SHOWN = (
    ("label F1, macro", "macro", "label_f1"),
    ("label F1, micro", "micro", "label_f1"),
    ("BLEU-2", "report", "bleu_2"),
    ("BLEU-4", "report", "bleu_4"),
    ("similarity, model", "report", "text_similarity"),
    ("similarity, labeler", "report", "labeler_similarity"),
)


def compose(
    model: Annotated[Path, typer.Argument(help="The folder of an image-text model.")],
    archive: Annotated[Path, typer.Argument(help="The archive.")],
    image: Annotated[
        str | None, typer.Argument(help="A DICOM, PNG or JPEG file, or an image_id of the archive.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Draft from this table of reports (or other archive), not from the archive.")
    ] = None,
    sentences: Annotated[
        int | None, typer.Option(min=1, help="How many of the nearest; default 6, of --whole 1.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Retrieve whole impressions, not sentences.")] = False,
    way: Annotated[str, typer.Option(help="selected; or as the original: cxr-repair, cxr-repair-select.")] = "selected",
    split: Annotated[str, typer.Option(help="Reports of which split of the archive; 'all' for every one.")] = "train",
    text: Annotated[
        str, typer.Option(help="Which words of the archive's reports: impression, findings, ...")
    ] = "impression",
    evaluate: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Draft for every study of this split and measure the drafts.")
    ] = None,
    labeler: Annotated[Path | None, typer.Option(help="A neural labeler that reads the drafts measured.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="With --evaluate: the results as CSV.")] = None,
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples of patients.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the first resample, and of the random reports.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The draft, or the results, as JSON.")] = False,
) -> None:
    """Draft an impression from reports about other patients whose words are nearest to an image. A retrieval, not a reading.

    Example: hilum compose runs/chexzero archive new.dcm --sentences 4
    """
    from rich.console import Console

    from hilum.archive import Archive
    from hilum.errors import UsageError
    from hilum.evaluation.drafts import evaluate_drafts, require_text_tower
    from hilum.models import Model
    from hilum.tables import check_place
    from hilum.tasks.composing import Corpus, asked_image
    from hilum.tasks.composing import compose as draft_for

    if (image is None) == (evaluate is None):
        raise UsageError(
            f"name an image, or a split to measure drafts on: hilum compose {model} {archive} IMAGE (a file, or an image_id "
            f"of the archive), or hilum compose {model} {archive} --evaluate test"
        )
    if evaluate is None and (out is not None or labeler is not None):
        raise UsageError("--out and --labeler go with --evaluate; a draft is printed.")
    if evaluate is not None and (whole or way != "selected"):
        raise UsageError("--evaluate measures every way side by side; leave out --whole and --way.")
    reads = None
    if labeler is not None:
        from hilum.reports.neural import load_labeler

        reads = load_labeler(labeler)
    if out is not None:
        check_place(out)
    opened, loaded = Archive.open(archive), Model.load(model)
    require_text_tower(loaded)
    asked = asked_image(opened, image) if image is not None else None
    if asked is not None and asked.remark:
        Console(stderr=True).print(asked.remark, highlight=False, markup=False, soft_wrap=True)
    made = (
        Corpus.of_table(corpus, whole, archive=opened)
        if corpus is not None
        else Corpus.of_archive(opened, None if split == "all" else split, whole, text=text)
    )
    with _progress("embed texts, once for each model") as on_texts:
        made.vectors(loaded, on_texts)
    if asked is not None:
        draft = draft_for(loaded, made, asked.pixels, sentences=sentences, own=asked.own, way=way)
        if as_json:
            typer.echo(json.dumps({"image": asked.name, "model": loaded.fingerprint, **draft.to_dict()}, indent=2))
        else:
            show_draft(draft)
        return
    with _progress("embed images") as on_batch:
        found = evaluate_drafts(
            loaded,
            opened,
            made,
            split=evaluate or "",
            text=text,
            labeler=reads,
            sentences=sentences,
            replicates=replicates,
            seed=seed,
            out=out,
            on_batch=on_batch,
        )
    if as_json:
        rows = [one.row() for one in found.results]
        typer.echo(json.dumps({"remarks": found.remarks, "results": rows}, indent=2))
    else:
        show_evaluation(found)
    if out is not None:
        typer.echo(out)


@contextmanager
def _progress(task: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, and what moves it: a function of (done, all)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(task), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        number = bar.add_task("", total=None)
        yield lambda done, all_: bar.update(number, completed=done, total=all_)


def show_draft(draft: Draft) -> None:
    """The draft, what must be said beside it, and each sentence with its source."""
    typer.echo(draft.text.rstrip() or "(nothing to draft from)")
    typer.echo(f"\n{draft.notice}")
    for remark in draft.remarks:
        typer.echo(remark)
    for heading, left_out in (("from", False), ("left out", True)):
        shown = [one for one in draft.sentences if bool(one.left_out) is left_out]
        if shown:
            typer.echo(f"\n{heading}:")
        for one in shown:
            typer.echo(f"  {one.score:.3f}  study {one.study_id or 'not known'}: {one.text}")
            if one.left_out:
                typer.echo(f"         {one.left_out}")


def show_evaluation(found: DraftEvaluation) -> None:
    """One row a way of drafting; then what the first way gains or loses beside each other one."""
    from rich.console import Console
    from rich.table import Table

    by_key = {(one.model, one.finding, one.metric): one for one in found.results}
    shown = [column for column in SHOWN if any(key[1:] == column[1:] for key in by_key)]
    first, *others = found.drafts
    blocks = {_title(found): list(found.drafts), f"{first}, minus": [f"{first} - {other}" for other in others]}
    console = Console(width=max(100, 34 + 24 * len(shown)))
    for title, ways in blocks.items():
        table = Table(box=None, pad_edge=False, title_justify="left", title=title)
        for heading in ("", *(heading for heading, _, _ in shown)):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for way in ways:
            cells = [by_key[way, finding, metric] for _, finding, metric in shown]
            table.add_row(way.removeprefix(f"{first} - "), *map(_cell, cells))
        console.print(table, highlight=False)
        console.print()
    for remark in found.remarks:
        console.print(remark, style="dim", highlight=False, markup=False, soft_wrap=True)


def _cell(one: Result) -> str:
    if one.value is None:
        return "-"
    interval = "" if one.low is None else f" [{one.low:.3f}, {one.high:.3f}]"
    return f"{one.value:.3f}{interval}"


def _title(found: DraftEvaluation) -> str:
    first = found.results[0]
    return (
        f"{first.dataset}: {found.studies} studies of {found.patients} patients, drafted from {found.texts} different sentences; "
        f"95% intervals of {first.replicates} resamples of patients, seed {first.seed}"
    )
