"""Truth, scores and readers' calls brought together by id and by finding, with an account of what did not match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hilum.errors import EvaluationError, TableError, UsageError
from hilum.evaluation.matching import Truths, Unmatched, common_findings, nothing_matches, report_ids, stack
from hilum.evaluation.sheets import BLANK, NEGATIVE, POSITIVE, UNCERTAIN, Keyed, TableLike, common_id, open_sheet
from hilum.findings import fold
from hilum.tables import require_columns

NOT_EVALUATED = -1
PATIENT_NAMES = ("patient_id", "PatientID", "subject_id", "patient")
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
    shared_patients: int = 0  # with images in both samples: their thresholds have seen them
    patients_unused: tuple[str, int] | None = None  # a column nobody named that puts several images to a patient


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
        patient_column: a column of the truth, or of any other table.
        uncertain: what -1 in the truth counts as: "ignore", "positive" or "negative".
        blank: what a blank cell in the truth counts as: "ignore" or "negative".

    Raises:
        EvaluationError: nothing matches, or a cell is not what it should be.
        TableError: a file cannot be read, or its ids are blank or doubled.
    """
    _require(uncertain, UNCERTAIN_RULES, "uncertain")
    _require(blank, BLANK_RULES, "blank")
    rules = (uncertain, blank)
    truth_sheets = [open_sheet(one) for one in (truth if isinstance(truth, list | tuple) else [truth])]
    if validation_truth is not None:
        truth_sheets.append(open_sheet(validation_truth))
    named = [scores, readers, validation_scores or {}]
    sheets = [{name: open_sheet(one, name) for name, one in tables.items()} for tables in named]
    everything = [*truth_sheets, *(sheet for group in sheets for sheet in group.values())]
    key = common_id(everything, id_column)
    apart = [patient_column] if patient_column else []
    keyed = {sheet: sheet.keyed(key, apart) for sheet in everything}
    models, people, held_out = ({name: keyed[sheet] for name, sheet in group.items()} for group in sheets)
    wanted = {finding for sheet in (*models.values(), *people.values()) for finding in sheet.columns}
    truths = stack([keyed[sheet] for sheet in truth_sheets], wanted)
    unmatched: list[Unmatched] = []
    test = _test_sample(truths, models, people, held_out, rules, unmatched)
    validation = _validation_sample(truths, held_out, rules, test.findings, unmatched) if held_out else None
    shared = 0
    if patient_column:
        patient_of = _patients([keyed[sheet] for sheet in everything], patient_column)
        test = replace(test, patients=_patients_of(test.ids, patient_of, patient_column))
        shared = len({patient_of.get(one) for one in (validation.ids if validation else [])} & set(test.patients or []))
    unused = None if patient_column else _patients_unused([keyed[sheet] for sheet in everything], key, test.ids)
    return Joined(test, validation, key, tuple(unmatched), shared, unused)


def _test_sample(
    truths: Truths,
    models: Mapping[str, Keyed],
    readers: Mapping[str, Keyed],
    held_out: Mapping[str, Keyed],
    rules: tuple[str, str],
    unmatched: list[Unmatched],
) -> Sample:
    """The test images: those with truth and at least one model's scores, less the validation images."""
    scored = {one for sheet in models.values() for one in sheet.ids}
    not_tested = {one for sheet in held_out.values() for one in sheet.ids}
    ids = [one for one in truths.rows if one in scored and one not in not_tested]
    if not ids:
        raise EvaluationError(nothing_matches(truths, models, not_tested))
    everyone = {**models, **readers}
    findings = common_findings(truths, everyone, models, unmatched)
    report_ids(truths, ids, everyone, not_tested, unmatched)
    truth, skipped = _truth_of(truths, ids, findings, rules)
    row_of = {one: row for row, one in enumerate(ids)}
    values = {name: _place(sheet, row_of, findings, name in readers) for name, sheet in everyone.items()}
    return Sample(
        ids,
        findings,
        truth,
        {name: values[name] for name in models},
        {name: values[name] for name in readers},
        skipped=skipped,
    )


