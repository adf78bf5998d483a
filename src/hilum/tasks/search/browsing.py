"""What can be asked of an archive without a model: filters, and exact words in reports."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from hilum.archive import Archive
from hilum.tasks.search.gallery import Gallery
from hilum.tasks.search.hits import Hit
from hilum.tasks.search.words import Reports


class Browser:
    """An archive at the version that its handle reads, opened once and asked often; may be asked from several threads.

    Args:
        archive: whose images and reports. Its handle should not be refreshed under a browser: make another of each.

    Example:
        >>> Browser(hilum.Archive.open("archive")).count("view = 'lateral'")  # doctest: +SKIP
        673
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.gallery = Gallery(archive)
        self.reports = Reports(archive)

    def __len__(self) -> int:
        """How many images."""
        return len(self.gallery)

    def count(self, where: str | None = None) -> int:
        """How many images a filter holds for.

        Raises:
            UsageError: the filter cannot be understood.
        """
        allowed = self.gallery.allowed(where)
        return len(self.gallery) if allowed is None else int(allowed.sum())

    def every(self, *, k: int = 20, where: str | None = None, skip: int = 0) -> list[Hit]:
        """Images in the archive's order, with score 0.

        Args:
            k: how many at most.
            where: a filter on images and labels.
            skip: leave out so many first ones, for the next page.

        Raises:
            UsageError: the filter cannot be understood.
        """
        allowed = self.gallery.allowed(where)
        places = np.arange(len(self.gallery)) if allowed is None else np.flatnonzero(allowed)
        places = places[skip : skip + k]
        return self.gallery.hits(places, np.zeros(len(places)), "filter")

    def by_words(self, words: str, *, k: int = 20, where: str | None = None) -> list[Hit]:
        """The images of the studies whose reports have all these words.

        Args:
            words: words, and phrases in double quotes; capitals do not matter.
            k: how many images at most.
            where: a filter on images and labels.

        Raises:
            UsageError: there is no word, or the filter cannot be understood.
        """
        return self.with_words(words, k, self.gallery.allowed(where))

    def with_words(self, words: str, k: int, allowed: np.ndarray | None) -> list[Hit]:
        """As `by_words`, of the images that an (N,) mask allows."""
        studies, weights = self.reports.with_words(words)
        found = pc.index_in(self.gallery.column("study_id"), value_set=studies)
        rank = pc.fill_null(found, -1).to_numpy(zero_copy_only=False)  # (N,) of each image's study; -1: not found
        places = np.flatnonzero(rank >= 0 if allowed is None else (rank >= 0) & allowed)
        places = places[np.argsort(rank[places], kind="stable")][:k]
        return self.gallery.hits(places, weights[rank[places]], "words")
