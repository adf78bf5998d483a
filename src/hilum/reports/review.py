"""A page that shows reports with the words their labels rest on, and where two labelers disagree."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from hilum.errors import TableError
from hilum.findings import canonical
from hilum.reports.inputs import ReportInput
from hilum.reports.labels import Evidence, ReportLabels, settle_uncertain, with_parents

if TYPE_CHECKING:
    from hilum.reports.labeling import Labeler, Settings

REPORTS_SHOWN = 500  # on one page; disagreements come first
_CODES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1}
_CLASS = {1: "pos", 0: "neg", -1: "unc", None: "blank"}
_SIGN = {1: "+", 0: "−", -1: "?", None: "·"}
_WORD = {1: "positive", 0: "negative", -1: "uncertain", None: "not mentioned"}

Codes = Mapping[str, int | None]


@dataclass(frozen=True)
class _Shown:
    name: str
    text: str
    labels: ReportLabels
    codes: dict[str, int | None]
    other: Codes | None
    differing: tuple[str, ...]


def write_review(
    path: Path,
    reports: ReportInput,
    labeler: Labeler,
    *,
    against: Path | None,
    settings: Settings,
    shown: int = REPORTS_SHOWN,
) -> Path:
    """Write the review page; with `against`, only reports on which the two labelers differ, those with most first.

    Args:
        path: the page.
        reports: where the reports are read from.
        labeler: whose labels are shown.
        against: another labeler's CSV of the same reports, by the same ids.
        settings: how labels are turned.
        shown: at most so many reports.

    Raises:
        TableError: `against` has no column of a finding, or none of its ids is in the input.
    """
    other = _other_labels(against) if against else None
    kept: list[_Shown] = []
    read = compared = differing = cells = different_cells = 0
    for item in _all(reports, labeler, settings, other):
        read += 1
        if other is not None:
            if item.other is None:
                continue
            compared += 1
            cells += len(item.other)
            different_cells += len(item.differing)
            if not item.differing:
                continue
            differing += 1
            kept.append(item)
            if len(kept) > 4 * shown:
                kept = sorted(kept, key=lambda one: -len(one.differing))[:shown]
        elif len(kept) < shown:
            kept.append(item)
        else:
            break
    if other is not None and not compared:
        raise TableError(
            f"{against}: none of its {len(other)} ids is in {reports.path}; are both tables of the same reports?"
        )
    kept = sorted(kept, key=lambda one: -len(one.differing))[:shown]
    if other is not None:
        lead = (
            f"{compared:,} reports compared; {differing:,} differ, in {different_cells:,} of {cells:,} cells. "
            f"{len(kept):,} shown, most different first."
        )
    else:
        lead = f"The first {len(kept):,} reports." if len(kept) == shown else f"All {len(kept):,} reports."
    names = (labeler.said_by, against.name if against else "")
    draft = path.with_name(path.name + ".tmp")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(_page(kept, lead, names), encoding="utf-8")
    os.replace(draft, path)
    return path


def _all(
    reports: ReportInput, labeler: Labeler, settings: Settings, other: dict[str, dict[str, int | None]] | None
) -> Iterator[_Shown]:
    for chunk in reports.chunks(256):
        for name, text, labels in zip(chunk.ids, chunk.texts, labeler.label_many(chunk.texts), strict=True):
            values = settle_uncertain(labels.values, settings.uncertain)
            if settings.propagate_parents:
                values = with_parents(values)
            codes = {finding: value.chexpert for finding, value in values.items()}
            theirs = other.get(name) if other is not None else None
            differing = tuple(
                finding for finding, code in (theirs or {}).items() if finding in codes and codes[finding] != code
            )
            yield _Shown(name, text, labels, codes, theirs, differing)


def _other_labels(path: Path) -> dict[str, dict[str, int | None]]:
    from hilum.reports.grid import id_column_of
    from hilum.tables import as_text, read_table

    table = read_table(path, numbers=False)
    header = list(table.column_names)
    from hilum.findings import find

    columns = {column: canonical(column) for column in header if find(column) is not None}
    if not columns:
        raise TableError(f"{path} has no column of a finding; expected names such as 'Cardiomegaly'.")
    id_name = "row" if "row" in header else "file" if "file" in header else id_column_of(path, header, None)
    ids = as_text(table[id_name]).to_pylist()
    cells = {finding: table[column].to_pylist() for column, finding in columns.items()}
    return {
        str(name): {finding: _CODES.get((values[row] or "").strip()) for finding, values in cells.items()}
        for row, name in enumerate(ids)
        if name is not None
    }


def _page(kept: Sequence[_Shown], lead: str, names: tuple[str, str]) -> str:
    title = f"Report labels: {names[0]}" + (f" against {names[1]}" if names[1] else "")
    articles = "\n".join(_article(item, names) for item in kept)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>
<header><h1>{html.escape(title)}</h1><p>{html.escape(lead)} A research tool, not a medical device.</p>
<p class="key"><mark class="pos">positive</mark> <mark class="neg">negative</mark> <mark class="unc">uncertain</mark>
<u>cue</u> &middot; a pale mark is a statement that another one overruled; point at it for its rule.</p></header>
{articles}
</body></html>
"""


