"""`hilum search`: images by what is said, by a radiograph, or by words; reports by a radiograph."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from hilum.archive import Archive
    from hilum.tasks.search import Hit, ReportHit


def search(
    model: Annotated[Path, typer.Argument(help="A model folder.", show_default=False)],
    archive: Annotated[Path, typer.Argument(help="The archive.", show_default=False)],
    text: Annotated[str | None, typer.Argument(help="What to look for, in the words of a report.")] = None,
    like: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Images like this one: a file, or an image_id of the archive.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Reports that fit this image: a file, or an image_id.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Which images, for example \"view = 'pa' AND age > 60\"; see above.")
    ] = None,
    words: Annotated[
        str | None, typer.Option(help="Words that the report must have; phrases in double quotes.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many results.")] = 10,
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the images found on one sheet as well.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once in the tower, where some are to embed.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Search an archive in plain language, with a radiograph, or for exact words.

    Images that the model has not embedded yet are embedded first, once. A text and --words together give one ranking of both.

    --where knows view, sex, age, split, source, study_order and more, and what was said of findings. Combine conditions such
    as age > 60, view IN ('pa', 'ap'), age BETWEEN 18 AND 40, sex IS NOT NULL and label('Edema') = 'positive' with AND, OR, NOT
    and brackets.

    Example: hilum search runs/chexzero archive "large left pleural effusion" -k 5 --sheet found.png

    Example: hilum search runs/chexzero archive "cardiomegaly" --where "age > 60 AND label('Edema') = 'positive'"

    Example: hilum search runs/chexzero archive --like new.dcm

    Example: hilum search runs/chexzero archive --report new.dcm -k 3

    Example: hilum search runs/chexzero archive --words 'tube "no pneumothorax"'
    """
    from rich.console import Console

    from hilum.errors import UsageError
    from hilum.tables import check_place

    asks = [name for name, given in (("a text", text), ("--like", like), ("--report", report)) if given is not None]
    if len(asks) > 1:
        raise UsageError(f"{' and '.join(asks)} cannot be asked together; choose one.")
    if not asks and words is None:
        raise UsageError(
            f'what to look for? hilum search {model} {archive} "pleural effusion", or --like IMAGE, --report IMAGE, '
            "--words WORDS."
        )
    if words is not None and (like or report):
        raise UsageError("--words goes with a text, or alone.")
    if sheet is not None and report is not None:
        raise UsageError("--sheet shows images, and --report finds reports. Leave one of them out.")
    if sheet is not None:
        check_place(sheet)
    console = Console(stderr=True)
    if asks:
        found = _by_model(model, archive, text, like, report, words, where, k, batch_size, console)
    else:
        assert words is not None
        found = _by_words(archive, words, where, k)
    if sheet is not None:
        found.draw(sheet)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        show(found)
        _remark(found, console)
        if sheet is not None:
            typer.echo(f"sheet: {sheet}")


@dataclass(frozen=True, eq=False)
class _Found:
    """Results, and what was asked of whom."""

    archive: Archive
    hits: Sequence[Hit] | Sequence[ReportHit]
    query: dict[str, Any]
    among: int
    texts: dict[str, str] = field(default_factory=dict)
    asked: np.ndarray | None = None
    is_exact: bool = True

    def to_dict(self) -> dict[str, Any]:
        rows = [hit.to_dict() for hit in self.hits]
        for row in rows:
            row.setdefault("text", self.texts.get(row["study_id"]))
        query = {name: value for name, value in self.query.items() if value is not None}
        return {"query": query, "among": self.among, "exact": self.is_exact, "hits": rows}

    @property
    def title(self) -> str:
        query = self.query
        parts = [query.get("text"), query.get("like") and f"like {query['like']}", query.get("report")]
        parts += [query.get("words") and f"words: {query['words']}", query.get("where") and f"where {query['where']}"]
        return "   ".join(part for part in parts if part)

    def draw(self, place: Path) -> None:
        from hilum.tasks.search import contact_sheet

        whom = f"{self.query['model_name']}, " if "model_name" in self.query else ""
        subtitle = f"{whom}{len(self.hits)} of {self.among:,} images"
        png = contact_sheet(
            self.archive,
            self.hits,  # type: ignore[arg-type] # refused above for reports
            self.title,
            subtitle=subtitle,
            texts=self.texts,
            asked=self.asked,
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png)


def _by_words(archive: Path, words: str, where: str | None, k: int) -> _Found:
    from hilum.archive import Archive
    from hilum.tasks.search import by_words, texts_of

    opened = Archive.open(archive)
    hits = by_words(opened, words, k, where)
    query = {"words": words, "where": where}
    return _Found(opened, hits, query, len(opened), texts_of(opened, [hit.study_id for hit in hits]))


