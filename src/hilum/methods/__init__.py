"""Pretraining methods: one file each. To add one: a file with a recipe and a method class, and a line in `METHODS`.

What a method is, is said in `hilum.methods.method`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hilum.errors import UsageError
from hilum.methods.chexzero import CheXzero, CheXzeroMethod
from hilum.methods.convirt import ConVIRT, ConVIRTMethod
from hilum.methods.cxr_clip import CXRCLIP, CXRCLIPMethod
from hilum.methods.gloria import GLoRIA, GLoRIAMethod
from hilum.methods.imagenet import ImageNet, imagenet_baseline
from hilum.methods.medaug import MedAug, MedAugMethod
from hilum.methods.method import Method, Share
from hilum.methods.moco_cxr import MoCoCXR, MoCoCXRMethod
from hilum.methods.ranks import ALONE, Ranks
from hilum.methods.recipe import Recipe
from hilum.methods.refers import Refers, RefersMethod
from hilum.methods.s2mts2 import S2MTS2, S2MTS2Method
from hilum.models import Model


@dataclass(frozen=True)
class Entry:
    """A method, its recipe, and one line about it; a baseline that is not trained has `baseline` in place of `method`."""

    method: type[Method[Any, Any, Any]] | None
    recipe: type[Recipe]
    summary: str
    baseline: Callable[[Any], Model] | None = None


METHODS: dict[str, Entry] = {
    "moco-cxr": Entry(MoCoCXRMethod, MoCoCXR, "two augmentations of a radiograph, told from a queue of others"),
    "medaug": Entry(MedAugMethod, MedAug, "two images of a patient, told from a queue of others"),
    "s2mts2": Entry(
        S2MTS2Method, S2MTS2, "a view of a radiograph, told from a queue, against the spread of many other views"
    ),
    "gloria": Entry(
        GLoRIAMethod,
        GLoRIA,
        "a radiograph and a sentence as wholes, and the regions of one against the words of the other",
    ),
    "refers": Entry(RefersMethod, Refers, "three views of a study, told from other reports; and its report, written"),
    "convirt": Entry(ConVIRTMethod, ConVIRT, "a radiograph and a sentence of its report, told from those of others"),
    "chexzero": Entry(
        CheXzeroMethod, CheXzero, "CLIP finetuned on image and impression; zero-shot by a pair of prompts"
    ),
    "cxr-clip": Entry(
        CXRCLIPMethod, CXRCLIP, "two views and two texts of a study; labels become texts where reports lack"
    ),
    "imagenet": Entry(None, ImageNet, "no training: the baseline's features", imagenet_baseline),
}


def find_method(name: str) -> Entry:
    """The method of this name.

    Raises:
        UsageError: there is none; the closest is named.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UsageError(f"no method '{name}'.{hint} There are: {', '.join(METHODS)}.")
    return METHODS[name]


__all__ = [
    "ALONE",
    "METHODS",
    "CheXzero",
    "CheXzeroMethod",
    "Entry",
    "Method",
    "Ranks",
    "Recipe",
    "Share",
    "find_method",
]
