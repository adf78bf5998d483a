"""One self-contained HTML page of an evaluation: it loads nothing, and says how its numbers were made."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from hilum import __version__
from hilum.evaluation.figures import Picture
from hilum.evaluation.results import MACRO, Result
from hilum.evaluation.summary import KINDS, SHOWN, Grid, grids, reader_grids

if TYPE_CHECKING:
    from hilum.evaluation.evaluator import Evaluation

HEADLINE = ("auroc", "mcc", "f1")
HEADINGS = {
    "ranking": "Does a higher score mean a likelier finding?",
    "calls": "Calls at the operating point",
    "calibration": "Are the scores probabilities?",
    "difference": "Paired differences",
}


@dataclass(frozen=True)
class Card:
    """A headline number: what, whose, how much, how sure."""

    model: str
    what: str
    value: str
    between: str
    over: str


def render(evaluation: Evaluation, pictures: Sequence[Picture]) -> str:
    """The page.

    Args:
        evaluation: what was measured.
        pictures: its figures, as `hilum.evaluation.figures.draw` returns them.

    Returns:
        HTML with every picture inside.
    """
    templates = Environment(
        loader=PackageLoader("hilum.evaluation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters["data_uri"] = _data_uri
    by_kind = {kind: _grids_of(evaluation, kind) for kind in (*KINDS, "difference")}
    return templates.get_template("report.html.j2").render(
        evaluation=evaluation,
        sample=evaluation.sample,
        settings=evaluation.settings,
        cards=_cards(evaluation),
        sections=[(HEADINGS[kind], kind, found) for kind, found in by_kind.items() if found],
        reader_grids=reader_grids(evaluation.readers_together),
        pictures=pictures,
        pictures_of=lambda kind: [p for p in pictures if p.name.startswith(_FIGURES[kind])],
        version=__version__,
    )


_FIGURES = {
    "ranking": ("auroc_intervals", "roc_curves", "pr_curves"),
    "calls": ("none",),
    "calibration": ("calibration",),
    "difference": ("none",),
}


def _grids_of(evaluation: Evaluation, kind: str) -> list[Grid]:
    return [grid for grid in grids(evaluation.results) if grid.kind == kind]


def _cards(evaluation: Evaluation) -> list[Card]:
    """The macro mean of each model and reader: AUROC where there is one, else MCC."""
    cards = []
    for name in (*evaluation.sample.models, *evaluation.sample.readers):
        means = {r.metric: r for r in evaluation.results if (r.model, r.finding) == (name, MACRO)}
        shown = next((means[metric] for metric in HEADLINE if metric in means), None)
        if shown is not None and shown.value is not None:
            cards.append(
                Card(name, SHOWN[shown.metric], f"{shown.value:.3f}", _between(shown), shown.note.split("; ")[0])
            )
    return cards


def _between(result: Result) -> str:
    return "" if result.low is None or result.high is None else f"{result.low:.3f} to {result.high:.3f}"


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
