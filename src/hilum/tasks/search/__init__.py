"""Search: text to image, image to image, image to report, and exact words, over one archive."""

from __future__ import annotations

from hilum.tasks.search.asking import asked_with
from hilum.tasks.search.browsing import Browser
from hilum.tasks.search.hits import Hit, ReportHit
from hilum.tasks.search.indexing import Indexed, index
from hilum.tasks.search.search import Search, by_words
from hilum.tasks.search.sheet import contact_sheet
from hilum.tasks.search.texts import texts_of

__all__ = [
    "Browser",
    "Hit",
    "Indexed",
    "ReportHit",
    "Search",
    "asked_with",
    "by_words",
    "contact_sheet",
    "index",
    "texts_of",
]
