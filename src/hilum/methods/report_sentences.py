"""The sentences of a study's report, for methods that learn from one sentence at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hilum.reports import study_text
from hilum.reports.sectioning import CUT_NAMES
from hilum.reports.words import clean, sentences

SECTIONS = "sections"  # a text that is no policy: every section of the report, without its headers


def study_sentences(study: Mapping[str, Any], text: str, longer_than: int) -> list[str]:
    """Sentences as written, blanks and line ends apart, in the order of the report.

    Args:
        study: a row of an archive's studies.
        text: 'sections', or a text policy of `hilum.reports`. A report in which no section was found counts as one.
        longer_than: sentences of that many words or fewer are left out.

    Raises:
        ReportError: the policy is unknown.

    Example:
        >>> study = {"report": "...", "findings": "Lungs are clear. No large pleural effusion.", "impression": "Normal."}
        >>> study_sentences(study, "sections", longer_than=3)
        ['No large pleural effusion.']
    """
    if text == SECTIONS:
        parts = [part for name in CUT_NAMES if (part := (study.get(name) or "").strip())]
        parts = parts or [study_text(study, "whole")]
    else:
        parts = [study_text(study, text)]
    said = [" ".join(part[start:end].split()) for part in parts for start, end in sentences(clean(part))]
    return [sentence for sentence in said if len(sentence.split()) > longer_than]
