"""Cut a report into sections, with offsets into the original text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hilum.errors import ReportError
from hilum.reports import headers

CUT_NAMES = ("findings", "impression", "indication", "comparison", "technique", "history")
KEEP = ("all", "last", "first")


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a report.

    Attributes:
        name: canonical name in lower case ("impression"), or the header's own words where it is not known.
        start, end: offsets of the body in the original text (the header itself is not part of it).
        text: the body; ``report[start:end]``, except in modes whose original rewrites it (white space collapsed).
    """

    name: str
    start: int
    end: int
    text: str


def sections(text: str, mode: str = "hilum", keep: str = "all") -> list[Section]:
    """The sections of a report in reading order.

    Args:
        text: the whole report.
        mode: "hilum" (any case, any indent, in-line headers, misspellings), or a compatible mode: "mimic" (the
            MIMIC-CXR parser), "cxr-repair" and "chexzero" (the impression as those two projects cut it).
        keep: which of several sections of one name to return: "all", "last" or "first".

    Raises:
        ReportError: the mode or `keep` is unknown.

    Example:
        >>> [(s.name, s.text) for s in sections("findings: Clear. Impression: Normal.")]
        [('findings', 'Clear.'), ('impression', 'Normal.')]
    """
    from hilum.reports.compatible import chexzero, cxr_repair, mimic

    modes = {"hilum": _hilum, "mimic": mimic, "cxr-repair": cxr_repair, "chexzero": chexzero}
    if mode not in modes:
        raise ReportError(f"unknown section mode {mode!r}; expected one of {', '.join(modes)}.")
    if keep not in KEEP:
        raise ReportError(f"unknown keep={keep!r}; expected one of {', '.join(KEEP)}.")
    found = modes[mode](text)
    if keep == "all":
        return found
    chosen = {part.name: part for part in (reversed(found) if keep == "first" else found)}
    return sorted(chosen.values(), key=lambda part: part.start)


def cut(
    text: str, overrides: Mapping[str, str | tuple[int, int]] | None = None, study_id: str | None = None
) -> dict[str, str]:
    """The six sections that an archive stores, by name; those the report lacks are absent.

    Args:
        text: the whole report.
        overrides: what to take as the impression of single studies: study id -> section name, or (start, end) offsets.
        study_id: the study this report belongs to, looked up in `overrides`.

    Example:
        >>> cut("INDICATION: Cough. IMPRESSION: Normal.")
        {'impression': 'Normal.', 'indication': 'Cough.'}
    """
    last = {part.name: part.text for part in sections(text) if part.text and not headers.is_hollow(part.text)}
    chosen = overridden(text, overrides, study_id)
    if chosen is not None:
        last["impression"] = chosen.text
    return {name: last[name] for name in CUT_NAMES if last.get(name)}


def overridden(
    text: str, overrides: Mapping[str, str | tuple[int, int]] | None, study_id: str | None, mode: str = "hilum"
) -> Section | None:
    """The passage that a per-study table names as this study's impression, or None where the table is silent.

    Raises:
        ReportError: the named section is not in the report, or the offsets are not inside it.
    """
    if not overrides or study_id is None or study_id not in overrides:
        return None
    entry = overrides[study_id]
    if isinstance(entry, str):
        for part in reversed(sections(text, mode)):
            if part.name == entry:
                return Section("impression", part.start, part.end, part.text.strip())
        raise ReportError(f"override of study {study_id}: its report has no section {entry!r}.")
    start, end = entry
    if not 0 <= start <= end <= len(text):
        raise ReportError(
            f"override of study {study_id}: ({start}, {end}) is outside its report of {len(text)} characters."
        )
    return Section("impression", start, end, text[start:end].strip())


# -- the default mode ---------------------------------------------------------------------------------------------


def _any_of(names: Iterable[str]) -> str:
    return "|".join(r"\s+".join(re.escape(word) for word in name.split()) for name in names)


_NAMES = sorted({*headers.VARIANTS, "findings & impression"}, key=len, reverse=True)

