"""Prompts made of severity, subtype and location, for scoring classes that exclude each other (GLoRIA, CXR-CLIP)."""

from __future__ import annotations

import itertools
import random
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from hilum.errors import UsageError
from hilum.models.prompt_pooling import Pool, pooled_similarity

if TYPE_CHECKING:
    from hilum.models.model import Model

# right: spelled right, each prompt once. cxr-clip: its spelling, with its repeated prompts. gloria: its spelling, and the blanks
# that an empty part leaves at either end, which its similarity counts.
Style = Literal["right", "cxr-clip", "gloria"]
PARTS = ("severity", "subtype", "location")


def class_prompts(style: Style = "right") -> dict[str, list[str]]:
    """The prompts of Atelectasis, Cardiomegaly, Consolidation, Edema and Pleural Effusion, in this order.

    The phrases of Cardiomegaly are our own: the releases' are not free to use. All others are those of the releases.

    Raises:
        UsageError: an unknown style.

    Example:
        >>> prompts = class_prompts("cxr-clip")
        >>> [len(texts) for texts in prompts.values()]
        [210, 15, 192, 18, 54]
        >>> prompts["Pleural Effusion"][10]
        'small left subpulmonic pleural effusion'
    """
    if style not in get_args(Style):
        raise UsageError(f"prompts in the style {style!r}; expected one of {', '.join(get_args(Style))}.")
    content = tomllib.loads((files("hilum.models") / "prompts" / "classes" / "five.toml").read_text(encoding="utf-8"))
    spelled: dict[str, str] = content.pop("released").get(style, {})
    made = {}
    for finding, parts in content.items():
        choices = [[spelled.get(phrase, phrase) for phrase in parts[part]] for part in parts]
        texts = [" ".join(chosen) for chosen in itertools.product(*choices)]
        if style != "gloria":
            texts = [text.strip() for text in texts]
        made[finding] = list(dict.fromkeys(texts)) if style == "right" else texts
    return made


def sampled_prompts(prompts: Mapping[str, Sequence[str]], most: int, draws: random.Random) -> dict[str, list[str]]:
    """At most so many prompts of each class, drawn without replacement, class by class (GLoRIA takes 5, seed 6)."""
    return {finding: draws.sample(list(texts), min(most, len(texts))) for finding, texts in prompts.items()}


def class_scores(
    model: Model, image_vectors: np.ndarray, prompts: Mapping[str, Sequence[str]], pool: Pool = "mean"
) -> np.ndarray:
    """How similar images are to classes; the class of an image is the one with the largest score.

    Args:
        model: with a text tower.
        image_vectors: (N, D) unit rows, of the same model.
        prompts: class -> prompts.
        pool: how a class's prompts are put together; CXR-CLIP averages similarities.

    Returns:
        (N, C) float32, columns in the order of `prompts`.
    """
    texts = list(dict.fromkeys(text for of_class in prompts.values() for text in of_class))
    vectors = dict(zip(texts, model.embed_texts(texts), strict=True)) if texts else {}
    return pooled_similarity(image_vectors, [np.array([vectors[t] for t in of]) for of in prompts.values()], pool)
