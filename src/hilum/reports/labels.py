"""What a report says of each finding, and the words that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hilum.errors import ReportError
from hilum.findings import LabelValue, ancestors

Span = tuple[int, int]
UNCERTAIN_POLICIES = ("keep", "u-ones", "u-zeros", "u-ignore")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One statement of a report; offsets count characters of the original text.

    Attributes:
        observation: the finding.
        value: what this statement alone says of it.
        sentence, mention, cue: (start, end); `cue` is None for a plain assertion.
        rule: id of the rule that decided.
        wins: True where the report's value rests on this statement.
    """

    observation: str
    value: LabelValue
    sentence: Span
    mention: Span
    cue: Span | None
    rule: str
    wins: bool = True


@dataclass(frozen=True)
class ReportLabels:
    """The labels of one report.

    Attributes:
        values: finding -> value, in column order.
        evidence: every statement found, those that lost included.
        note: why a report was left blank ("empty", "not English"), or "".
    """

    values: dict[str, LabelValue]
    evidence: tuple[Evidence, ...] = ()
    note: str = ""

    def __getitem__(self, observation: str) -> LabelValue:
        return self.values[observation]

    def codes(self) -> dict[str, int | None]:
        """The values as CheXpert cells: 1, 0, -1 or None.

        Example:
            >>> ReportLabels({"Edema": LabelValue.UNCERTAIN}).codes()
            {'Edema': -1}
        """
        return {name: value.chexpert for name, value in self.values.items()}


def evidence_record(item: Evidence, text: str) -> dict[str, Any]:
    """One piece of evidence as plain values, with the words its spans cover, and its weight where it has one."""
    weight = getattr(item, "weight", None)
    return {
        "observation": item.observation,
        "value": item.value.value,
        "wins": item.wins,
        "rule": item.rule,
        "sentence": list(item.sentence),
        "mention": list(item.mention),
        "cue": list(item.cue) if item.cue else None,
        "mention_text": text[slice(*item.mention)],
        "cue_text": text[slice(*item.cue)] if item.cue else None,
        "sentence_text": text[slice(*item.sentence)],
        **({} if weight is None else {"weight": weight}),
    }


def with_parents(values: Mapping[str, LabelValue]) -> dict[str, LabelValue]:
    """Values with every ancestor of a positive finding positive too (CheXpert's hierarchy, Irvin et al. 2019, figure 1).

    Example:
        >>> with_parents({"Consolidation": LabelValue.NOT_MENTIONED, "Pneumonia": LabelValue.POSITIVE})["Consolidation"]
        <LabelValue.POSITIVE: 'positive'>
    """
    filled = dict(values)
    for name, value in values.items():
        if value is LabelValue.POSITIVE:
            filled.update((parent, LabelValue.POSITIVE) for parent in ancestors(name) if parent in filled)
    return filled


def settle_uncertain(values: Mapping[str, LabelValue], policy: str) -> dict[str, LabelValue]:
    """Values with the uncertain ones turned as a policy says.

    Args:
        values: finding -> value.
        policy: "keep"; "u-ones" and "u-zeros" (uncertain becomes positive or negative); "u-ignore" (it becomes not mentioned).
            What is not mentioned stays so.

    Raises:
        ReportError: the policy is unknown.

    Example:
        >>> settle_uncertain({"Edema": LabelValue.UNCERTAIN}, "u-ones")
        {'Edema': <LabelValue.POSITIVE: 'positive'>}
    """
    require_policy(policy)
    if policy == "keep":
        return dict(values)
    becomes = {
        "u-ones": LabelValue.POSITIVE,
        "u-zeros": LabelValue.NEGATIVE,
        "u-ignore": LabelValue.NOT_MENTIONED,
    }[policy]
    return {name: becomes if value is LabelValue.UNCERTAIN else value for name, value in values.items()}


def require_policy(policy: str, known: Iterable[str] = UNCERTAIN_POLICIES) -> None:
    """Raise where an uncertainty policy is unknown."""
    if policy not in known:
        raise ReportError(f"unknown uncertainty policy {policy!r}; expected one of {', '.join(known)}.")
