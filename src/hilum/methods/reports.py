"""The texts of studies, as image-text methods use them."""

from __future__ import annotations

from typing import Any

from hilum.errors import TrainingError
from hilum.methods.method import Share
from hilum.reports import study_text


def study_texts(share: Share) -> dict[str, str]:
    """study_id -> the words of its report under the share's policy; empty where it has none.

    Raises:
        ReportError: the policy is unknown.
    """
    return {study["study_id"]: study_text(study, share.policy) for study in share.archive.studies().to_pylist()}


def refuse_no_texts(share: Share, split: str, without: int) -> None:
    """Say why an archive has no pair of image and text.

    Raises:
        TrainingError: always; with the images of each split and how many have no text.
    """
    archive = share.archive
    splits: list[dict[str, Any]] = archive.images(["split"])["split"].value_counts().to_pylist() if len(archive) else []
    found = ", ".join(f"{s['values']}: {s['counts']}" for s in splits) or "no images"
    raise TrainingError(
        f"{archive.path}: no image of the split '{split}' has a report text under the policy '{share.policy}' "
        f"(images by split: {found}; without text: {without}). An image-text method needs reports: ingest them, "
        "or choose another text with --set text_policy=both."
    )
