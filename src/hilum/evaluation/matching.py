"""What two tables have in common, and an account of what found no counterpart."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hilum.errors import EvaluationError, TableError
from hilum.evaluation.sheets import BLANK, Keyed
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


def stack(sheets: Sequence[Keyed], wanted: Container[str]) -> Truths:
    """The truth tables under each other.

    Args:
        sheets: with ids that no two of them share.
        wanted: findings to read. Others are known by name, and never read: they need not be findings at all.

    Raises:
        TableError: two sheets have the same id.
        EvaluationError: a cell of a wanted finding is not 1, 0, -1 or blank.
    """
    rows: dict[str, int] = {}
    owner: dict[str, str] = {}
    for sheet in sheets:
        for one in sheet.ids:
            if one in rows:
                raise TableError(
                    f"{sheet.where}: the id {one!r} is also in {owner[one]}; an image has one truth. "
                    "Remove it from one of the files."
                )
            rows[one] = len(rows)
            owner[one] = sheet.where
    values: dict[str, np.ndarray] = {}
    start = 0
    for sheet in sheets:
        for finding in sheet.columns:
            said = sheet.statements(finding) if finding in wanted else np.full(len(sheet.ids), BLANK, np.int8)
            if said is not None:
                whole = values.setdefault(finding, np.full(len(rows), BLANK, np.int8))
                whole[start : start + len(said)] = said
        start += len(sheet.ids)
    return Truths(" and ".join(sheet.where for sheet in sheets), rows, values)


def common_findings(
    truths: Truths,
    sheets: Mapping[str, Keyed],
    models: Mapping[str, Keyed],
    unmatched: list[Unmatched],
) -> tuple[str, ...]:
    """The findings that the truth and at least one model have, in the truth's order.

    Raises:
        EvaluationError: there is none.
    """
    scored = {finding for sheet in models.values() for finding in sheet.columns}
    common = tuple(finding for finding in truths.values if finding in scored)
    strangers = [
        (sheet, alone)
        for sheet in sheets.values()
        if (alone := [finding for finding in sheet.columns if finding not in truths.values])
    ]
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
    for sheet in models.values():
        missing = [finding for finding in common if finding not in sheet.columns]
        if missing:
            unmatched.append(Unmatched(sheet.where, "findings missing", len(missing), tuple(missing[:5])))
    return common


def report_ids(
    truths: Truths,
    sample_ids: list[str],
    sheets: Mapping[str, Keyed],
    not_tested: set[str],
    unmatched: list[Unmatched],
) -> None:
    """Add to `unmatched` the ids that only one side has."""

    def report(where: str, what: str, which: Iterable[str]) -> None:
        found = list(which)
        if found:
            unmatched.append(Unmatched(where, what, len(found), tuple(found[:3])))

    inside = set(sample_ids)
    report(
        truths.where, "ids without scores", (one for one in truths.rows if one not in inside and one not in not_tested)
    )
    for sheet in sheets.values():
        own = set(sheet.ids)
        report(sheet.where, "ids without truth", (one for one in sheet.ids if one not in truths.rows))
        report(sheet.where, "ids left out because thresholds were chosen on them", sorted(own & not_tested))
        report(sheet.where, "evaluated ids missing", (one for one in sample_ids if one not in own))


def nothing_matches(truths: Truths, models: Mapping[str, Keyed], not_tested: set[str]) -> str:
    """Why no image has both truth and scores, in words for an error."""
    sheet = next(iter(models.values()))
    if any(one in truths.rows for one in sheet.ids):
        return (
            f"every id of {sheet.where} that has a truth is also a validation id ({len(not_tested)} of them); a "
            "threshold is never tested on the images it was chosen on. Give scores of other images as --scores."
        )
    some = ", ".join(repr(one) for one in list(truths.rows)[:2])
    return (
        f"no id of {sheet.where} (such as {sheet.ids[0]!r}) is in {truths.where} (such as {some}); "
        "expected the same ids in both. Name the column to join on with --id."
    )
