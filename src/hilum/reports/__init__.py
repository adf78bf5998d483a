"""Understanding reports: sections, the words that stand for a report, and what they say of each finding."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "Agreement": "hilum.reports.agreement",
    "compare_labels": "hilum.reports.agreement",
    "Evidence": "hilum.reports.labels",
    "ReportLabels": "hilum.reports.labels",
    "RuleLabeler": "hilum.reports.rules",
    "RULES_VERSION": "hilum.reports.rules",
    "label": "hilum.reports.labeling",
    "DEFAULT_POLICY": "hilum.reports.policy",
    "POLICIES": "hilum.reports.policy",
    "Section": "hilum.reports.sectioning",
    "cut": "hilum.reports.sectioning",
    "mimic_conclusion": "hilum.reports.compatible",
    "report_text": "hilum.reports.policy",
    "study_text": "hilum.reports.policy",
    "sections": "hilum.reports.sectioning",
}

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from hilum.reports.agreement import Agreement as Agreement
    from hilum.reports.agreement import compare_labels as compare_labels
    from hilum.reports.compatible import mimic_conclusion as mimic_conclusion
    from hilum.reports.labeling import label as label
    from hilum.reports.labels import Evidence as Evidence
    from hilum.reports.labels import ReportLabels as ReportLabels
    from hilum.reports.policy import DEFAULT_POLICY as DEFAULT_POLICY
    from hilum.reports.policy import POLICIES as POLICIES
    from hilum.reports.policy import report_text as report_text
    from hilum.reports.policy import study_text as study_text
    from hilum.reports.rules import RULES_VERSION as RULES_VERSION
    from hilum.reports.rules import RuleLabeler as RuleLabeler
    from hilum.reports.sectioning import Section as Section
    from hilum.reports.sectioning import cut as cut
    from hilum.reports.sectioning import sections as sections


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'hilum.reports' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
