"""Which words carried a decision: each is left out in turn, and what the score of the decided state loses is its weight.

Zeiler and Fergus 2014, section 4.2 (there with image patches).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from hilum.findings import LabelValue
from hilum.reports.grid import BLANK, NO_FINDING, STATES
from hilum.reports.labels import Evidence, Span
from hilum.reports.neural.labeler import NeuralLabeler, NeuralLabels

RULE = "occlusion"

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE = re.compile(r"[^.!?]*(?:[.!?]+(?![\s)])[^.!?]*)*[.!?]*\s*")


@dataclass(frozen=True, slots=True)
class WordEvidence(Evidence):
    """Words that carried a decision.

    Attributes:
        weight: what the score of the decided state loses without them, in [0, 1].
    """

    weight: float = 0.0


def explain(labeler: NeuralLabeler, text: str, most: int = 3, smallest_weight: float = 0.05) -> NeuralLabels:
    """The labels of a report with the words that carried each of them, heaviest first.

    Neighboring words that both count are one piece of evidence. Findings that are not mentioned have none, and neither has
    No Finding, which rests on what a report does not say. It costs one forward pass a word.

    Args:
        labeler: the trained labeler.
        text: one report; spans count its characters.
        most: pieces of evidence of one finding.
        smallest_weight: of a word that counts.
    """
    labels = labeler.label(text)
    words = [found.span() for found in _WORD.finditer(text)]
    if not words or labels.note:
        return labels
    scores = labeler.predict([text, *(text[:start] + text[end:] for start, end in words)]).scores  # (1 + words, F, 4)
    evidence: list[WordEvidence] = []
    for column, finding in enumerate(labeler.findings):
        state = STATES.index(labels.values[finding])
        if state == BLANK or finding == NO_FINDING:
            continue
        lost = scores[0, column, state] - scores[1:, column, state]  # (words,)
        evidence += _pieces(finding, STATES[state], text, words, lost, most, smallest_weight)
    return replace(labels, evidence=tuple(evidence))


def _pieces(
    finding: str, value: LabelValue, text: str, words: list[Span], lost: np.ndarray, most: int, smallest: float
) -> list[WordEvidence]:
    runs: list[list[int]] = []
    for place in np.flatnonzero(lost >= smallest).tolist():
        if runs and place == runs[-1][-1] + 1 and not re.search(r"[.!?;]", text[words[place - 1][1] : words[place][0]]):
            runs[-1].append(place)
        else:
            runs.append([place])
    runs.sort(key=lambda run: -float(lost[run].max()))
    return [
        WordEvidence(
            finding,
            value,
            sentence=_sentence_around(text, words[run[0]][0]),
            mention=(words[run[0]][0], words[run[-1]][1]),
            cue=None,
            rule=RULE,
            weight=round(float(lost[run].max()), 4),
        )
        for run in runs[:most]
    ]


def _sentence_around(text: str, place: int) -> Span:
    """The sentence that holds a character, without the blanks around it."""
    start = end = 0
    for found in _SENTENCE.finditer(text):
        if found.end() > place:
            start, end = found.span()
            break
    stripped = text[start:end]
    return start + len(stripped) - len(stripped.lstrip()), start + len(stripped.rstrip())
