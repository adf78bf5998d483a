"""The rule labeler: 14 observations, four values each, every one with the words it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from hilum.errors import ReportError
from hilum.findings import CHEXPERT_NAMES, LabelValue
from hilum.reports.headers import is_hollow
from hilum.reports.labels import Evidence, ReportLabels
from hilum.reports.language import why_unread
from hilum.reports.lexicon import CHEXPERT, OWN, load_lexicon
from hilum.reports.scope import read_sentence
from hilum.reports.sectioning import sections
from hilum.reports.sentence import STAYS, Reading, Statement
from hilum.reports.words import clean, sentences

RULES_VERSION = "1"
SENTENCES_KEPT = 50_000  # readings remembered; reports repeat each other's sentences

EMPTY = "empty"  # note on a report that is left blank; language.py has the others

_VALUES = {1: LabelValue.POSITIVE, 0: LabelValue.NEGATIVE, -1: LabelValue.UNCERTAIN, None: LabelValue.NOT_MENTIONED}

# What these sections say is asked or was true before, not found now. Read only where nothing else has words.
_NOT_READ = frozenset(
    (
        "indication",
        "history",
        "examination",
        "technique",
        "date",
        "notification",
        "signature",
        "preamble",
        "comparison",
        "wet read",
    )
)
_RECOMMENDING = "recommendations"

# (statement, sentence start, sentence end)
Placed = tuple[Statement, int, int]


class RuleLabeler:
    """Reads reports by rules that show their evidence.

    Args:
        vocabulary: TOML files that add findings, phrases or cues (see `docs/labeling.md`).
        compat: None, or "chexpert" for the order and the aggregation of the CheXpert labeler (Irvin et al. 2019).
        remember: sentences whose reading is kept for when they come again; 0 reads each anew.

    Raises:
        ReportError: `compat` is unknown, or a vocabulary cannot be used.

    Example:
        >>> labels = RuleLabeler().label("Small left effusion. No pneumothorax.")
        >>> labels["Pleural Effusion"].value, labels["Pneumothorax"].value
        ('positive', 'negative')
    """

    def __init__(
        self,
        vocabulary: str | Path | Sequence[str | Path] | None = None,
        compat: str | None = None,
        remember: int = SENTENCES_KEPT,
    ) -> None:
        if compat not in (None, "chexpert"):
            raise ReportError(f"unknown compat {compat!r}; expected 'chexpert' or nothing.")
        self.compat = compat
        original = compat == "chexpert"
        self.lexicon = load_lexicon(vocabulary, CHEXPERT if original else OWN)
        self.observations = self.lexicon.observations
        lexicon = self.lexicon
        # In the order of the CheXpert labeler's table, Lung Lesion stands before Lung Opacity.
        self.columns = tuple(sorted(self.observations, key=_original_place)) if original else self.observations

        def read(sentence: str) -> Reading:
            return read_sentence(sentence, lexicon, original)

        self._read = lru_cache(maxsize=remember)(read) if remember else read
        index = {name: i for i, name in enumerate(self.observations)}
        self._devices = index["Support Devices"]

    @property
    def said_by(self) -> str:
        """How an archive names this labeler."""
        return f"rules@{RULES_VERSION}" + ("-chexpert" if self.compat else "")

    def label(self, text: str) -> ReportLabels:
        """The labels of one report with their evidence.

        Args:
            text: a whole report, or only its findings and impression. Sections like the indication are left out.
        """
        note, placed = self._statements(text)
        codes, winners = self._settle(placed, note)
        by_name = dict(zip(self.observations, codes, strict=True))
        values = {name: _VALUES[by_name[name]] for name in self.columns}
        evidence = tuple(
            Evidence(
                self.observations[s.observation],
                _VALUES[s.code],
                (start, end),
                (s.mention[0] + start, s.mention[1] + start),
                (s.cue[0] + start, s.cue[1] + start) if s.cue else None,
                s.rule,
                id(s) in winners if s.observation else s.code != 0,
            )
            for s, start, end in placed
        )
        return ReportLabels(values, evidence, note)

    def label_many(self, texts: Iterable[str]) -> list[ReportLabels]:
        """The labels of several reports."""
        return [self.label(text) for text in texts]

    def codes(self, text: str) -> tuple[tuple[int | None, ...], str]:
        """Only the CheXpert codes in the order of `observations`, and the note; quicker than :meth:`label`."""
        note, placed = self._statements(text)
        return self._settle(placed, note)[0], note

    def _statements(self, text: str) -> tuple[str, list[Placed]]:
        note = "" if not is_hollow(text) else EMPTY
        if note:
            return note, []
        cleaned = clean(text)
        placed: list[Placed] = []
        before: list[Placed] = []
        read = self._read
        for begin, stop, recommending in self._passages(text):
            body = cleaned if stop - begin == len(cleaned) else cleaned[begin:stop]
            for start, end in sentences(body):
                statements, looks_back = read(body[start:end])
                if looks_back and looks_back != STAYS:
                    _revise(placed, before, looks_back)
                if not statements:
                    before = before if looks_back else []
                    continue
                if recommending:
                    statements = tuple(s._replace(code=-1, weak=True) if s.code == 1 else s for s in statements)
                before = [(s, begin + start, begin + end) for s in statements]
                placed += before
        note = why_unread(cleaned, self.lexicon.forms.knows)
        return note, [] if note else placed

    def _passages(self, text: str) -> list[tuple[int, int, bool]]:
        """(start, end, recommending) of what is to be read."""
        if ":" not in text and "\n" not in text:
            return [(0, len(text), False)]
        found = sections(text)
        read = [part for part in found if part.name not in _NOT_READ and part.text]
        if not any(part.name != _RECOMMENDING and not is_hollow(part.text) for part in read):
            # Some dictate the whole report under the comparison, or before the first header.
            read = [
                part
                for part in found
                if part.name in ("comparison", "preamble", "wet read", _RECOMMENDING) and part.text
            ]
        return [(part.start, part.end, part.name == _RECOMMENDING) for part in read]

    def _settle(self, placed: list[Placed], note: str) -> tuple[tuple[int | None, ...], set[int]]:
        """The code of each observation, and the ids of the statements that it rests on."""
        codes: list[int | None] = [None] * len(self.observations)
        said: dict[int, list[Statement]] = {}
        for statement, _, _ in placed:
            said.setdefault(statement.observation, []).append(statement)
        winners: set[int] = set()
        for observation, statements in said.items():
            if observation == 0:
                continue
            code, weak = self._original(statements) if self.compat else _best(statements)
            codes[observation] = code
            winners.update(id(s) for s in statements if s.code == code and (s.weak == weak or self.compat))
        found = any(code in (1, -1) for i, code in enumerate(codes) if i != self._devices)
        other = any(s.code != 0 for s in said.get(0, ()))
        # The original calls an empty report normal.
        unread = bool(note) and not (self.compat and note == EMPTY)
        codes[0] = None if found or other or unread else 1
        return tuple(codes), winners

    @staticmethod
    def _original(statements: list[Statement]) -> tuple[int, bool]:
        """The aggregation of the CheXpert labeler, in which {0, -1} gives -1 even beside a 1."""
        codes = {s.code for s in statements}
        if {0, -1} <= codes:
            return -1, False
        return (1 if 1 in codes else codes.pop()), False


def _original_place(name: str) -> int:
    order = [*CHEXPERT_NAMES]
    i, j = order.index("Lung Lesion"), order.index("Lung Opacity")
    order[min(i, j)], order[max(i, j)] = "Lung Lesion", "Lung Opacity"
    return order.index(name) if name in order else len(order)


def _best(statements: list[Statement]) -> tuple[int, bool]:
    """Positive beats uncertain beats negative; a weak doubt is beaten by all."""
    best = max(statements, key=lambda s: (not s.weak, {1: 2, -1: 1, 0: 0}[s.code]) if s.code != 1 else (True, 2))
    return best.code, best.weak


def _revise(placed: list[Placed], before: list[Placed], looks_back: int) -> None:
    """Doubt or deny what the sentence before asserted ("This may be artifact.", "None is seen now.")."""
    code, rule = (-1, "anaphora.doubt") if looks_back < 0 else (0, "anaphora.denial")
    for i, entry in enumerate(placed):
        if any(entry is other for other in before) and entry[0].code == 1:
            placed[i] = (entry[0]._replace(code=code, rule=rule), *entry[1:])
