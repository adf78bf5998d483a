"""What a draft is made of: the different texts of many reports, and who wrote each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from hilum.archive import Archive
from hilum.archive.manifest import NAME as MANIFEST_NAME
from hilum.errors import ReportError, UsageError
from hilum.models import Model
from hilum.reports.headers import is_hollow
from hilum.reports.words import BREAK, clean, sentences
from hilum.tasks.composing.asked import Own, words_of_study
from hilum.tasks.composing.tables import reports_of_table
from hilum.tasks.composing.vectors import OnTexts, Shelf, shelf_beside, shelf_in

TEXT = "impression"


class Corpus:
    """The different texts of many reports: whole ones, or their sentences.

    Texts that differ only in case and blanks are one, in the first spelling. What a model makes of them is computed once
    (`vectors`). Make one with `of_archive`, `of_table`, `of_reports` or `of_texts`. Several threads may use it.

    Attributes:
        name: where the reports came from, for messages.
        whole: whether the texts are whole reports.
        texts: M different texts, in the order they were first met.
        reports: the R reports' texts as they came, none empty.
        study_ids, patient_ids: R ids of the reports; None where they are not known.
        text_of, report_of: (O,) each occurrence of a text: which text, in which report.
        empty: reports left out because they hold no words.
        archive: where an image that is drafted for is looked for, so that it is not given its own patient's reports.
    """

    def __init__(
        self,
        name: str,
        texts: Sequence[str],
        occurrences: tuple[np.ndarray, np.ndarray],
        reports: Sequence[str],
        study_ids: Sequence[str | None],
        patient_ids: Sequence[str | None],
        *,
        whole: bool,
        empty: int = 0,
        shelf: Shelf | None = None,
        archive: Archive | None = None,
    ) -> None:
        self.archive = archive
        self.name, self.whole, self.empty = name, whole, empty
        self.texts, self.reports = tuple(texts), tuple(reports)
        self.study_ids, self.patient_ids = tuple(study_ids), tuple(patient_ids)
        self.text_of, self.report_of = occurrences
        if not texts:
            raise ReportError(
                f"{name}: no text to draft from ({len(reports)} reports with words, {empty} without). "
                "Name another corpus, or ingest reports."
            )
        self._order = np.argsort(self.text_of, kind="stable")  # occurrences by text, the first met first
        self._starts = np.searchsorted(self.text_of[self._order], np.arange(len(texts) + 1))
        self._rows_of: dict[tuple[str, str], list[int]] = {}
        self._plain = [_plain(said) for said in self.reports]
        for kind, names in (("study", self.study_ids), ("patient", self.patient_ids), ("report", self._plain)):
            for row, one in enumerate(names):
                if one is not None:
                    self._rows_of.setdefault((kind, one), []).append(row)
        self._shelf = shelf or Shelf()
        self._vectors: dict[str, np.ndarray] = {}

    @classmethod
    def of_archive(
        cls,
        archive: Archive | str | PathLike[str],
        split: str | None = "train",
        whole: bool = False,
        *,
        text: str = TEXT,
        keep: bool = True,
    ) -> Corpus:
        """The reports of an archive's studies.

        Args:
            archive: the archive, or its path.
            split: of the studies' images; None takes all studies.
            whole: whole reports, not their sentences.
            text: which words of a report, a text policy such as "impression", "findings" or "cxr-repair".
            keep: keep what a model makes of the texts in the archive; where it cannot be written, nothing is kept.

        Raises:
            ReportError: no report of the split has such words.

        Example:
            >>> Corpus.of_archive("cxr.hilum").texts[0]  # doctest: +SKIP
            'No acute cardiopulmonary process.'
        """
        archive = archive if isinstance(archive, Archive) else Archive.open(archive)
        names, patients, reports, empty = [], [], [], 0
        for study in studies_of(archive, split):
            said = words_of_study(study, text)
            if not said:
                empty += 1
                continue
            names.append(study["study_id"])
            patients.append(study["patient_id"])
            reports.append(said)
        if not reports:
            raise ReportError(no_reports(archive, split, text))
        where = f"{archive.path}" + (f", split '{split}'" if split else "")
        return cls._cut(where, reports, names, patients, whole, empty, shelf_in(archive) if keep else None, archive)

    @classmethod
    def of_table(
        cls,
        path: str | PathLike[str],
        whole: bool = False,
        *,
        text_columns: Sequence[str] = (),
        archive: Archive | None = None,
    ) -> Corpus:
        """The reports of a table (CSV, TSV, Parquet), a folder of text files, or CXR-RePaiR's corpus (`.pt`).

        Args:
            path: the table, or another archive, whose split "train" is taken. Columns `study_id` and `patient_id` say whose
                report it is, where they are there.
            whole: whole reports, not their sentences.
            text_columns: the columns with the words, joined; by default `impression`, else the one that holds reports.
            archive: where to keep what a model makes of the texts; default a file beside the table.

        Raises:
            TableError, UsageError: it is no table, or which column holds the reports cannot be told.
            ReportError: no report has words.
        """
        path = Path(path)
        if (path / MANIFEST_NAME).is_file():
            return cls.of_archive(path, whole=whole)
        read = reports_of_table(path, text_columns)
        kept = [row for row, said in enumerate(read.texts) if not is_hollow(said)]
        if not kept:
            said = f"none of its {len(read.texts)} reports has words" if read.texts else "there is not one report in it"
            raise ReportError(f"{path}: {said} (read: {read.said}). A draft is made of reports: name another table.")
        names, patients = ([ids[row] for row in kept] for ids in (read.study_ids, read.patient_ids))
        shelf = shelf_in(archive) if archive is not None else shelf_beside(path)
        reports = [read.texts[row] for row in kept]
        return cls._cut(str(path), reports, names, patients, whole, len(read.texts) - len(kept), shelf, archive)

    @classmethod
    def of_reports(cls, reports: Iterable[str], whole: bool = False, name: str = "reports") -> Corpus:
        """Reports that are at hand; nobody's in particular.

        Example:
            >>> Corpus.of_reports(["Clear lungs. No effusion.", "clear lungs."]).texts
            ('Clear lungs.', 'No effusion.')
        """
        texts = list(reports)
        kept = [text for text in texts if not is_hollow(text)]
        nobody = [None] * len(kept)
        return cls._cut(name, kept, nobody, nobody, whole, len(texts) - len(kept), None)

    @classmethod
    def of_texts(cls, texts: Sequence[str], name: str = "texts") -> Corpus:
        """Texts exactly as they are, doubles and blanks included, as CXR-RePaiR's code takes its corpus."""
        places, nobody = np.arange(len(texts)), [None] * len(texts)
        return cls(name, texts, (places, places), texts, nobody, nobody, whole=False)

    @classmethod
    def _cut(
        cls,
        name: str,
        reports: Sequence[str],
        study_ids: Sequence[str | None],
        patient_ids: Sequence[str | None],
        whole: bool,
        empty: int,
        shelf: Shelf | None,
        archive: Archive | None = None,
    ) -> Corpus:
        number: dict[str, int] = {}
        texts: list[str] = []
        occurrences: list[tuple[int, int]] = []
        for report, said in enumerate(reports):
            for text in [" ".join(said.split())] if whole else sentences_of(said):
                place = number.setdefault(_plain(text), len(texts))
                if place == len(texts):
                    texts.append(text)
                occurrences.append((place, report))
        text_of, report_of = np.array(occurrences, np.int64).reshape(-1, 2).T
        occurrence = text_of, report_of
        return cls(
            name, texts, occurrence, reports, study_ids, patient_ids, whole=whole, empty=empty, shelf=shelf, archive=archive
        )  # fmt: skip

    def __len__(self) -> int:
        """How many different texts."""
        return len(self.texts)

    def vectors(self, model: Model, on_texts: OnTexts | None = None) -> np.ndarray:
        """(M, D) unit rows: the texts in a model's text tower, computed once.

        Args:
            model: a model with a text tower.
            on_texts: called with (done, all) while texts are embedded.

        Raises:
            ModelError: the model has no text tower.
        """
        known = self._vectors.get(model.fingerprint)
        if known is None:
            known = self._vectors[model.fingerprint] = self._shelf.vectors(model, self.texts, on_texts)
        return known

    def only(self, places: Sequence[int]) -> Corpus:
        """The corpus restricted to some of its texts, by place in `texts` (the "compression" of CXR-RePaiR).

        Raises:
            UsageError: a place is not in the corpus, or none is given.
        """
        chosen = list(dict.fromkeys(int(place) for place in places))
        wrong = [place for place in chosen if not 0 <= place < len(self)]
        if wrong or not chosen:
            said = f"text {wrong[0]} of {len(self)}" if wrong else "no text"
            raise UsageError(f"{self.name}: cannot restrict the corpus to {said}; expected places from 0.")
        there = np.full(len(self), -1)
        there[chosen] = np.arange(len(chosen))
        kept = there[self.text_of] >= 0
        smaller = Corpus(
            self.name,
            [self.texts[place] for place in chosen],
            (there[self.text_of[kept]], self.report_of[kept]),
            self.reports,
            self.study_ids,
            self.patient_ids,
            whole=self.whole,
            empty=self.empty,
            shelf=self._shelf,
            archive=self.archive,
        )
        smaller._vectors = {key: vectors[chosen] for key, vectors in self._vectors.items()}
        return smaller

    def owned(self, own: Own | None) -> frozenset[int]:
        """The reports that an image must not be given: those of its study and of its patient.

        A report that does not say whose it is counts as its own where the words are the same.
        """
        if own is None:
            return frozenset()
        rows = {*self._rows_of.get(("study", own.study_id), ()), *self._rows_of.get(("patient", own.patient_id), ())}
        for said in own.reports:
            same = self._rows_of.get(("report", _plain(said)), ())
            rows |= {row for row in same if self.patient_ids[row] is None}
        return frozenset(rows)

    def forbidden(self, owned: frozenset[int]) -> np.ndarray:
        """(M,) bool: the texts that stand in no report but these."""
        if not owned:
            return np.zeros(len(self), bool)
        theirs = self.text_of[np.isin(self.report_of, list(owned))]
        times = np.diff(self._starts)
        return (times > 0) & (np.bincount(theirs, minlength=len(self)) == times)

    def source(self, text: int, owned: frozenset[int] = frozenset()) -> str | None:
        """The study that a text comes from: the first that has it and is not left out; None where it is not known."""
        for occurrence in self._order[self._starts[text] : self._starts[text + 1]]:
            if (report := int(self.report_of[occurrence])) not in owned:
                return self.study_ids[report]
        return None

    def times(self) -> np.ndarray:
        """(M,) in how many places of the reports each text stands."""
        return np.diff(self._starts)

    def most_frequent(self, owned: frozenset[int] = frozenset()) -> str:
        """The report that was written most often, in its first spelling; empty where all are left out."""
        counts = Counter(plain for row, plain in enumerate(self._plain) if row not in owned)
        often = counts.most_common(1)[0][0] if counts else None
        return next((said for said, plain in zip(self.reports, self._plain, strict=True) if plain == often), "")

    def whole_reports(self) -> Corpus:
        """The same reports, whole."""
        ids = self.study_ids, self.patient_ids
        return Corpus._cut(self.name, self.reports, *ids, True, self.empty, self._shelf, self.archive)


