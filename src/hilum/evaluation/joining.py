"""Truth, scores and readers' calls brought together by id and by finding, with an account of what did not match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from hilum.errors import EvaluationError, TableError, UsageError
from hilum.evaluation.matching import Truths, Unmatched, common_findings, nothing_matches, report_ids
from hilum.evaluation.sheets import (
    BLANK,
    NEGATIVE,
    POSITIVE,
    UNCERTAIN,
    Sheet,
    TableLike,
    common_id,
    open_sheet,
)
from hilum.findings import suggest
from hilum.tables import as_text

UNCERTAIN_RULES = ("ignore", "positive", "negative")
BLANK_RULES = ("ignore", "negative")


@dataclass(frozen=True, eq=False)
class Sample:
    """N images with truth, scores and calls for F findings.

    Attributes:
        ids: N ids, in the truth's order.
        findings: F names, in the truth's order.
        truth: (N, F) int8: 1, 0, or -1 where not evaluated.
        models: name -> (N, F) float64 scores in [0, 1]; NaN where the model gave none.
        readers: name -> (N, F) float64 calls, 0 or 1; NaN where the reader gave none.
        patients: N patient ids, or None.
        skipped: finding -> how many of its truths are (uncertain, blank) and so not evaluated.
    """

    ids: list[str]
    findings: tuple[str, ...]
    truth: np.ndarray
    models: dict[str, np.ndarray]
    readers: dict[str, np.ndarray]
    patients: list[str] | None = None
    skipped: dict[str, tuple[int, int]] = field(default_factory=dict)

    def series_of(self, name: str, finding: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(truth, scores or calls, evaluated) of a model or reader for one finding, each (N,)."""
        column = self.findings.index(finding)
        values = (self.models if name in self.models else self.readers)[name][:, column]
        truth = self.truth[:, column]
        return truth, values, (truth >= 0) & ~np.isnan(values)


@dataclass(frozen=True, eq=False)
class Joined:
    """The test sample, the validation sample when there is one, and what did not match."""

    test: Sample
    validation: Sample | None
    id_column: str
    unmatched: tuple[Unmatched, ...]


def join(
    truth: TableLike | Sequence[TableLike],
    scores: Mapping[str, TableLike],
    readers: Mapping[str, TableLike],
    validation_scores: Mapping[str, TableLike] | None = None,
    validation_truth: TableLike | None = None,
    id_column: str | None = None,
    patient_column: str | None = None,
    uncertain: str = "ignore",
    blank: str = "ignore",
) -> Joined:
    """Bring the tables together.

    Args:
        truth: one table, or several whose rows are put under each other.
        scores: model -> its scores on the test images.
        readers: reader -> 0/1 calls.
        validation_scores: model -> its scores on the validation images; their ids never enter the test sample.
        validation_truth: truth of the validation images, when it is not in `truth`.
        id_column: the column to join on; found by name when None.
        patient_column: a column of the truth, or else of the scores.
        uncertain: what -1 in the truth counts as: "ignore", "positive" or "negative".
        blank: what a blank cell in the truth counts as: "ignore" or "negative".

    Raises:
        EvaluationError: nothing matches, or a cell is not what it should be.
        TableError: a file cannot be read, or its ids are blank or doubled.
    """
    _require(uncertain, UNCERTAIN_RULES, "uncertain")
    _require(blank, BLANK_RULES, "blank")
    truth_sheets = [open_sheet(one) for one in (truth if isinstance(truth, list | tuple) else [truth])]
    score_sheets = {name: open_sheet(one, name) for name, one in scores.items()}
    reader_sheets = {name: open_sheet(one, name) for name, one in readers.items()}
    validation_sheets = {name: open_sheet(one, name) for name, one in (validation_scores or {}).items()}
    if validation_truth is not None:
        truth_sheets.append(open_sheet(validation_truth))
    everything = [*truth_sheets, *score_sheets.values(), *reader_sheets.values(), *validation_sheets.values()]
    key = common_id(everything, id_column)
    apart = [key, patient_column] if patient_column else [key]
    _require_patients(patient_column, truth_sheets, score_sheets)
    ids = {sheet: sheet.ids(key) for sheet in everything}
    scored = {
        name for sheet in (*score_sheets.values(), *reader_sheets.values()) for name in sheet.findings(apart)
    }  # fmt: skip
    truths = _stack(truth_sheets, [ids[sheet] for sheet in truth_sheets], apart, scored, patient_column)
    held_out = {one for sheet in validation_sheets.values() for one in ids[sheet]}
    unmatched: list[Unmatched] = []
    test = _sample(
        truths, score_sheets, reader_sheets, ids, apart, held_out, patient_column, (uncertain, blank), unmatched
    )
    validation = None
    if validation_sheets:
        validation = _validation(truths, validation_sheets, ids, apart, (uncertain, blank), test.findings)
    return Joined(test, validation, key, tuple(unmatched))


