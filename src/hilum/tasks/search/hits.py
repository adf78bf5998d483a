"""What a search gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Hit:
    """One image found.

    Attributes:
        image_id: the image; `study_id` its study, None where it has none.
        row: its place in the archive, to ask `Archive.pixels` for.
        score: by embeddings the cosine, -1 to 1; by words their BM25 weight, above 0; by both the sum of 1 / (60 + rank).
            Scores of different kinds, or of different models, cannot be compared.
        view: pa, ap, ap_supine, lateral or unknown.
        split, sex, age_years: None where not given.
        found_by: "text", "image" or "words"; "text+words" for an image that both found.
    """

    image_id: str
    study_id: str | None
    row: int
    score: float
    view: str
    split: str | None
    sex: str | None
    age_years: float | None
    found_by: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class ReportHit:
    """One report found for an image.

    Attributes:
        study_id: the study that the report is of; of several studies with the same text the first.
        text: the part of the report that stands for it, by the archive's text policy.
        score: cosine of the image and the text, -1 to 1.
        copies: how many studies have exactly this text.
        is_own: whether the image's own study is one of them.
    """

    study_id: str
    text: str
    score: float
    copies: int = 1
    is_own: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
