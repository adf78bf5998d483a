"""The tables of a study, as text that CSV, LaTeX, Markdown and HTML are made from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hilum.studies.cells import Cell
from hilum.studies.rows import MACRO, Row
from hilum.studies.spec import Study
from hilum.studies.store import MISSING, Record

FULL = "1"  # the part that is all training images
NONE = "-"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        name: of its files.
        title: above it.
        columns: headings.
        rows: cells, as many in each row as columns.
        notes: what the cells cannot say.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def as_csv(self) -> str:
        """Comma-separated values."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()

    def as_markdown(self) -> str:
        """A Markdown table with its title and notes."""

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        body = [line(self.columns), line(["---"] * len(self.columns)), *(line(row) for row in self.rows)]
        return "\n".join([f"### {self.title}", "", *body, "", *(f"{note}" for note in self.notes)]) + "\n"

    def as_latex(self) -> str:
        """A LaTeX table in the style of booktabs."""

        def line(cells: Sequence[str]) -> str:
            return " & ".join(escaped(cell) for cell in cells) + r" \\"

        notes = [r"\par\smallskip\footnotesize " + escaped(" ".join(self.notes))] if self.notes else []
        return "\n".join(
            [
                r"\begin{table}", r"\centering", rf"\caption{{{escaped(self.title)}}}", rf"\label{{tab:{self.name}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}", r"\toprule", line(self.columns), r"\midrule",
                *(line(row) for row in self.rows), r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}", "",
            ]
        )  # fmt: skip


def escaped(text: str) -> str:
    """Text as LaTeX writes it.

    Example:
        >>> escaped("50% of A_1")
        '50\\\\% of A\\\\_1'
    """
    signs = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
    signs |= {sign: "\\" + sign for sign in "&%$#_{}"}
    return "".join(signs.get(sign, sign) for sign in text)


def tables(study: Study, rows: Sequence[Row], records: Iterable[Record]) -> list[Table]:
    """All tables of a study; one with no row is left out.

    Args:
        study: for its names and statistics.
        rows: as `hilum.studies.measuring` gives them.
        records: for what is missing.
    """
    found = [improvements(study, rows), *means(study, rows), by_finding(study, rows), absent(records)]
    return [table for table in found if table.rows]


def improvements(study: Study, rows: Sequence[Row]) -> Table:
    """Table 2 of the founding study: on each dataset the best model, and what it gains over both baselines."""
    metric = study.statistics.metrics[0]
    lines, count = [], 0
    kinds = [kind for kind in ("finetune", "probe") if any(row.less == f"{study.baseline}, {kind}" for row in rows)]
    for dataset in study.datasets:
        own = [
            row for row in rows
            if (row.dataset, row.finding, row.metric, row.less, row.part) == (dataset.name, MACRO, metric, "", FULL)
            and row.value is not None
        ]  # fmt: skip
        others = [row for row in own if row.model != study.baseline]
        if not others:
            continue
        count = max(count, len(others))
        best = max(others, key=lambda row: (row.value or 0.0, row.model))
        cells = [dataset.name, f"{best.n:,}", f"{best.model}, {best.adaptation}", number(best)]
        for kind in kinds:
            base = next((row for row in own if (row.model, row.adaptation) == (study.baseline, kind)), None)
            difference = next((row for row in rows if _is_difference(row, best, f"{study.baseline}, {kind}")), None)
            cells += [number(base), number(difference, signed=True), _significance(study, difference)]
        lines.append(tuple(cells))
    heads = [head for kind in kinds for head in (f"{study.baseline}, {kind}", "gain", "p")]
    notes = (
        f"{metric.upper()}, mean over findings with at least {study.statistics.least_positives} positive and negative test images; "
        f"{study.statistics.level:.0%} bootstrap intervals by {study.statistics.by}, {study.statistics.replicates} resamples "
        "shared by all models of a dataset. * the interval of the paired difference excludes 0.",
        f"The best of up to {count} is picked on the same test images, so its value and its gain lean high.",
        *(("p: corrected over datasets (Holm).",) if study.statistics.correction == "holm" else ()),
    )
    columns = ("dataset", "test images", "best", metric.upper(), *heads)
    return Table("improvements", f"Largest improvement over {study.baseline}", columns, tuple(lines), notes)