def _stack(
    sheets: Sequence[Sheet], ids: Sequence[list[str]], apart: list[str], scored: set[str], patient_column: str | None
) -> Truths:
    """The truth tables under each other; only findings that some score file has are read."""
    where = " and ".join(sheet.where for sheet in sheets)
    rows: dict[str, int] = {}
    owner: dict[str, str] = {}
    for sheet, own in zip(sheets, ids, strict=True):
        for one in own:
            if one in rows:
                raise TableError(
                    f"{sheet.where}: the id {one!r} is also in {owner[one]}; an image has one truth. "
                    "Remove it from one of the files."
                )
            rows[one] = len(rows)
            owner[one] = sheet.where
    values: dict[str, np.ndarray] = {}
    total, start = len(rows), 0
    for sheet in sheets:
        for finding, column in sheet.findings(apart).items():
            if finding in values or finding in scored:
                said = sheet.statements(column)
                if said is not None:
                    values.setdefault(finding, np.full(total, BLANK, np.int8))[start : start + len(said)] = said
            elif finding not in values:
                values[finding] = np.full(total, BLANK, np.int8)  # known, never read: reported as unmatched
        start += sheet.table.num_rows
    patients = None
    if patient_column and all(sheet.column_named(patient_column) for sheet in sheets):
        patients = [
            one for sheet in sheets for one in as_text(sheet.table[sheet.column_named(patient_column)]).to_pylist()
        ]
    return Truths(where, rows, values, patients)


def _sample(
    truths: Truths,
    scores: Mapping[str, Sheet],
    readers: Mapping[str, Sheet],
    ids: Mapping[Sheet, list[str]],
    apart: list[str],
    held_out: set[str],
    patient_column: str | None,
    rules: tuple[str, str],
    unmatched: list[Unmatched],
) -> Sample:
    """The test images: those with truth and at least one model's scores, less the validation images."""
    scored_ids = {one for sheet in scores.values() for one in ids[sheet]}
    sample_ids = [one for one in truths.rows if one in scored_ids and one not in held_out]
    if not sample_ids:
        raise EvaluationError(nothing_matches(truths, scores, ids, held_out))
    findings = common_findings(truths, {**scores, **readers}, scores, apart, unmatched)
    report_ids(truths, sample_ids, {**scores, **readers}, ids, held_out, unmatched)
    row_of = {one: row for row, one in enumerate(sample_ids)}
    truth, skipped = _truth_of(truths, sample_ids, findings, rules)
    models = {name: _place(sheet, ids[sheet], row_of, findings, apart, "scores") for name, sheet in scores.items()}
    calls = {name: _place(sheet, ids[sheet], row_of, findings, apart, "calls") for name, sheet in readers.items()}
    patients = _patients_of(truths, sample_ids, scores, ids, patient_column) if patient_column else None
    return Sample(sample_ids, findings, truth, models, calls, patients, skipped)


