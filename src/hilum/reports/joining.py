"""Bringing tables of labels together before they are compared: common reports, common findings, what kind of gold it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hilum.errors import EvaluationError
from hilum.findings import CHEXPERT_NAMES
from hilum.reports.grid import BLANK, NEGATIVE, NO_FINDING, POSITIVE, UNCERTAIN, LabelGrid

GOLD_KINDS = ("auto", "four-state", "binary")


def join(truth: LabelGrid, grids: Sequence[LabelGrid], notes: list[str]) -> tuple[list[list[int]], tuple[str, ...]]:
    """Row numbers of the common reports in every table, in the gold's order, and the common findings."""
    places = [{name: row for row, name in enumerate(grid.ids)} for grid in grids]
    kept = [row for row, name in enumerate(truth.ids) if all(name in place for place in places)]
    if not kept:
        missing = next(
            (grid for grid, place in zip(grids, places, strict=True) if not set(truth.ids) & set(place)), grids[0]
        )
        raise EvaluationError(
            f"no report of {truth.name} is in {missing.name}: identifiers look like {truth.ids[:2]} "
            f"and {missing.ids[:2]}. "
            f"Name the identifier's column with --id-column."
        )
    if len(kept) < len(truth.ids):
        notes.append(
            f"{len(truth.ids) - len(kept)} of {len(truth.ids)} gold reports are not in every table and were left out"
        )
    findings = tuple(f for f in CHEXPERT_NAMES if f in truth.findings and all(f in grid.findings for grid in grids))
    if not findings:
        raise EvaluationError(f"{truth.name} and {', '.join(g.name for g in grids)} have no finding in common.")
    if len(findings) < len(CHEXPERT_NAMES):
        notes.append(f"averages are over {len(findings)} findings; not in every table: " + _absent(findings))
    return [kept, *([place[truth.ids[row]] for row in kept] for place in places)], findings


def kind_of(truth: LabelGrid, wanted: str) -> tuple[str, str]:
    """Whether a gold is four-state or binary, and why where the caller did not say (see `compare_labels`)."""
    if wanted != "auto":
        return wanted, ""
    if (truth.codes == UNCERTAIN).any():
        return "four-state", ""
    denied = NO_FINDING in truth.findings and (truth.codes[:, truth.findings.index(NO_FINDING)] == NEGATIVE).any()
    filled = float((truth.codes != BLANK).mean())
    if denied or filled > 0.9:
        return "binary", (
            f"{truth.name} has no uncertain label and {filled:.0%} of its cells are filled: read as binary gold "
            f"(1 present, 0 absent, empty left out). Say --gold-kind four-state if an empty cell means 'not mentioned'"
        )
    return "four-state", ""


def without_negative_no_finding(codes: np.ndarray, findings: Sequence[str], notes: list[str], name: str) -> np.ndarray:
    """The gold with No Finding said or not said; how often it was something else goes to the notes."""
    if NO_FINDING not in findings:
        return codes
    column = findings.index(NO_FINDING)
    wrong = ~np.isin(codes[:, column], (BLANK, POSITIVE))
    if wrong.any():  # some published files write 0 where No Finding does not hold
        notes.append(f"{name}: No Finding is neither 1 nor empty in {int(wrong.sum())} reports; read as empty")
        codes = codes.copy()
        codes[wrong, column] = BLANK
    return codes


def named_apart(grids: Sequence[LabelGrid]) -> list[LabelGrid]:
    """The tables, a number behind the name of one whose name is taken."""
    named: list[LabelGrid] = []
    for grid in grids:
        taken = sum(other.name.split("#")[0] == grid.name for other in named)
        named.append(replace(grid, name=f"{grid.name}#{taken + 1}") if taken else grid)
    return named


def _absent(findings: Sequence[str]) -> str:
    return ", ".join(f for f in CHEXPERT_NAMES if f not in findings)
