"""What a cell of a dataset's table says: a view, a sex, an age, a label, a number."""

from __future__ import annotations

import re

from hilum.archive.schema import VIEWS
from hilum.findings import LabelValue, fold

KNOWN_VIEWS = {fold(name): name for name in VIEWS} | {
    "ap supine": "ap_supine",
    "ap horizontal": "ap_supine",
    "supine": "ap_supine",
    "ap erect": "ap",
    "l": "lateral",
    "ll": "lateral",
    "rl": "lateral",
    "lat": "lateral",
    "left lateral": "lateral",
    "": "unknown",
}
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
# CheXpert's codes (Irvin et al. 2019), and words.
LABEL_WORDS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "y", "positive", "present"), LabelValue.POSITIVE),
    **dict.fromkeys(("0", "0.0", "false", "no", "n", "negative", "absent"), LabelValue.NEGATIVE),
    **dict.fromkeys(("-1", "-1.0", "uncertain", "maybe"), LabelValue.UNCERTAIN),
    **dict.fromkeys(("not mentioned", "not_mentioned"), LabelValue.NOT_MENTIONED),
}
UNITS_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
OLDEST_YEARS = 120.0


def view_of(text: str | None) -> str:
    """The archive's view behind a dataset's word, "unknown" where it is none of ours (obliques, decubitus, blank).

    Example:
        >>> view_of("AP_horizontal"), view_of("LL"), view_of("LT-DECUB")
        ('ap_supine', 'lateral', 'unknown')
    """
    return KNOWN_VIEWS.get(fold(text or ""), "unknown")


def sex_of(text: str | None) -> str | None:
    """M, F, O, or None for anything else."""
    return SEXES.get(fold(text or ""))


def age_of(text: str | None) -> float | None:
    """Years behind 63, 63.5, 063Y or 013M; None for anything else.

    Example:
        >>> age_of("063Y"), age_of("018M"), age_of("?")
        (63.0, 1.5, None)
    """
    match = re.fullmatch(r"(\d+(?:[.]\d+)?)\s*([YMWD]?)", (text or "").strip().upper())
    return float(match[1]) / UNITS_PER_YEAR[match[2]] if match else None


def possible_age(text: str | None) -> float | None:
    """As `age_of`, and None above 120 years."""
    years = age_of(text)
    return years if years is not None and years <= OLDEST_YEARS else None


def label_of(text: str | None) -> LabelValue | None:
    """What 1, 0, -1 or a word for them says; None for a blank cell.

    Raises:
        KeyError: the cell says something else.
    """
    folded = fold(text or "")
    return LABEL_WORDS[folded] if folded else None


def whole_of(text: str | None) -> int | None:
    """The whole number behind 3 or 3.0; None for anything else."""
    return int(float(text)) if text and re.fullmatch(r"\s*-?\d+([.]0*)?\s*", text) else None


def present(is_there: bool) -> LabelValue:
    """Positive or negative."""
    return LabelValue.POSITIVE if is_there else LabelValue.NEGATIVE


def one_of(classes: tuple[str, ...], which: str) -> tuple[tuple[str, LabelValue], ...]:
    """The labels of an image that belongs to exactly one of several classes.

    Example:
        >>> [value.value for _, value in one_of(("none", "mild", "severe"), "mild")]
        ['negative', 'positive', 'negative']
    """
    assert which in classes, which
    return tuple((name, present(name == which)) for name in classes)
