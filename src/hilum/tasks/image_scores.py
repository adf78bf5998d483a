"""What a model makes of one image, finding by finding, and where each score lies among those of an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.models import Model
from hilum.models.model import unit_rows
from hilum.models.prompt_pooling import Pool
from hilum.models.zero_shot import PromptSet, pooled_pair_scores, prompt_vectors

CHUNK = 8192  # images of the archive scored at a time


@dataclass(frozen=True)
class ImageScore:
    """A zero-shot score of one image for one finding.

    Attributes:
        finding: as it was named.
        score: softmax over the similarities to its positive and its negative prompts, in [0, 1]; not a probability.
        above: share of the archive's images that score lower, ties counting half; None where it cannot be told.
        positive, negative: the prompts.
    """

    finding: str
    score: float
    above: float | None
    positive: tuple[str, ...]
    negative: tuple[str, ...]


class ImageScorer:
    """Scores single images for the same findings again and again: its prompts are embedded once.

    Args:
        model: with a text tower.
        findings: names in plain language; any words.
        prompts: what is asked for them.
        pool: how several prompts of a side are put together.
        archive: whose embedded images a score is compared with; None leaves `above` out.

    Raises:
        UsageError: no finding, or a blank one.
        ModelError: the model has no text tower.

    Example:
        >>> ImageScorer(model, ["pneumothorax"], load_prompts(), archive=archive)(pixels)[0].above  # doctest: +SKIP
        0.93
    """

    def __init__(
        self,
        model: Model,
        findings: Sequence[str],
        prompts: PromptSet,
        pool: Pool = "embedding",
        archive: Archive | None = None,
    ) -> None:
        if not findings or not all(finding.strip() for finding in findings):
            raise UsageError("name at least one finding, such as 'pleural effusion'; none may be blank.")
        self.model, self.findings, self.pool = model, tuple(findings), pool
        self.prompts = [prompts.prompts(finding) for finding in findings]
        self._positive, self._negative = prompt_vectors(model, self.findings, prompts)
        self._others: np.ndarray | None = None  # (N, C) the archive's scores, each column sorted
        kept = archive.embeddings(model.fingerprint) if archive is not None else None
        if kept is not None and len(kept.vectors):
            parts = [kept.vectors[first : first + CHUNK] for first in range(0, len(kept.vectors), CHUNK)]
            self._others = np.sort(np.concatenate([self.of_vectors(unit_rows(part)) for part in parts]), axis=0)

    @property
    def compared_with(self) -> int:
        """How many images of the archive a score is compared with."""
        return 0 if self._others is None else len(self._others)

    def of_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """(N, D) unit rows of images to (N, C) scores."""
        return pooled_pair_scores(vectors, self._positive, self._negative, self.pool)

    def __call__(self, pixels: np.ndarray) -> list[ImageScore]:
        """The scores of one image, (H, W) uint8 gray, in the order of the findings."""
        scores = self.of_vectors(self.model.embed_images(pixels))[0]
        return [
            ImageScore(finding, float(scores[c]), self._above(c, scores[c]), tuple(asked), tuple(against))
            for c, (finding, (asked, against)) in enumerate(zip(self.findings, self.prompts, strict=True))
        ]

    def _above(self, column: int, score: float) -> float | None:
        if self._others is None:
            return None
        others = self._others[:, column]
        lower, not_higher = np.searchsorted(others, score, "left"), np.searchsorted(others, score, "right")
        return float(lower + not_higher) / (2 * len(others))
