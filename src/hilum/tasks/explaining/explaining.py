"""Where in an image a model looks for a phrase."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from hilum.errors import UsageError
from hilum.findings import find
from hilum.models.gloria import GloriaEncoder
from hilum.models.head import Head
from hilum.models.model import Model
from hilum.models.zero_shot import PromptSet, load_prompts
from hilum.tasks.explaining.gradients import gradient_map
from hilum.tasks.explaining.heatmap import CoarseMap, Heatmap, onto_image
from hilum.tasks.explaining.patches import patch_map
from hilum.tasks.explaining.question import HeadQuestion, Question, TextQuestion
from hilum.tasks.explaining.rollout import rollout_map
from hilum.tasks.explaining.words import attention_map, word_map

# words: GLoRIA's similarity of words and regions. attention: what GLoRIA's two softmaxes make of it. gradient: gradient times
# activation of the last grid, for every tower and head. patches: cosine of a vision transformer's patches with the text.
# rollout: its attention through all layers, whatever is asked.
Way = Literal["words", "attention", "gradient", "patches", "rollout"]
WAYS: tuple[Way, ...] = get_args(Way)
NORMAL = "No Finding"  # whose prompts stand for what a phrase is asked against


def explain(
    model: Model,
    pixels: np.ndarray,
    phrase: str,
    *,
    how: str = "auto",
    against: str | None = None,
    head: Head | None = None,
    prompts: PromptSet | None = None,
) -> Heatmap:
    """Where in an image a model looks for a phrase.

    A text is asked for against what is said of normal radiographs: the map shows what speaks for the phrase rather than for
    them. A cosine alone also rises with whatever all reports have in common, and so do its maps.

    Args:
        model: image-text, or any with a `head`.
        pixels: (H, W) uint8 gray.
        phrase: a finding or free text; with a head one of its names. A finding is asked for by its prompts.
        how: one of `WAYS`; "auto": words for GLoRIA, else gradient.
        against: a text whose similarity is subtracted from the phrase's, such as "no pleural effusion"; "": none. Default: the
            prompts of a normal radiograph; of these themselves, the findings that they are set against.
        head: of a probe or finetuned model, which then answers in place of a text.
        prompts: what findings are asked for with; default CheXzero's.

    Raises:
        UsageError: an unknown `how`, one that does not fit the model, or an empty phrase.
        ModelError: pixels are not an 8-bit gray image, the model has neither text tower nor head, or the head knows no such
            finding.
    """
    if not phrase.strip():
        raise UsageError("the phrase is empty; name a finding or what to look for, such as 'left pleural effusion'.")
    if how not in ("auto", *WAYS):
        raise UsageError(f"how is {how!r}; expected auto, {', '.join(WAYS)}.")
    square = torch.from_numpy(model.preprocess.squares(pixels))
    asked, opposed, told = _texts(phrase, against, prompts or load_prompts())
    if head is not None:
        question: Question = HeadQuestion.of(head, phrase)
        asked, opposed, told = [], [], ""
    else:
        question = TextQuestion.of(model, asked, opposed)
    if how == "auto":
        how = "words" if isinstance(model.encoder, GloriaEncoder) and head is None else "gradient"
    coarse = _map(model, square, question, asked, opposed, how)
    values = onto_image(coarse.values, coarse.lattice, model.preprocess.placement(*pixels.shape), pixels.shape)
    low = float(np.nanmedian(values)) if coarse.low is None else coarse.low
    if how in ("attention", "rollout"):
        told = ""  # of the score alone
    return Heatmap(values, phrase, how, coarse.score, low, max(low, float(np.nanmax(values))), told, coarse.note)


def _texts(phrase: str, against: str | None, prompts: PromptSet) -> tuple[list[str], list[str], str]:
    """What is asked for, what against, and how that is told."""
    finding = find(phrase)
    asked = [phrase] if finding is None else prompts.prompts(finding.name)[0]
    if against is not None:
        return (asked, [against], f"“{against}”") if against else (asked, [], "")
    normal, abnormal = load_prompts().prompts(NORMAL)  # not every set has words for a normal radiograph
    if finding is not None and finding.name == NORMAL:
        return asked, abnormal, "abnormal radiographs"
    return asked, normal, "normal radiographs"


def _map(model: Model, square: Tensor, question: Question, asked: list[str], opposed: list[str], how: str) -> CoarseMap:
    if how == "gradient":
        return gradient_map(model, square, question)
    if how == "rollout":
        return rollout_map(model, square, question)
    if isinstance(question, HeadQuestion):
        raise UsageError(f"how={how!r} compares an image with a text, and a head has none. Use how='gradient'.")
    if how == "words":
        return word_map(model, square, asked, opposed, question)
    return attention_map(model, square, asked, question) if how == "attention" else patch_map(model, square, question)