def means(study: Study, rows: Sequence[Row]) -> list[Table]:
    """For each adaptation and part the mean of every model on every dataset."""
    found = []
    metric = study.statistics.metrics[0]
    own = [row for row in rows if row.finding == MACRO and row.metric == metric and not row.less]
    for adaptation, part in dict.fromkeys((row.adaptation, row.part) for row in own):
        here = {(row.model, row.dataset): row for row in own if (row.adaptation, row.part) == (adaptation, part)}
        lines = tuple(
            (model.name, *(number(here.get((model.name, dataset.name))) for dataset in study.datasets))
            for model in study.models
            if any(name == model.name for name, _ in here)
        )
        what = (
            adaptation if part == FULL or adaptation == "zero-shot" else f"{adaptation}, {part} of the training images"
        )
        title = f"{metric.upper()} by dataset: {what.replace('shots of the training images', 'shots')}"
        least = study.statistics.least_positives
        few = [one.name for one in study.datasets if _has_no_mean(one.name, here)]
        notes = (
            f"{', '.join(few)}: no finding has {least} positive and {least} negative test images, so there is no mean.",
        )
        slug = f"{adaptation}-{part.replace(' ', '-')}" if part != FULL else adaptation
        found.append(
            Table(f"means-{slug}", title, ("model", *(d.name for d in study.datasets)), lines, notes if few else ())
        )
    return found


def by_finding(study: Study, rows: Sequence[Row]) -> Table:
    """Every finding of every arm that used all training images, with how many positives it has."""
    metric = study.statistics.metrics[0]
    lines = tuple(
        (
            row.dataset, "mean" if row.finding == MACRO else row.finding, row.model, row.adaptation, f"{row.n:,}",
            "" if row.n_positive is None else f"{row.n_positive:,}", number(row), row.note,
        )
        for row in rows
        if row.metric == metric and not row.less and row.part == FULL
    )  # fmt: skip
    columns = ("dataset", "finding", "model", "adaptation", "n", "positive", metric.upper(), "note")
    return Table("findings", f"{metric.upper()} by finding", columns, lines)


def absent(records: Iterable[Record]) -> Table:
    """Why cells are missing: one line a reason."""
    by_reason: dict[str, list[Cell]] = {}
    for record in records:
        if record.status == MISSING:
            by_reason.setdefault(record.reason, []).append(record.cell)

    def some(names: Iterable[str]) -> str:
        return ", ".join(dict.fromkeys(names))

    lines = tuple(
        (
            some(c.dataset for c in cells),
            some(c.model for c in cells),
            some(c.adaptation for c in cells),
            str(len(cells)),
            reason,
        )
        for reason, cells in by_reason.items()
    )
    return Table("missing", "Missing cells", ("dataset", "model", "adaptation", "cells", "reason"), lines)


def number(row: Row | None, signed: bool = False) -> str:
    """A value with its interval; a difference with its sign, and a star where the interval excludes 0."""
    if row is None or row.value is None:
        return NONE
    form = "+.3f" if signed else ".3f"
    if row.low is None or row.high is None:
        return f"{row.value:{form}}"
    star = "*" if signed and (row.low > 0 or row.high < 0) else ""
    return f"{row.value:{form}}{star} ({row.low:{form}} to {row.high:{form}})"


def _has_no_mean(dataset: str, here: dict[tuple[str, str], Row]) -> bool:
    rows = [row for (_, name), row in here.items() if name == dataset]
    return bool(rows) and all(row.value is None for row in rows)


def _is_difference(row: Row, best: Row, less: str) -> bool:
    arm = (best.model, best.dataset, best.adaptation, best.part, MACRO, best.metric, less)
    return (row.model, row.dataset, row.adaptation, row.part, row.finding, row.metric, row.less) == arm


def _significance(study: Study, row: Row | None) -> str:
    p = None if row is None else row.p_holm if study.statistics.correction == "holm" else row.p
    return NONE if p is None else f"{p:.3f}"
