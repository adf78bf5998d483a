"""What two tables have in common, and an account of what found no counterpart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hilum.errors import EvaluationError
from hilum.evaluation.sheets import Sheet
from hilum.findings import suggest


@dataclass(frozen=True)
class Unmatched:
    """Something in one file that no other file knows: what, how much, a few examples, and a guess at what was meant."""

    where: str
    what: str
    count: int
    examples: tuple[str, ...]
    hint: str = ""

    def __str__(self) -> str:
        shown = ", ".join(self.examples) + (", ..." if self.count > len(self.examples) else "")
        return f"{self.where}: {self.count} {self.what}: {shown}." + (f" {self.hint}" if self.hint else "")


@dataclass(frozen=True)
class Truths:
    """Truth by id and finding: {id: row}, and the values of each finding."""

    where: str
    rows: dict[str, int]
    values: dict[str, np.ndarray]
    patients: list[str | None] | None


def common_findings(
    truths: Truths,
    sheets: Mapping[str, Sheet],
    scores: Mapping[str, Sheet],
    apart: list[str],
    unmatched: list[Unmatched],
) -> tuple[str, ...]:
    """The findings that the truth and at least one model have, in the truth's order."""
    columns = {name: sheet.findings(apart) for name, sheet in sheets.items()}
    scored = {finding for name in scores for finding in columns[name]}
    common = tuple(finding for finding in truths.values if finding in scored)
    strangers: list[tuple[Sheet, list[str]]] = []
    for name, sheet in sheets.items():
        alone = [finding for finding in columns[name] if finding not in truths.values]
        if alone:
            strangers.append((sheet, alone))
    without_scores = [finding for finding in truths.values if finding not in scored]
    hints = {one: suggest(one, without_scores or list(truths.values)) for _, alone in strangers for one in alone}
    said = [f"Did you mean '{meant}' by '{one}'?" for one, meant in hints.items() if meant]
    if not common:
        raise EvaluationError(
            f"no finding is in both the truth ({', '.join(list(truths.values)[:20]) or 'no finding at all'}) and the "
            f"scores ({', '.join(sorted(scored)[:20]) or 'no finding at all'}). {' '.join(said)} "
            "Columns are matched by the name of the finding; rename them to match.".replace("  ", " ")
        )
    for sheet, alone in strangers:
        hint = " ".join(f"Did you mean '{hints[one]}' by '{one}'?" for one in alone if hints[one])
        unmatched.append(Unmatched(sheet.where, "columns without truth", len(alone), tuple(alone[:5]), hint))
    if without_scores:
        unmatched.append(
            Unmatched(truths.where, "columns without scores", len(without_scores), tuple(without_scores[:5]))
        )
    for name in scores:
        missing = [finding for finding in common if finding not in columns[name]]
        if missing:
            unmatched.append(Unmatched(scores[name].where, "findings missing", len(missing), tuple(missing[:5])))
    return common


def report_ids(
    truths: Truths,
    sample_ids: list[str],
    sheets: Mapping[str, Sheet],
    ids: Mapping[Sheet, list[str]],
    held_out: set[str],
    unmatched: list[Unmatched],
) -> None:
    def report(where: str, what: str, which: Iterable[str]) -> None:
        found = list(which)
        if found:
            unmatched.append(Unmatched(where, what, len(found), tuple(found[:3])))

    inside = set(sample_ids)
    report(truths.where, "ids without scores", (one for one in truths.rows if one not in inside | held_out))
    for sheet in sheets.values():
        own = set(ids[sheet])
        report(sheet.where, "ids without truth", (one for one in ids[sheet] if one not in truths.rows))
        report(sheet.where, "ids left out because thresholds were chosen on them", sorted(own & held_out))
        report(sheet.where, "evaluated ids missing", (one for one in sample_ids if one not in own))


def nothing_matches(
    truths: Truths, scores: Mapping[str, Sheet], ids: Mapping[Sheet, list[str]], held_out: set[str]
) -> str:
    sheet = next(iter(scores.values()))
    own = ids[sheet]
    if any(one in truths.rows for one in own):
        return (
            f"every id of {sheet.where} that has a truth is also a validation id ({len(held_out)} of them); a "
            "threshold is never tested on the images it was chosen on. Give scores of other images as --scores."
        )
    some = list(truths.rows)[:2]
    return (
        f"no id of {sheet.where} (such as {own[0]!r}) is in {truths.where} (such as {', '.join(map(repr, some))}); "
        "expected the same ids in both. Name the column to join on with --id."
    )
