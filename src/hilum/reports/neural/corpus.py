"""Where a labeler's training reports come from: an archive or a table, with rule labels and some expert labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hilum.errors import TrainingError, UsageError
from hilum.reports.grid import (
    BLANK,
    NEGATIVE,
    NO_FINDING,
    POSITIVE,
    UNCERTAIN,
    LabelGrid,
    read_grid,
    unique_ids,
)
from hilum.reports.headers import is_hollow
from hilum.reports.inputs import open_input
from hilum.reports.neural.network import HEADS

# Labels many texts: (N, heads) class codes in the order of HEADS.
Silver = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Corpus:
    """Reports by identifier, and what is known of how they were read.

    Attributes:
        ids: one identifier a report (the study's, in an archive).
        units: what is kept together when reports are held out: the patient in an archive, else the report itself.
        texts: the part of each report that is labeled; none is empty.
        text_policy: which part that is.
        empty: reports left out because they hold no words.
    """

    ids: tuple[str, ...]
    units: tuple[str, ...]
    texts: tuple[str, ...]
    text_policy: str
    empty: int


def read_corpus(source: str | Path, text_columns: Sequence[str] = (), id_column: str | None = None) -> Corpus:
    """All reports of a source that `hilum label` can read: an archive, a table, or a folder of text files.

    Args:
        source: the path; of an archive, its own text policy decides which part of a report is read.
        text_columns: of a table, joined in this order; by default findings and impression, or report, or text.
        id_column: of a table; by default the first usual name.

    Raises:
        TableError: a column is missing, or an identifier is there twice.
        UsageError: which column holds the reports cannot be told.
        TrainingError: no report has text.
    """
    reports = open_input(source, text_columns, id_column)
    ids: list[str] = []
    texts: list[str] = []
    for chunk in reports.chunks():
        ids += chunk.ids
        texts += chunk.texts
    unique_ids(reports.path, reports.id_name, ids)
    units, policy = ids, " + ".join(reports.text_columns) or "whole text files"
    if reports.kind == "archive":
        units, policy = _patients(reports.path, ids)
    kept = [row for row, text in enumerate(texts) if not is_hollow(text)]
    if not kept:
        raise TrainingError(f"{source}: none of its {len(texts)} reports has text ({policy}).")
    named, together, told = (tuple(values[row] for row in kept) for values in (ids, units, texts))
    return Corpus(named, together, told, policy, len(texts) - len(kept))


class RuleSilver:
    """The rule labeler as a source of labels, and of where in a sentence a finding is named."""

    def __init__(self) -> None:
        from hilum.reports.rules import RuleLabeler

        self.labeler = RuleLabeler()
        self._order = [self.labeler.observations.index(name) for name in HEADS]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(N, heads) class codes."""
        codes = np.empty((len(texts), len(HEADS)), dtype=np.int8)
        for row, text in enumerate(texts):
            said = self.labeler.codes(text)[0]
            codes[row] = [_CODE_OF[said[place]] for place in self._order]
        return codes

    def mentions(self, sentence: str) -> list[tuple[str, int, int]]:
        """(finding, start, end) of every finding named in a sentence."""
        return [(item.observation, *item.mention) for item in self.labeler.label(sentence).evidence]


def silver_from_rules() -> RuleSilver:
    """The rule labeler as a source of labels."""
    return RuleSilver()


_CODE_OF = {None: BLANK, 1: POSITIVE, 0: NEGATIVE, -1: UNCERTAIN}


def grid_codes(grid: LabelGrid, ids: Sequence[str], where: str) -> tuple[list[int], np.ndarray]:
    """Rows of `ids` that a label table holds, and their (rows, heads) class codes.

    A column the table lacks is not mentioned anywhere; No Finding is said or not said.
    """
    place = {name: row for row, name in enumerate(grid.ids)}
    rows = [row for row, name in enumerate(ids) if name in place]
    if not rows:
        raise TrainingError(
            f"{where}: none of its identifiers ({grid.ids[:2]}, ...) is among the reports ({ids[:2]}, ...)."
        )
    codes = np.full((len(rows), len(HEADS)), BLANK, dtype=np.int8)
    for column, finding in enumerate(HEADS):
        if finding in grid.findings:
            codes[:, column] = grid.select([place[ids[row]] for row in rows], [finding])[:, 0]
    no_finding = HEADS.index(NO_FINDING)
    codes[:, no_finding] = np.where(codes[:, no_finding] == POSITIVE, POSITIVE, BLANK)
    return rows, codes


def silver_labels(silver: str | Path | Silver, corpus: Corpus) -> tuple[Silver | None, list[int], np.ndarray]:
    """The labeling function (None for a table), the rows that have labels, and their class codes."""
    if callable(silver):
        return silver, list(range(len(corpus.texts))), np.asarray(silver(corpus.texts))
    if silver == "rules":
        return silver_labels(silver_from_rules(), corpus)
    if not Path(silver).is_file():
        raise UsageError(f"silver labels {str(silver)!r}: expected 'rules', or a table of labels of the same reports.")
    return None, *grid_codes(read_grid(Path(silver)), corpus.ids, str(silver))


def held_out(units: Sequence[str], share: float, seed: int) -> np.ndarray:
    """(N,) True for what is kept from training: decided by name alone, so a patient is always on one side."""
    draws = [int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:8], 16) / 2**32 for name in units]
    return np.array(draws) < share


def _patients(source: Path, studies: Sequence[str]) -> tuple[list[str], str]:
    """The patient of each study of an archive (the study itself where nobody is named), and the archive's text policy."""
    from hilum.archive import Archive

    archive = Archive.open(source)
    rows = archive.studies(["study_id", "patient_id"]).to_pylist()
    patient_of = {row["study_id"]: row["patient_id"] for row in rows}
    return [patient_of[study] or study for study in studies], archive.manifest.text_policy
