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
    path = Path(name_or_file)
    if name_or_file == "hilum":
        text, suffix = (files("hilum.methods") / "prompt_banks" / "hilum.toml").read_text(encoding="utf-8"), ".toml"
    elif path.is_file():
        text, suffix = path.read_text(encoding="utf-8"), path.suffix
    else:
        raise UsageError(f"prompt_bank={name_or_file}: no such file. Give a .json or .toml file, or 'hilum'.")
    try:
        content = json.loads(text) if suffix == ".json" else tomllib.loads(text)
        return PromptBank(path.stem, _filled(content))
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, AttributeError, TypeError, KeyError) as error:
        raise UsageError(
            f"prompt_bank={name_or_file}: no prompt bank ({error}); expected finding -> pos, neg and unc sentences."
        ) from None


def _filled(content: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, tuple[str, ...]]]:
    templates = content.pop("templates", {})
    words = content.pop("words", {})
    bank = {canonical(name): {s: tuple(said.get(s, ())) for s in STATES} for name, said in content.items()}
    for name, known in words.items():
        filled = {s: tuple(_sentence(t, word) for t in templates[s] for word in known) for s in STATES}
        bank.setdefault(canonical(name), filled)
    return bank


def _sentence(template: str, word: str) -> str:
    text = template.replace("{}", word)
    return text[:1].upper() + text[1:]