def _validation_sample(
    truths: Truths,
    sheets: Mapping[str, Keyed],
    rules: tuple[str, str],
    findings: tuple[str, ...],
    unmatched: list[Unmatched],
) -> Sample:
    """The validation images: those with truth."""
    wanted = dict.fromkeys(one for sheet in sheets.values() for one in sheet.ids)
    ids = [one for one in truths.rows if one in wanted]
    where = next(iter(sheets.values())).where
    if not ids:
        raise EvaluationError(
            f"none of the {len(wanted)} validation ids of {where} has a truth in {truths.where}; thresholds are chosen "
            "where scores and truth are both known. Give the validation truth too (a second --truth FILE; "
            "validation_truth= in Python)."
        )
    unknown = [one for one in wanted if one not in truths.rows]
    if unknown:
        unmatched.append(Unmatched(where, "validation ids without truth", len(unknown), tuple(unknown[:3])))
    truth, skipped = _truth_of(truths, ids, findings, rules)
    row_of = {one: row for row, one in enumerate(ids)}
    values = {name: _place(sheet, row_of, findings, is_reader=False) for name, sheet in sheets.items()}
    return Sample(ids, findings, truth, values, {}, skipped=skipped)


def _truth_of(
    truths: Truths, ids: list[str], findings: tuple[str, ...], rules: tuple[str, str]
) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
    """(N, F) int8 truth of 1, 0 and -1 (not evaluated), and how many (uncertain, blank) each finding leaves out."""
    rows = np.array([truths.rows[one] for one in ids])
    said = np.stack([truths.values[finding][rows] for finding in findings], axis=1)  # (N, F)
    counts_as = {"positive": POSITIVE, "negative": NEGATIVE, "ignore": NOT_EVALUATED}
    is_uncertain, is_blank = said == UNCERTAIN, said == BLANK
    truth = np.where(is_uncertain, counts_as[rules[0]], np.where(is_blank, counts_as[rules[1]], said))
    uncertain = is_uncertain.sum(0) * (rules[0] == "ignore")
    blank = is_blank.sum(0) * (rules[1] == "ignore")
    skipped = {finding: (int(uncertain[place]), int(blank[place])) for place, finding in enumerate(findings)}
    return truth.astype(np.int8), skipped


def _place(sheet: Keyed, row_of: Mapping[str, int], findings: tuple[str, ...], is_reader: bool) -> np.ndarray:
    """(N, F) values of one sheet at the sample's rows; NaN where it has none."""
    values = np.full((len(row_of), len(findings)), np.nan)
    own = [place for place, one in enumerate(sheet.ids) if one in row_of]
    rows = [row_of[sheet.ids[place]] for place in own]
    for place, finding in enumerate(findings):
        if finding not in sheet.columns:
            continue
        if not is_reader:
            values[rows, place] = sheet.scores(finding)[own]
            continue
        said = sheet.statements(finding)
        if said is not None:
            values[rows, place] = np.where(said >= 0, said, np.nan)[own]
    return values


def _patients(sheets: Sequence[Keyed], patient_column: str) -> dict[str, str]:
    """id -> patient, from every sheet that has the column; the first sheet's word counts."""
    if not any(sheet.sheet.column_named(patient_column) for sheet in sheets):
        require_columns(sheets[0].where, sheets[0].table.column_names, [patient_column])
    known: dict[str, str] = {}
    for sheet in reversed(sheets):
        known |= {one: who for one, who in zip(sheet.ids, sheet.texts(patient_column), strict=True) if who is not None}
    return known


def _patients_of(ids: Sequence[str], known: Mapping[str, str], patient_column: str) -> list[str]:
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise TableError(
            f"'{patient_column}' is blank for {len(unknown)} images, such as id {unknown[0]!r}; the bootstrap by "
            "patient needs every image's patient. Fill it in, or leave --patient out to draw images."
        )
    return [known[one] for one in ids]


def _patients_unused(sheets: Sequence[Keyed], key: str, ids: Sequence[str]) -> tuple[str, int] | None:
    """A column of patients that was not asked for, and how many patients, where some have several images."""
    for name in PATIENT_NAMES:
        if fold(name) != fold(key) and any(sheet.sheet.column_named(name) for sheet in sheets):
            known = _patients(sheets, name)
            found = [known[one] for one in ids if one in known]
            if len(set(found)) < len(found):
                return name, len(set(found))
    return None


def _require(value: str, allowed: tuple[str, ...], name: str) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is {value!r}; expected one of {', '.join(allowed)}.")