def _validation(
    truths: Truths,
    sheets: Mapping[str, Sheet],
    ids: Mapping[Sheet, list[str]],
    apart: list[str],
    rules: tuple[str, str],
    findings: tuple[str, ...],
) -> Sample:
    """The validation images; each must have truth."""
    wanted = {one for sheet in sheets.values() for one in ids[sheet]}
    known = [one for one in truths.rows if one in wanted]
    if not known:
        where = next(iter(sheets.values())).where
        raise EvaluationError(
            f"none of the {len(wanted)} validation ids of {where} has a truth in {truths.where}; thresholds are chosen "
            "where scores and truth are both known. Give the validation truth too (a second --truth FILE; "
            "validation_truth= in Python)."
        )
    row_of = {one: row for row, one in enumerate(known)}
    truth, skipped = _truth_of(truths, known, findings, rules)
    models = {name: _place(sheet, ids[sheet], row_of, findings, apart, "scores") for name, sheet in sheets.items()}
    return Sample(known, findings, truth, models, {}, None, skipped)


def _truth_of(
    truths: Truths, sample_ids: list[str], findings: tuple[str, ...], rules: tuple[str, str]
) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
    rows = np.array([truths.rows[one] for one in sample_ids])
    truth = np.stack([truths.values[finding][rows] for finding in findings], axis=1)  # (N, F)
    as_value = {"positive": POSITIVE, "negative": NEGATIVE, "ignore": -1}
    is_uncertain, is_blank = truth == UNCERTAIN, truth == BLANK
    truth = np.where(is_uncertain, as_value[rules[0]], np.where(is_blank, as_value[rules[1]], truth)).astype(np.int8)
    skipped = {
        finding: (
            int(is_uncertain[:, column].sum()) if rules[0] == "ignore" else 0,
            int(is_blank[:, column].sum()) if rules[1] == "ignore" else 0,
        )
        for column, finding in enumerate(findings)
    }
    return truth, skipped


def _place(
    sheet: Sheet, own_ids: list[str], row_of: Mapping[str, int], findings: tuple[str, ...], apart: list[str], kind: str
) -> np.ndarray:
    """(N, F) values of one sheet at the sample's rows; NaN where it has none."""
    values = np.full((len(row_of), len(findings)), np.nan)
    here = [(place, row_of[one]) for place, one in enumerate(own_ids) if one in row_of]
    if not here:
        return values
    own, rows = (np.array(side) for side in zip(*here, strict=True))
    columns = sheet.findings(apart)
    for place, finding in enumerate(findings):
        if finding not in columns:
            continue
        if kind == "scores":
            values[rows, place] = sheet.scores(columns[finding])[own]
        else:
            said = sheet.statements(columns[finding])
            if said is not None:
                values[rows, place] = np.where(said >= 0, said, np.nan)[own]
    return values


def _require_patients(patient_column: str | None, truths: Sequence[Sheet], scores: Mapping[str, Sheet]) -> None:
    if not patient_column:
        return
    everywhere = [all(s.column_named(patient_column) for s in sheets) for sheets in (truths, scores.values())]
    if not any(everywhere):
        columns = truths[0].table.column_names
        meant = suggest(patient_column, list(columns))
        raise TableError(
            f"{truths[0].where} has no column '{patient_column}' to tell patients apart, nor have the scores."
            f"{f' Did you mean {meant!r}?' if meant else ''} Its columns: {', '.join(columns)}."
        )


def _patients_of(
    truths: Truths,
    sample_ids: list[str],
    scores: Mapping[str, Sheet],
    ids: Mapping[Sheet, list[str]],
    patient_column: str,
) -> list[str]:
    known: dict[str, str | None] = {}
    if truths.patients is not None:
        known = {one: truths.patients[row] for one, row in truths.rows.items()}
    else:
        for sheet in scores.values():
            column: pa.ChunkedArray = as_text(sheet.table[sheet.column_named(patient_column)])
            known |= dict(zip(ids[sheet], column.to_pylist(), strict=True))
    blank = [one for one in sample_ids if known[one] is None]
    if blank:
        raise TableError(
            f"'{patient_column}' is blank for {len(blank)} images, such as id {blank[0]!r}; the bootstrap by patient "
            "needs every image's patient. Fill it in, or leave --patient out to draw images."
        )
    return [str(known[one]) for one in sample_ids]


def _require(value: str, allowed: tuple[str, ...], name: str) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is {value!r}; expected one of {', '.join(allowed)}.")
