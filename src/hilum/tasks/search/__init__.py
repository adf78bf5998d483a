"""Search: text to image, image to image, image to report, and exact words, over one archive."""

from __future__ import annotations

from hilum.tasks.search.browsing import Browser
from hilum.tasks.search.hits import Hit, ReportHit
from hilum.tasks.search.search import Search, by_words

__all__ = ["Browser", "Hit", "ReportHit", "Search", "by_words"]