def _by_model(
    model: Path,
    archive: Path,
    text: str | None,
    like: str | None,
    report: str | None,
    words: str | None,
    where: str | None,
    k: int,
    batch_size: int,
    console: Console,
) -> _Found:
    from hilum.archive import Archive
    from hilum.models import Model
    from hilum.tasks import embed
    from hilum.tasks.search import Search, asked_with, texts_of
    from hilum.tasks.text_cache import embed_reports

    loaded, opened = Model.load(model), Archive.open(archive)
    pixels, image_id = asked_with(opened, like or report or "") if text is None else (None, None)
    if like is None:
        loaded.embed_texts([text or "a report"])  # an encoder of images alone is told before the images are embedded
    with steps(console) as step:
        embed(loaded, opened, batch_size=batch_size, on_batch=step("embed images"))
        if report is not None:
            embed_reports(loaded, opened, on_batch=step("embed reports"))
    search = Search(loaded, opened)
    query = {"text": text, "like": like, "report": report, "words": words, "where": where}
    query |= {"model": loaded.fingerprint, "model_name": loaded.name}
    with_image: dict[str, Any] = {"image_id": image_id} if image_id is not None else {"pixels": pixels}
    if report is not None:
        return _Found(search.archive, search.reports(**with_image, k=k, where=where), query, search.embedded)
    if text is not None:
        hits = search.by_text(text, k=k, where=where, words=words)
    else:
        hits = search.by_image(**with_image, k=k, where=where)
    texts = texts_of(search.archive, [hit.study_id for hit in hits])
    return _Found(search.archive, hits, query, search.embedded, texts, pixels, search.is_exact)


def show(found: _Found) -> None:
    """The results as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=180)  # a pipe has no width of its own
    is_reports = found.query.get("report") is not None
    is_fused = bool(found.query.get("text") and found.query.get("words"))
    lines = [_cells(rank, row, is_reports, is_fused) for rank, row in enumerate(found.to_dict()["hits"], start=1)]
    if not lines:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Widths are worked out here: rich would take them from the short columns, which must be whole to be read.
    widths = {head: max(len(head), *(len(line[head]) for line in lines)) for head in lines[0]}
    for name in ("image", "study"):
        if name in widths:
            widths[name] = min(widths[name], max(12, console.width // 3))
    widths["report"] = max(16, console.width - sum(n + 2 for head, n in widths.items() if head != "report"))
    for head, width in widths.items():
        justify: Literal["left", "right"] = "right" if head in ("#", "score", "age", "copies") else "left"
        wraps = is_reports and head == "report"
        table.add_column(
            head, justify=justify, width=width, no_wrap=not wraps, overflow="fold" if wraps else "ellipsis"
        )
    for line in lines:
        table.add_row(*map(Text, line.values()))
    console.print(table)


def _cells(rank: int, row: dict[str, Any], is_reports: bool, is_fused: bool) -> dict[str, str]:
    cells = {"#": str(rank), "score": f"{row['score']:.3f}"}
    said = " ".join((row["text"] or "").split())
    if is_reports:
        own = " (its own)" if row["is_own"] else ""
        return cells | {"copies": str(row["copies"]), "study": f"{row['study_id']}{own}", "report": said}
    age = "" if row["age_years"] is None else f"{row['age_years']:.0f}"
    cells |= {"view": row["view"], "sex": row["sex"] or "", "age": age}
    cells |= {"found by": row["found_by"]} if is_fused else {}
    return cells | {"image": row["image_id"], "report": said}


def _remark(found: _Found, console: Console) -> None:
    """What must be known to read the table."""
    kind = "cosines"
    if found.query.get("words"):
        kind = "sums of 1 / (60 + rank) over both rankings" if found.query.get("text") else "BM25 weights of the words"
    lines = [f"{len(found.hits)} of {found.among:,} images; scores are {kind}: they rank. Research use only."]
    if found.query.get("report") is not None:
        lines = [
            f"{len(found.hits)} texts; scores are cosines: they rank. A retrieval, not a reading. Research use only."
        ]
    if not found.hits:
        lines.insert(0, "nothing fits. Widen --where, or use fewer --words.")
    if not found.is_exact:
        lines.append("Found through the vector index: a neighbor may be missed.")
    for line in lines:
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def steps(console: Console) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Progress of several steps, each shown from its first batch on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:

        def step(name: str) -> Callable[[int, int], None]:
            task = bar.add_task(name, total=None, visible=False)
            return lambda done, all_: bar.update(task, completed=done, total=all_, visible=True)

        yield step
