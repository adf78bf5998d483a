"""Draft an impression from reports that were written about other images (CXR-RePaiR)."""

from __future__ import annotations

from hilum.tasks.composing.asked import Asked, Own, asked_image, own_of, owner_of
from hilum.tasks.composing.corpus import Corpus
from hilum.tasks.composing.drafting import NOTICE, WAYS, Draft, DraftSentence, compose, compose_many

__all__ = [
    "NOTICE",
    "WAYS",
    "Asked",
    "Corpus",
    "Draft",
    "DraftSentence",
    "Own",
    "asked_image",
    "compose",
    "compose_many",
    "own_of",
    "owner_of",
]
