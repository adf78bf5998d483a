"""The different report texts of an archive, each with its vector, for finding the reports that fit an image."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from hilum.archive import Archive
from hilum.models import Model
from hilum.models.model import unit_rows
from hilum.tasks.search.hits import ReportHit
from hilum.tasks.search.vectors import ExactVectors
from hilum.tasks.text_cache import study_texts, text_vectors


class ReportGallery:
    """Equal texts are one text: without that, "No acute process." would fill the first places.

    Args:
        archive: whose reports; texts that are not embedded yet are embedded now, and not kept.
        model: an image-text model.
    """

    def __init__(self, archive: Archive, model: Model) -> None:
        studies, texts = study_texts(archive)
        self.studies_of: dict[str, list[str]] = {}  # text -> the studies that have it
        for study, text in zip(studies, texts, strict=True):
            self.studies_of.setdefault(text, []).append(study)
        self.texts = list(self.studies_of)
        self.vectors = ExactVectors(unit_rows(text_vectors(model, archive, self.texts, keep=False)))

    def nearest(self, query: np.ndarray, k: int, allowed: Set[str] | None, own: str | None) -> list[ReportHit]:
        """The k texts nearest to an image.

        Args:
            query: (D,) the image's unit vector.
            k: how many.
            allowed: studies whose texts may be found; default all.
            own: the image's own study.
        """
        found: list[ReportHit] = []
        may = None
        if allowed is not None:
            may = np.array([any(s in allowed for s in self.studies_of[text]) for text in self.texts], bool)
        for place, score in zip(*self.vectors.nearest(query, k, may), strict=True):
            text = self.texts[place]
            studies = [s for s in self.studies_of[text] if allowed is None or s in allowed]
            found.append(ReportHit(studies[0], text, float(score), len(studies), own in studies))
        return found
