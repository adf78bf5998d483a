"""Pretraining methods: one file each. To add one: a file with a recipe and a method class, and a line in `METHODS`.

A method is an `nn.Module` that builds its towers from a recipe and says
`collect(archive, split)` what its examples are, `read(examples, picks, rng)` how a batch of them looks,
`forward(batch, ...)` what their named losses are, and `model(provenance)` what is exported.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from hilum.errors import UsageError
from hilum.methods.chexzero import CheXzero, CheXzeroMethod
from hilum.methods.recipe import Recipe


@dataclass(frozen=True)
class Entry:
    """A method, its recipe, and one line about it."""

    method: type[CheXzeroMethod]
    recipe: type[CheXzero]
    summary: str


METHODS: dict[str, Entry] = {
    "chexzero": Entry(
        CheXzeroMethod, CheXzero, "CLIP finetuned on image and impression; zero-shot by a pair of prompts"
    ),
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


__all__ = ["METHODS", "CheXzero", "CheXzeroMethod", "Entry", "Recipe", "find_method"]
