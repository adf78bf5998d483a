"""Which words of a report stand for it.

Chosen once, stored in the archive's manifest and in every model trained on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hilum.errors import ReportError
from hilum.reports.compatible import NO_IMPRESSION, chexzero, cxr_repair, mimic_conclusion
from hilum.reports.headers import is_hollow
from hilum.reports.sectioning import CUT_NAMES

Sections = Mapping[str, str | None]
DEFAULT_POLICY = "impression else findings"


def report_text(sections: Sections, policy: str = DEFAULT_POLICY, report: str | None = None) -> str:
    """The words of a report that its policy chooses; empty where it has none.

    Args:
        sections: the sections by name, as :func:`hilum.reports.cut` gives them or as an archive stores them.
        policy: one of ``POLICIES``.
        report: the whole report, which "whole", "chexzero", "cxr-repair" and "mimic" read; without it they fall back
            on the sections.

    Raises:
        ReportError: the policy is unknown.

    Example:
        >>> report_text({"findings": "Clear lungs.", "impression": None})
        'Clear lungs.'
    """
    if policy not in POLICIES:
        raise ReportError(f"unknown text policy {policy!r}; expected one of {', '.join(repr(p) for p in POLICIES)}.")
    return POLICIES[policy](sections, report)


def study_text(study: Mapping[str, Any], policy: str) -> str:
    """The words of a study (a row of the archive's studies) under a policy; empty where it has no report.

    Raises:
        ReportError: the policy is unknown.
    """
    sections = {name: study.get(name) for name in CUT_NAMES}
    text = report_text(sections, policy, report=study.get("report"))
    # Some policies have words for a report that says nothing; a study without report has none.
    return text if study.get("report") or any(sections.values()) else ""


def _said(sections: Sections, name: str) -> str:
    text = (sections.get(name) or "").strip()
    return "" if is_hollow(text) else text


def _impression(sections: Sections, report: str | None) -> str:
    return _said(sections, "impression")


def _findings(sections: Sections, report: str | None) -> str:
    return _said(sections, "findings")


def _longer(sections: Sections, report: str | None) -> str:
    """The longer one in words; the impression where they tie."""
    return max(_impression(sections, report), _findings(sections, report), key=lambda text: len(text.split()))


def _both(sections: Sections, report: str | None) -> str:
    return " ".join(part for part in (_findings(sections, report), _impression(sections, report)) if part)


def _whole(sections: Sections, report: str | None) -> str:
    if report is not None:
        return report.strip()
    return "\n".join(text.strip() for text in sections.values() if text and text.strip())


def _chexzero(sections: Sections, report: str | None) -> str:
    if report is not None:
        return chexzero(report)[0].text
    return " ".join(_impression(sections, None).split()) or NO_IMPRESSION


def _cxr_repair(sections: Sections, report: str | None) -> str:
    if report is not None:
        return "".join(part.text for part in cxr_repair(report))
    return _impression(sections, None)


def _mimic(sections: Sections, report: str | None) -> str:
    if report is not None:
        found = mimic_conclusion(report)
        return found.text if found else ""
    return _impression(sections, None) or _findings(sections, None) or _said(sections, "comparison")


POLICIES: dict[str, Callable[[Sections, str | None], str]] = {
    "impression": _impression,
    "findings": _findings,
    "impression else findings": lambda s, r: _impression(s, r) or _findings(s, r),
    "findings else impression": lambda s, r: _findings(s, r) or _impression(s, r),
    "longer": _longer,
    "both": _both,
    "whole": _whole,
    "chexzero": _chexzero,
    "cxr-repair": _cxr_repair,
    "mimic": _mimic,
}
