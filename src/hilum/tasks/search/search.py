"""Search an archive: by what is said, by a radiograph, by exact words in reports, or by several of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import lru_cache
from os import PathLike

import numpy as np
import pyarrow as pa

from hilum.archive import Archive
from hilum.errors import UsageError
from hilum.models import Model
from hilum.tasks.search.browsing import Browser
from hilum.tasks.search.fusion import reciprocal_rank_fusion
from hilum.tasks.search.hits import Hit, ReportHit
from hilum.tasks.search.vectors import ExactVectors
from hilum.tasks.search.view import View

EXACT_BELOW = 100_000  # 0.2 GB of 512 numbers each, compared in some 20 ms; an index is no faster by much
FUSED_AT_LEAST = 100  # ranks of each kind that are fused
TEXTS_KEPT = 1000  # embeddings of texts asked for, kept for those who type the same again


class Search:
    """A model's view of an archive, opened once and asked often; may be asked from several threads.

    Only images with an embedding are found by text or image (`missing` says how many have none; `hilum.embed` makes them).

    Args:
        model: an image-text model; one of images alone answers `by_image` only.
        archive: the archive, or its path.
        exact_below: embeddings; of fewer each is compared, of more the index (`hilum index`) chooses which, if there is one.

    Example:
        >>> search = Search("runs/chexzero", "archive")  # doctest: +SKIP
        >>> search.by_text("large left pleural effusion", k=5, where="view = 'pa'")  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model | str | PathLike[str],
        archive: Archive | str | PathLike[str],
        *,
        exact_below: int = EXACT_BELOW,
    ) -> None:
        self.model = loaded = model if isinstance(model, Model) else Model.load(model)
        self._path = str(archive.path if isinstance(archive, Archive) else archive)
        self._exact_below = exact_below
        self._refreshing = threading.Lock()
        self._view = View.of(Archive.open(self._path), self.model.fingerprint, exact_below)
        # Of the model alone: a function that held this search would keep all its vectors when it is dropped.
        self._embedded = lru_cache(TEXTS_KEPT)(lambda text: loaded.embed_texts([text])[0])

    @property
    def archive(self) -> Archive:
        """The archive as this search sees it: a handle of its own, at one version until `refresh`."""
        return self._view.gallery.archive

    @property
    def images(self) -> int:
        """How many images the archive has."""
        return len(self._view.gallery)

    @property
    def embedded(self) -> int:
        """How many of them this model has embedded, and so can be found by text or image."""
        return int((self._view.place >= 0).sum())

    @property
    def missing(self) -> int:
        """How many of them it has not embedded."""
        return self.images - self.embedded

    @property
    def is_exact(self) -> bool:
        """Whether every embedding is compared, and so no neighbor can be missed."""
        return isinstance(self._view.vectors, ExactVectors)

    def refresh(self) -> None:
        """See images, labels, reports and embeddings that were added since. Questions asked meanwhile see the older state."""
        with self._refreshing:
            self._view = View.of(Archive.open(self._path), self.model.fingerprint, self._exact_below, self._view)

    def by_text(self, text: str, *, k: int = 20, where: str | None = None, words: str | None = None) -> list[Hit]:
        """The images nearest to a text.

        Args:
            text: in the words of a report ("large right pleural effusion").
            k: how many.
            where: a filter on images and labels (`hilum.tasks.search.filters`).
            words: also look for these words in the reports; both rankings are fused.

        Raises:
            UsageError: the text is empty, or the filter cannot be understood.
            ModelError: the model has no text tower.
        """
        _require(k)
        if not text.strip():
            raise UsageError(
                'there is no text to search for. For example: hilum search MODEL ARCHIVE "pleural effusion"'
            )
        view = self._view
        allowed = view.gallery.allowed(where)
        query = self._embedded(text.strip())
        if words is None:
            return view.nearest(query, k, allowed, "text")
        depth = max(FUSED_AT_LEAST, 5 * k)
        near = view.nearest(query, depth, allowed, "text")
        said = view.browser.with_words(words, depth, allowed)
        return _fused(near, said, k)

    def by_image(
        self,
        pixels: np.ndarray | None = None,
        *,
        image_id: str | None = None,
        k: int = 20,
        where: str | None = None,
    ) -> list[Hit]:
        """The images nearest to a radiograph; one of the archive is left out of its own results.

        Args:
            pixels: (H, W) uint8 gray, as `hilum.imaging.read_image` gives them; or
            image_id: one of the archive.
            k: how many.
            where: a filter on images and labels.

        Raises:
            UsageError: both or neither is given, the image is not in the archive, or the filter cannot be understood.
        """
        _require(k)
        view = self._view
        query, place = view.image(self.model, pixels, image_id)
        allowed = view.gallery.allowed(where)
        if place is not None:
            allowed = np.ones(len(view.gallery), bool) if allowed is None else allowed.copy()
            allowed[place] = False
        return view.nearest(query, k, allowed, "image")

    def reports(
        self,
        pixels: np.ndarray | None = None,
        *,
        image_id: str | None = None,
        k: int = 5,
        where: str | None = None,
    ) -> list[ReportHit]:
        """The report texts nearest to a radiograph, equal texts as one.

        Texts that have no vector in the archive are embedded at the first question, which may take a while, and kept in
        memory alone (`hilum.tasks.embed_reports` keeps them in the archive).

        Args:
            pixels: (H, W) uint8 gray; or
            image_id: one of the archive, whose own report may be among the results (`is_own`).
            k: how many texts.
            where: a filter on images: reports of studies that have such an image.

        Raises:
            UsageError: both or neither is given, the image is not in the archive, or the filter cannot be understood.
            ModelError: the model has no text tower.
        """
        _require(k)
        view = self._view
        query, place = view.image(self.model, pixels, image_id)
        allowed = view.gallery.allowed(where)
        study_of_image = view.gallery.column("study_id")
        studies = None if allowed is None else set(study_of_image.filter(pa.array(allowed)).to_pylist())
        own = None if place is None else study_of_image[place].as_py()
        return view.report_gallery(self.model).nearest(query, k, studies, own)

    def by_words(self, words: str, *, k: int = 20, where: str | None = None) -> list[Hit]:
        """The images of the studies whose reports have all these words.

        Args:
            words: words, and phrases in double quotes; capitals do not matter.
            k: how many images.
            where: a filter on images and labels.

        Raises:
            UsageError: there is no word, or the filter cannot be understood.
        """
        _require(k)
        return self._view.browser.by_words(words, k=k, where=where)


def by_words(archive: Archive | str | PathLike[str], words: str, k: int = 20, where: str | None = None) -> list[Hit]:
    """The images of the studies whose reports have all these words; no model is needed.

    Args:
        archive: the archive, or its path.
        words: words, and phrases in double quotes; capitals do not matter.
        k: how many images.
        where: a filter on images and labels.

    Raises:
        UsageError: there is no word, or the filter cannot be understood.
    """
    _require(k)
    archive = archive if isinstance(archive, Archive) else Archive.open(archive)
    return Browser(archive).by_words(words, k=k, where=where)


def _fused(near: list[Hit], said: list[Hit], k: int) -> list[Hit]:
    by_id = {hit.image_id: hit for hit in (*said, *near)}
    both = {hit.image_id for hit in near} & {hit.image_id for hit in said}
    ranked = reciprocal_rank_fusion([[h.image_id for h in near], [h.image_id for h in said]])
    return [
        replace(by_id[image], score=score, found_by="text+words" if image in both else by_id[image].found_by)
        for image, score in ranked[:k]
    ]


def _require(k: int) -> None:
    if k < 1:
        raise UsageError(f"k is {k}; ask for at least 1 result.")