def sentences_of(report: str) -> list[str]:
    """The sentences of a report; one that is a number alone (of a list) or holds no word is left out.

    CXR-RePaiR splits with NLTK's Punkt and drops what parses as a float. Here: the splitter of the rule labeler, so that a
    sentence is the same thing to both.

    Example:
        >>> sentences_of("1. Small left effusion.  2. No\\npneumothorax.")
        ['Small left effusion.', 'No pneumothorax.']
    """
    cleaned = clean(report)
    found = (" ".join(report[start:end].replace(BREAK, " ").split()) for start, end in sentences(cleaned))
    return [text for text in found if any(letter.isalpha() for letter in text) and not is_hollow(text)]


def studies_of(archive: Archive, split: str | None) -> list[dict[str, str | None]]:
    """The studies with an image of a split, or all, in the archive's order."""
    studies = archive.studies().to_pylist()
    if split is None:
        return studies
    inside = set(archive.images(["study_id"], where=f"split = '{split}'")["study_id"].to_pylist())
    return [study for study in studies if study["study_id"] in inside]


def no_reports(archive: Archive, split: str | None, text: str) -> str:
    """Why an archive gives no corpus, and what would."""
    studies = studies_of(archive, split)
    other = next((name for name in ("findings", "whole") for study in studies if words_of_study(study, name)), None)
    if split and not studies:
        splits = ", ".join(sorted({str(one) for one in archive.images(["split"])["split"].to_pylist()})) or "none"
        return f"{archive.path}: no study of the split '{split}' to draft from. The archive's splits: {splits}."
    where = f"{archive.path}" + (f", split '{split}'" if split else "")
    said = f"{where}: none of its {len(studies)} studies has a report with '{text}'."
    if other:
        return f"{said} There are words under '{other}': choose them with --text {other}."
    return f"{said} A draft is made of reports: ingest some (hilum ingest), choose another split, or name --corpus reports.csv."


def _plain(text: str) -> str:
    """A text without regard to case and blanks."""
    return " ".join(text.lower().split())
