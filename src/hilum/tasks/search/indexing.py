"""Build or refresh what makes an archive's searches quick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

from hilum.archive import Archive, ReportWords, VectorTable
from hilum.models import Model
from hilum.tasks.embedding import OnBatch, embed
from hilum.tasks.search.search import EXACT_BELOW
from hilum.tasks.text_cache import embed_reports

OnStep = Callable[[str], OnBatch]


@dataclass(frozen=True)
class Indexed:
    """What an archive's indexes hold now.

    Attributes:
        embedded: images embedded in this call.
        vectors: image vectors of the model; `vectors_indexed` of them are in the index (0: there is none).
        texts: different report texts with a vector; None for a model without a text tower.
        reports_indexed: reports in the index of words.
    """

    embedded: int
    vectors: int
    vectors_indexed: int
    texts: int | None
    reports_indexed: int

    def lines(self) -> list[str]:
        """It in words."""
        told = [f"{self.embedded:,} images embedded now, {self.vectors:,} vectors in all"]
        if self.vectors_indexed:
            told.append(f"vector index: {self.vectors_indexed:,} vectors")
        else:
            told.append(
                f"vector index: none; below {EXACT_BELOW:,} vectors all are compared, which is exact and as quick"
            )
        if self.texts is not None:
            told.append(f"report texts: {self.texts:,} different ones have a vector")
        told.append(f"index of words: {self.reports_indexed:,} reports")
        return told


def index(
    model: Model | str | PathLike[str],
    archive: Archive | str | PathLike[str],
    *,
    force: bool = False,
    batch_size: int = 64,
    on_step: OnStep | None = None,
) -> Indexed:
    """Embed what is new, and build or refresh the archive's indexes. Stopped and called again, it goes on.

    Args:
        model: the model, or its folder.
        archive: the archive, or its path.
        force: index the vectors even where there are fewer than `EXACT_BELOW`.
        batch_size: images at once in the tower.
        on_step: called with a step's name; what it gives is called with (done, all) after each batch.

    Raises:
        ArchiveError: the archive cannot be written.
    """
    model = model if isinstance(model, Model) else Model.load(model)
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)

    def step(name: str) -> OnBatch | None:
        return on_step(name) if on_step is not None else None

    embedded = embed(model, archive, batch_size=batch_size, on_batch=step("embed images"))
    texts = None
    if model.tokenizer is not None:
        texts = embed_reports(model, archive, on_batch=step("embed reports"))
    words = ReportWords(archive)
    words.index()
    vectors = VectorTable(archive, model.fingerprint)
    if force or len(vectors) >= EXACT_BELOW:
        vectors.index()
    return Indexed(embedded.new, len(vectors), vectors.n_indexed, texts, words.n_indexed)
