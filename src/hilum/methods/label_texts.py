"""Texts made from labels, so that datasets without reports train beside those with (You et al. 2023, section 2.2)."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from hilum.errors import UsageError
from hilum.findings import canonical

STATES = ("pos", "neg", "unc")
NOTHING = "No Finding"


@dataclass(frozen=True)
class PromptBank:
    """Sentences for a finding that is there ("pos"), is not ("neg"), or may be ("unc").

    Attributes:
        name: how it is named in a model card.
        sentences: finding -> state -> sentences; the first is the one of a fixed choice.
    """

    name: str
    sentences: Mapping[str, Mapping[str, tuple[str, ...]]]

    def sentence(self, finding: str, state: str, draws: random.Random | None) -> str:
        """One sentence: drawn, or the first; empty where the bank has none.

        Raises:
            UsageError: the bank does not know the finding.
        """
        known = self.sentences.get(finding)
        if known is None:
            raise UsageError(
                f"prompt bank {self.name} has no sentences for '{finding}'; it knows {', '.join(self.sentences)}. "
                "Give a bank of your own: --set prompt_bank=FILE"
            )
        choices = known.get(state, ())
        if not choices:
            return ""
        return draws.choice(choices) if draws is not None else choices[0]

    def can_say(self, finding: str, state: str) -> bool:
        """Whether there is a sentence for it."""
        return any(self.sentences.get(finding, {}).get(state, ()))

    def all(self) -> list[str]:
        """Every sentence once."""
        said = (one for states in self.sentences.values() for choices in states.values() for one in choices)
        return [one for one in dict.fromkeys(said) if one]


@dataclass(frozen=True)
class Stated:
    """What labels say of an image: findings that are there, are not, and may be."""

    pos: tuple[str, ...] = ()
    neg: tuple[str, ...] = ()
    unc: tuple[str, ...] = ()


def text_of_labels(stated: Stated, bank: PromptBank, draws: random.Random | None, negatives: int | None = None) -> str:
    """A text that says what the labels say.

    In training one sentence for each finding, in random order. A fixed choice (`draws` None) names what is there alone, in its
    order, and `No Finding` where nothing is.

    Args:
        stated: the labels.
        bank: the sentences.
        draws: choices and order; None: a fixed choice.
        negatives: at most so many of the findings that are not there, drawn anew each time (ChestX-ray14, whose labels
            deny whatever they do not name: 3); None: all.

    Example:
        >>> text_of_labels(Stated(pos=("Edema", "Pneumonia")), load_bank(), None)
        'Edema. Pneumonia.'
    """
    if draws is None:
        said = [bank.sentence(finding, "pos", None) for finding in stated.pos or (NOTHING,)]
        return " ".join(sentence for sentence in said if sentence)
    denied: Sequence[str] = stated.neg
    if negatives is not None:
        denied = draws.sample(sorted(stated.neg), min(negatives, len(stated.neg)))
    chosen = [
        bank.sentence(finding, state, draws)
        for state, findings in zip(STATES, (stated.pos, denied, stated.unc), strict=True)
        for finding in findings
    ]
    said = [sentence for sentence in chosen if sentence]
    draws.shuffle(said)
    return " ".join(said)


def load_bank(name_or_file: str = "hilum") -> PromptBank:
    """The packaged prompt bank, or one's own file.

    A `.json` file holds finding -> {"pos": [...], "neg": [...], "unc": [...]}, as CXR-CLIP's does (which may not be used
    commercially and is not part of hilum). A `.toml` file may instead hold `[templates]` and `[words]`, as the packaged one.

    Raises:
        UsageError: no such file, or it is no prompt bank.
    """
    packaged = files("hilum.methods") / "prompt_banks" / "hilum.toml"
    file = packaged if name_or_file == "hilum" else Path(name_or_file)
    if not file.is_file():
        raise UsageError(f"prompt_bank={name_or_file}: no such file. Give a .json or .toml file, or 'hilum'.")
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.name.endswith(".json") else tomllib.loads(text)
        bank = PromptBank(Path(name_or_file).stem, _filled(content))
    except (ValueError, AttributeError, TypeError, KeyError) as error:  # broken JSON, TOML and UTF-8 are ValueErrors
        raise UsageError(
            f"prompt_bank={name_or_file}: no prompt bank ({error}); expected finding -> pos, neg and unc, each a list of sentences."
        ) from None
    if not bank.can_say(NOTHING, "pos"):
        raise UsageError(
            f"prompt_bank={name_or_file}: no sentence says '{NOTHING}'; a study in which nothing is found needs one: "
            f'["{NOTHING}"] pos = [...]'
        )
    return bank


def _filled(content: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, tuple[str, ...]]]:
    templates = {state: _strings("templates", said) for state, said in content.pop("templates", {}).items()}
    words = content.pop("words", {})
    bank = {canonical(name): {s: _strings(name, said.get(s, [])) for s in STATES} for name, said in content.items()}
    for name, known in words.items():
        said = {s: tuple(_sentence(t, word) for t in templates[s] for word in _strings(name, known)) for s in STATES}
        bank.setdefault(canonical(name), said)
    return bank


def _strings(name: str, value: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{name}: {value!r} is no list of sentences")
    return tuple(value)


def _sentence(template: str, word: str) -> str:
    text = template.replace("{}", word)
    return text[:1].upper() + text[1:]
