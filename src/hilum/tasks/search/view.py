"""All that a question needs, at one version of an archive."""

from __future__ import annotations

import threading

import numpy as np

from hilum.archive import Archive, VectorTable
from hilum.errors import UsageError
from hilum.models import Model
from hilum.tasks.search.browsing import Browser
from hilum.tasks.search.hits import Hit
from hilum.tasks.search.report_gallery import ReportGallery
from hilum.tasks.search.vectors import ExactVectors, Vectors


class View:
    """Images, reports and one model's vectors; a search replaces its view whole, so that no question sees half of two.

    Args:
        browser: images and reports.
        table: the model's vectors in the archive.
        vectors: the same, ready to be searched.
    """

    def __init__(self, browser: Browser, table: VectorTable, vectors: Vectors) -> None:
        self.browser, self.gallery = browser, browser.gallery
        self.table, self.vectors = table, vectors
        self.place = self.gallery.places(table.image_ids())  # (V,) of each vector its image's place; -1: not there
        self._report_gallery: ReportGallery | None = None
        self._reading = threading.Lock()

    @classmethod
    def of(cls, archive: Archive, fingerprint: str, exact_below: int, older: View | None = None) -> View:
        """The view of an archive now; what has not changed since an older view is taken from it."""
        table = VectorTable(archive, fingerprint)
        browser = None
        if older is not None and archive.versions == older.browser.archive.versions:
            if table.version == older.table.version:
                return older
            browser = older.browser
        vectors: Vectors
        if len(table) >= exact_below and table.n_indexed:
            vectors = table
        elif older is not None and isinstance(older.vectors, ExactVectors) and len(older.vectors):
            # Vectors are only ever added, so that those read before are the first of those there are now.
            vectors = ExactVectors(np.concatenate([older.vectors.units, table.units(len(older.vectors))]))
        else:
            vectors = ExactVectors(table.units())
        return cls(browser or Browser(archive), table, vectors)

    def nearest(self, query: np.ndarray, k: int, allowed: np.ndarray | None, found_by: str) -> list[Hit]:
        """The images nearest to a unit vector.

        Raises:
            UsageError: no image has a vector.
        """
        if not len(self.vectors) and len(self.gallery):
            raise UsageError(
                f"none of the archive's {len(self.gallery):,} images is embedded by this model yet. Do that first: "
                "hilum embed MODEL ARCHIVE"
            )
        there = None if allowed is None else allowed[self.place] & (self.place >= 0)
        places, cosines = self.vectors.nearest(query, k, there)
        found = self.place[places]
        return self.gallery.hits(found[found >= 0], cosines[found >= 0], found_by)

    def image(self, model: Model, pixels: np.ndarray | None, image_id: str | None) -> tuple[np.ndarray, int | None]:
        """The unit vector of an image, and its place when it is one of the archive.

        Raises:
            UsageError: both or neither is given, or there is no such image.
        """
        if (pixels is None) == (image_id is None):
            raise UsageError("give the pixels of an image, or the id of one in the archive: one of the two.")
        if pixels is not None:
            return model.embed_images(pixels)[0], None
        assert image_id is not None
        place = self.gallery.place(image_id)
        there = np.flatnonzero(self.place == place)
        if len(there):
            return self.vectors.vector(int(there[0])), place
        return model.embed_images(self.gallery.archive.pixels([self.gallery.rows[place]]))[0], place

    def report_gallery(self, model: Model) -> ReportGallery:
        """The reports with their vectors, read or made at the first question."""
        with self._reading:
            if self._report_gallery is None:
                self._report_gallery = ReportGallery(self.gallery.archive, model)
            return self._report_gallery
