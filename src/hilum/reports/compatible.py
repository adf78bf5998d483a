"""Sections as three public projects cut them, with their quirks: for results that must be comparable with theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hilum.reports import headers
from hilum.reports.sectioning import Section, overridden

# MIMIC-CXR: newline, one blank, capitals and a colon; headers at column 0, in lower case or in mid-line are not seen.
_MIMIC_HEADER = re.compile(r"\n ([A-Z ()/,-]+):\s")
_CONCLUSIONS = ("impression", "findings", "last_paragraph", "comparison")
NO_IMPRESSION = "NO IMPRESSION"


def mimic(text: str) -> list[Section]:
    """The sections of the MIMIC-CXR parser (Johnson et al. 2019)."""
    header = _MIMIC_HEADER.search(text)
    if header is None:
        return [Section("full report", 0, len(text), text)]
    found: list[Section] = []
    name, body = "preamble", 0
    while header is not None:
        # The preamble keeps the line end and the blank before the first header; later sections do not.
        stop = header.start() if found else header.start(1)
        found.append(Section(name, body, stop, text[body:stop]))
        name, body = headers.normalized(header.group(1)), header.end()
        # The search goes on only after the first line of the body, which protects from false headers on it.
        newline = text.find("\n", body)
        header = _MIMIC_HEADER.search(text, newline) if newline >= 0 else None
    found.append(Section(name, body, len(text), text[body:]))
    found = [part for part in found if part.text.strip() or part.name not in ("impression", "findings")]
    if not {"impression", "findings"} & {part.name for part in found} and "\n \n" in found[-1].text:
        last = found.pop()
        at = last.start + last.text.index("\n \n")
        found.append(Section(last.name, last.start, at, text[last.start : at]))
        # The parser states the offset before the blank line, and the text after it.
        found.append(Section("last_paragraph", at, last.end, text[at + len("\n \n") : last.end]))
    return found


def mimic_conclusion(
    text: str, overrides: Mapping[str, str | tuple[int, int]] | None = None, study_id: str | None = None
) -> Section | None:
    """The passage MIMIC-CXR labels: the last impression, else findings, else last paragraph, else comparison.

    Args:
        overrides: per-study exceptions, study id -> section name or (start, end); they come first.

    Example:
        >>> mimic_conclusion(" FINAL REPORT\\n FINDINGS:  Clear.\\n").text
        'Clear.'
    """
    chosen = overridden(text, overrides, study_id, mode="mimic")
    if chosen is not None:
        return chosen
    found = mimic(text)
    for name in _CONCLUSIONS:
        for part in reversed(found):
            if part.name == name:
                return Section(name, part.start, part.end, part.text.strip())
    return None


def cxr_repair(text: str) -> list[Section]:
    """CXR-RePaiR (Endo et al. 2021): from the first line beginning with IMPRESSION to the report's end, lines glued."""
    for prefix, removed in ((" IMPRESSION", "IMPRESSION:"), (" FINDINGS AND IMPRESSION:", "FINDINGS AND IMPRESSION:")):
        at = 0
        for line in text.splitlines(keepends=True):
            if line.startswith(prefix):
                glued = "".join(text[at:].splitlines())
                return [Section("impression", at, len(text), glued.replace(removed, "").strip())]
            at += len(line)
    return []


def chexzero(text: str) -> list[Section]:
    """CheXzero (Tiu et al. 2022): the words after the last IMPRESSION: up to the recommendations or the notification.

    A report without one gives the literal text "NO IMPRESSION". A recommendation or notification before the impression
    is passed over (in the original it leaves the impression empty).
    """
    words = [(word.start(), word.group()) for word in re.finditer(r"\S+", text)]
    tokens = [word for _, word in words]
    if "IMPRESSION:" not in tokens:
        return [Section("impression", len(text), len(text), NO_IMPRESSION)]
    first = len(tokens) - tokens[::-1].index("IMPRESSION:")
    rest = tokens[first:]
    stops = [
        next((rest.index(stop) for stop in names if stop in rest), len(rest))
        for names in (
            ("RECOMMENDATION(S):", "RECOMMENDATION:", "RECOMMENDATIONS:"),
            ("NOTIFICATION:", "NOTIFICATIONS:"),
        )
    ]
    last = first + min(stops)
    start = words[first][0] if first < len(words) else len(text)
    end = words[last - 1][0] + len(tokens[last - 1]) if last > first else start
    return [Section("impression", start, end, " ".join(tokens[first:last]))]
