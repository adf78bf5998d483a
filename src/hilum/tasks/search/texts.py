"""What the reports of found images say, to be shown beside them."""

from __future__ import annotations

from collections.abc import Iterable

from hilum.archive import SECTIONS, Archive
from hilum.reports import study_text


def texts_of(archive: Archive, study_ids: Iterable[str | None]) -> dict[str, str]:
    """The part of each report that stands for it by the archive's text policy, on one line; studies without one are left out.

    Args:
        archive: whose reports.
        study_ids: a page of results, not a whole archive.
    """
    wanted = {study for study in study_ids if study is not None}
    if not wanted:
        return {}
    quoted = ", ".join("'" + study.replace("'", "''") + "'" for study in sorted(wanted))
    texts = {}
    for study in archive.studies(["study_id", "report", *SECTIONS], where=f"study_id IN ({quoted})").to_pylist():
        text = study_text(study, archive.manifest.text_policy)
        if text.strip():
            texts[study["study_id"]] = " ".join(text.split())
    return texts