def _article(item: _Shown, names: tuple[str, str]) -> str:
    note = f'<p class="note">left blank: {html.escape(item.labels.note)}</p>' if item.labels.note else ""
    return (
        f'<article><h2>{html.escape(item.name)}</h2><div class="columns">'
        f'<p class="text">{marked(item.text, item.labels.evidence)}</p>'
        f"{_table(item, names)}</div>{note}</article>"
    )


def _table(item: _Shown, names: tuple[str, str]) -> str:
    rows = []
    for finding, code in item.codes.items():
        theirs = item.other.get(finding) if item.other else None
        if code is None and theirs is None:
            continue
        cells = _cell(code) + (_cell(theirs) if item.other is not None else "")
        rows.append(
            f'<tr class="{"differs" if finding in item.differing else ""}"><th>{html.escape(finding)}</th>{cells}</tr>'
        )
    head = (
        f"<tr><th></th><th>{html.escape(names[0])}</th><th>{html.escape(names[1])}</th></tr>"
        if item.other is not None
        else ""
    )
    return f"<table>{head}{''.join(rows)}</table>"


def _cell(code: int | None) -> str:
    return f'<td class="{_CLASS[code]}" title="{_WORD[code]}">{_SIGN[code]}</td>'


def marked(text: str, evidence: Sequence[Evidence]) -> str:
    """A report as HTML with its mentions marked and its cues underlined.

    Example:
        >>> marked("No edema", ())
        'No edema'
    """
    # One class list a character boundary: overlapping spans stay well formed because every run is marked by itself.
    opens: dict[int, list[Evidence]] = {}
    edges = {0, len(text)}
    for item in evidence:
        for span in (item.mention, item.cue):
            if span:
                edges.update(span)
        opens.setdefault(item.mention[0], []).append(item)
    mentions = sorted(evidence, key=lambda item: item.wins)  # what wins is drawn last
    cues = [item.cue for item in evidence if item.cue]
    places = sorted(edges)
    parts = []
    for start, end in pairwise(places):
        run = html.escape(text[start:end])
        inside = [item for item in mentions if item.mention[0] <= start and end <= item.mention[1]]
        if inside:
            top = inside[-1]
            title = "; ".join(f"{item.observation}: {item.value.value} ({item.rule})" for item in inside)
            pale = "" if top.wins else " lost"
            run = f'<mark class="{_CLASS[top.value.chexpert]}{pale}" title="{html.escape(title)}">{run}</mark>'
        elif any(cue[0] <= start and end <= cue[1] for cue in cues):
            run = f"<u>{run}</u>"
        parts.append(run)
    return "".join(parts)


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.3rem}h2{font-size:1rem;margin:0 0 .3rem;color:#555}
article{border-top:1px solid #ccc;padding:.8rem 0}.columns{display:flex;gap:1.5rem;flex-wrap:wrap}
.text{flex:2 1 28rem;margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
table{flex:1 1 14rem;border-collapse:collapse;align-self:start;font-size:.9rem}
th{text-align:left;font-weight:400;padding:.1rem .5rem .1rem 0}td{text-align:center;width:4rem;border-radius:3px}
tr.differs th{font-weight:700}tr.differs th::before{content:"\\2260 "}
mark{border-radius:3px;padding:0 .1em;color:inherit}.pos{background:#ffd0c2}.neg{background:#cfe8cf}.unc{background:#ffe9a8}
mark.lost{opacity:.45}u{text-decoration-color:#777;text-underline-offset:3px}.note{color:#8a5200}.blank{color:#999}
@media (prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}h2{color:#aaa}
.pos{background:#6b2d1c}.neg{background:#234a27}.unc{background:#5f4a0d}}
"""
