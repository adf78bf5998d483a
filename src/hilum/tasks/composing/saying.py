"""What a text says of each finding, and whether two texts contradict or repeat each other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from hilum.findings import CHEXPERT_NAMES, LabelValue
from hilum.reports.grid import NO_FINDING
from hilum.reports.rules import RuleLabeler
from hilum.reports.words import TOKEN, clean

DEVICES = "Support Devices"
# What sentences about the whole chest or the lungs deny, which the labeler leaves blank: they name no finding.
_NORMAL = tuple(name for name in CHEXPERT_NAMES if name not in (NO_FINDING, DEVICES))
_ACUTE = ("Edema", "Consolidation", "Pneumonia", "Pneumothorax", "Pleural Effusion")
_LUNGS = ("Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis")
_IMAGE = r"(?:chest|radiographs?|x-?rays?|films?|study|exam(?:ination)?|cxr)"
_WRONG = r"(?:process|disease|abnormalit(?:y|ies)|findings?|pathology)"
_CLAIMS: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = (
    (
        "that the chest is normal",
        re.compile(
            rf"\b(?:normal|unremarkable) (?:\w+ ){{0,2}}{_IMAGE}|{_IMAGE} (?:is|appears) (?:normal|unremarkable)"
            rf"|\bno (?:evidence of )?(?:cardiopulmonary |intrathoracic |cardiothoracic |thoracic )?{_WRONG}\b"
        ),
        _NORMAL,
    ),
    (
        "that nothing acute is there",
        re.compile(
            rf"\b(?:no|without) (?:\w+ ){{0,2}}(?:acute|active) (?:(?!airspace)\w+ ){{0,2}}{_WRONG}"
            rf"|\bnegative for (?:\w+ )?(?:acute|active)"
        ),
        _ACUTE,
    ),
    ("that the lungs are clear", re.compile(r"\blungs (?:\w+ ){0,3}clear\b|\bclear (?:\w+ )?lungs\b"), _LUNGS),
)
_BUT = re.compile(
    r"\b(?:otherwise|remaind?(?:er|ing)|rest|except\w*|apart|aside|other than)\b"
)  # claims less than the whole
_SAYS = {
    LabelValue.POSITIVE: "there is",
    LabelValue.NEGATIVE: "there is no",
    LabelValue.UNCERTAIN: "there may be",
}
# Words that tell one place from another: a sentence about the other side is no repetition.
_PLACES = frozenset(
    ("left", "right", "bilateral", "both", "upper", "lower", "middle", "mid", "apical", "apex", "apices", "basilar", "basal",
     "base", "bases", "bibasilar", "biapical", "lingula", "lingular", "perihilar", "hilar", "retrocardiac")
)  # fmt: skip
# Words that make no difference to what is found: a small and a large effusion of one side are the same finding, told once.
_PASSED_OVER = frozenset(
    ("a", "an", "and", "are", "as", "at", "be", "been", "for", "from", "has", "have", "in", "is", "it", "its", "of", "on", "or",
     "that", "the", "there", "these", "this", "to", "was", "were", "which", "with", "within", "again", "seen", "noted", "present",
     "demonstrated", "identified", "finding", "findings", "compatible", "consistent", "evidence", "size", "sized", "sided",
     "tiny", "trace", "minimal", "slight", "small", "mild", "moderate", "large", "marked", "severe", "extensive", "massive")
)  # fmt: skip
REPEATED_SHARE = 0.5  # of a later text's words said before, where its findings were named: a repetition
REPEATED_SHARE_UNNAMED = 0.6  # the same of a text that names no finding: its words are all there is to go by


@dataclass(frozen=True)
class Said:
    """What a text says.

    Attributes:
        values: the findings it names, No Finding left out.
        claims: what it says of the whole chest or the lungs, such as "that the chest is normal".
        words, places: its words in lower case; those that tell a place apart from the others.
    """

    values: dict[str, LabelValue]
    claims: tuple[str, ...]
    words: frozenset[str]
    places: frozenset[str]

    @property
    def denied(self) -> dict[str, str]:
        """Finding -> the claim that denies it."""
        return {name: claim for claim, _, names in _CLAIMS if claim in self.claims for name in names}


class Reader:
    """Reads texts with the rule labeler; readings are remembered, for drafts meet the same sentences again."""

    def __init__(self, labeler: RuleLabeler | None = None, remember: int = 50_000) -> None:
        self.labeler = labeler or RuleLabeler()
        self.read = lru_cache(maxsize=remember)(self._read)

    def _read(self, text: str) -> Said:
        values = self.labeler.label(text).values
        named: dict[str, LabelValue] = {
            name: value
            for name, value in values.items()
            if name != NO_FINDING and value is not LabelValue.NOT_MENTIONED
        }
        lower = " ".join(clean(text).split())
        # "No acute disease except for atelectasis" is not wholly normal: a claim yields to a finding in the same text.
        there = any(value is not LabelValue.NEGATIVE for name, value in named.items() if name != DEVICES)
        partly = there or _BUT.search(lower)
        claims = () if partly else tuple(claim for claim, pattern, _ in _CLAIMS if pattern.search(lower))
        words = {match.group() for match in TOKEN.finditer(lower) if match.group()[0].isalnum()} - _PASSED_OVER
        return Said(named, claims, frozenset(words - _PLACES), frozenset(words & _PLACES))


def contradiction(earlier: Said, later: Said) -> str:
    """How two texts contradict each other: one finds, or suspects, what the other denies. Empty where they do not.

    Example:
        >>> read = Reader().read
        >>> contradiction(read("Small left effusion."), read("No pleural effusion."))
        'it says that there is no Pleural Effusion'
    """
    for name, value in later.values.items():
        before = earlier.values.get(name)
        if before is not None and before is not value and LabelValue.NEGATIVE in (before, value):
            return f"it says that {_SAYS[value]} {name}"
        if before is None and value is not LabelValue.NEGATIVE and name in earlier.denied:
            return f"it says that {_SAYS[value]} {name}"
    for name, claim in later.denied.items():
        if earlier.values.get(name, LabelValue.NEGATIVE) is not LabelValue.NEGATIVE and name not in later.values:
            return f"it says {claim}, and not {name}"
    return ""


def repetition(earlier: Said, later: Said) -> str:
    """How a text repeats an earlier one: it says the same of the same findings in much the same words. Empty where it does not.

    Example:
        >>> read = Reader().read
        >>> repetition(read("Small left effusion."), read("A left effusion, small in size."))
        'says the same of Pleural Effusion'
        >>> repetition(read("Small left effusion."), read("Small right effusion."))
        ''
    """
    shared = [claim for claim in later.claims if claim in earlier.claims]
    if shared and set(later.values) <= set(earlier.values):
        return f"says again {shared[0]}"
    if not later.values.items() <= earlier.values.items() or not later.places <= earlier.places:
        return ""
    least = REPEATED_SHARE if later.values else REPEATED_SHARE_UNNAMED
    if len(later.words & earlier.words) < least * len(later.words):
        return ""
    return f"says the same of {', '.join(later.values)}" if later.values else "says the same in like words"


def first_objection(kept: Iterable[tuple[str, Said]], text: str, said: Said) -> str:
    """Why a text does not go with those kept before; empty where it does."""
    earlier = list(kept)
    for other, theirs in earlier:
        if why := contradiction(theirs, said):
            return f"contradicts {_quoted(other)}: {why}"
    for other, theirs in earlier:
        if why := repetition(theirs, said):
            return f"repeats {_quoted(other)}: {why}"
    return ""


def _quoted(text: str, most: int = 60) -> str:
    return f'"{text}"' if len(text) <= most else f'"{text[: most - 3].rstrip()}..."'