# At a line's start any short title with a colon; a known title may also stand alone on its line, or before a dash.
_LINE = re.compile(
    r"^[ \t\f\u00a0]*(?:\d+[.)][ \t]*)?([A-Za-z][A-Za-z0-9 ,/()&.'\-]{1,70}?)"
    r"[ \t]*(:|\r?$|[ \t]-[ \t]|(?<=[A-Z]{4})\.[ \t])",
    re.M,
)
# Inside a line only known titles: after a sentence's end in any case, elsewhere in capitals.
_INLINE = re.compile(rf"(?:(?<=[.!?;:])[ \t\r\n]+|(?<=[.!?]))({_any_of(_NAMES)})[ \t]*:", re.I)
_CAPITAL = re.compile(rf"(?<=\s)({_any_of(name.upper() for name in _NAMES)})[ \t]*:")
_SIGNATURE = re.compile(
    r"^[ \t]*(?:\(?(?:electronically[ \t]+)?"
    r"(?:signed|dictated|transcribed|reported|reviewed|approved|interpreted)[ \t]+by\b"
    r"|electronically[ \t]+signed\b|attending[ \t]*:|i,?[ \t]+the[ \t]+(?:teaching|attending)"
    r"|i[ \t]+have[ \t]+(?:personally[ \t]+)?reviewed\b"
    r"|dictated[ \t]*:|signed[ \t]*:|end of (?:impression|report)).*$",
    re.I | re.M,
)
# Sections whose body may hold titles of its own ("LUNGS: clear"), which do not end it.
_HOLDS_TITLES = ("findings", "impression", "wet read", "addendum")


def _hilum(text: str) -> list[Section]:
    marks = _marks(text)
    if not marks:
        start, end = _trim(text, 0, len(text))
        return [Section("findings", start, end, text[start:end])] if end > start else []
    found: list[Section] = []
    bounds = [(0, 0, "preamble"), *marks, (len(text), len(text), "")]
    for (_, body, name), (stop, _, _) in pairwise(bounds):
        start, end = _trim(text, body, stop)
        if name == "preamble" and start == end:
            continue
        found.append(Section(name, start, end, text[start:end]))
    return _with_conclusion(text, found)


def _marks(text: str) -> list[tuple[int, int, str]]:
    """Where sections begin: (header start, body start, name), in reading order."""
    places: dict[int, tuple[int, str]] = {}
    for match in _LINE.finditer(text):
        title, closing = match.group(1), match.group(2)
        name = headers.known(title)
        if name is None:
            if closing != ":" or title != title.upper():
                continue
            name = headers.normalized(title)
        elif closing != ":" and title != title.upper() and not (closing.strip() == "" and title.istitle()):
            continue
        places[match.start(1)] = (match.end(), name)
    for pattern in (_INLINE, _CAPITAL):
        for match in pattern.finditer(text):
            places.setdefault(match.start(1), (match.end(), headers.known(match.group(1)) or "impression"))
    for match in _SIGNATURE.finditer(text):
        places.setdefault(match.start(), (match.start(), "signature"))
    marks: list[tuple[int, int, str]] = []
    for start in sorted(places):
        body, name = places[start]
        if marks and start < marks[-1][1]:
            continue  # inside the header before it
        known = name in headers.CANONICAL or name == "signature"
        if not known and marks and marks[-1][2] in _HOLDS_TITLES:
            continue
        marks.append((start, body, name))
    return [_view_title(text, marks, i) for i in range(len(marks))]


def _view_title(text: str, marks: Sequence[tuple[int, int, str]], i: int) -> tuple[int, int, str]:
    """A view title over nothing but placeholders ("PORTABLE CHEST: ___") says which examination it was."""
    start, body, name = marks[i]
    stop = marks[i + 1][0] if i + 1 < len(marks) else len(text)
    title = text[start:body]
    if name == "findings" and headers.known(title.strip(" :\t\r\n")) is None and headers.is_hollow(text[body:stop]):
        return start, body, "examination"
    return start, body, name


def _with_conclusion(text: str, found: list[Section]) -> list[Section]:
    """Without words in findings or impression, the last section's paragraphs after its first are the findings."""
    said = {part.name for part in found if not headers.is_hollow(part.text)}
    if said & {"findings", "impression"} or not found:
        return found
    last = found[-1]
    gap = re.search(r"\n[ \t\r]*\n", last.text)
    if gap is None:
        return found
    head_start, head_end = _trim(text, last.start, last.start + gap.start())
    start, end = _trim(text, last.start + gap.end(), last.end)
    if start == end:
        return found
    return [
        *found[:-1],
        Section(last.name, head_start, head_end, text[head_start:head_end]),
        Section("findings", start, end, text[start:end]),
    ]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    body = text[start:end]
    left = len(body) - len(body.lstrip())
    return (start + left, start + len(body.rstrip())) if body.strip() else (start, start)
