"""The labeler's own example sentences: run them wherever it is installed, and it says whether it reads as it should.

Each sentence is a whole report. `vocabulary/examples.csv` holds the sentences by phenomenon; every rule in
`vocabulary/cues.toml` carries examples for both of its sides. No Finding is only looked at in the group "No Finding logic".
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from hilum.errors import ReportError
from hilum.findings import CHEXPERT_NAMES, canonical
from hilum.reports.lexicon import load_lexicon
from hilum.reports.rules import RuleLabeler

NO_FINDING_GROUP = "No Finding logic"

# Sentences the rules are known to misread, each with what they say instead; docs/labeling.md explains them.
KNOWN_MISSES = frozenset(("Streaky density may be due to atelectasis.",))


@dataclass(frozen=True)
class Example:
    """A sentence, where it comes from, and the codes it should give (what is absent should stay blank)."""

    group: str
    sentence: str
    codes: dict[str, int]
    checks_no_finding: bool = False


@dataclass(frozen=True)
class Miss:
    """A sentence that was read otherwise: observation -> (expected, found)."""

    example: Example
    wrong: dict[str, tuple[int | None, int | None]]

    @property
    def is_known(self) -> bool:
        """Whether the documentation lists it."""
        return self.example.sentence in KNOWN_MISSES


def packaged_examples() -> Iterator[Example]:
    """Every example sentence that is installed with the labeler."""
    file = resources.files("hilum.reports") / "vocabulary" / "examples.csv"
    for row in csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))):
        codes = {name: int(row[name]) for name in CHEXPERT_NAMES if row[name]}
        yield Example(row["group"], row["sentence"], codes, row["group"] == NO_FINDING_GROUP)
    for cue in load_lexicon().cues:
        for text in cue.examples:
            yield parse_example(cue.id, text)


def parse_example(group: str, text: str) -> Example:
    """An example written as "sentence -> Edema 0, Pneumonia -1"; "-> nothing" where all should stay blank.

    Raises:
        ReportError: it is not written so.

    Example:
        >>> parse_example("demo", "No edema. -> Edema 0").codes
        {'Edema': 0}
    """
    sentence, arrow, said = text.rpartition("->")
    codes: dict[str, int] = {}
    for part in said.split(",") if said.strip() != "nothing" else ():
        match = re.fullmatch(r"(.+) (-1|0|1)", part.strip())
        if match is None or not arrow:
            raise ReportError(f"example {text!r} of {group!r}: expected 'sentence -> Observation 1, Observation -1'.")
        codes[canonical(match.group(1))] = int(match.group(2))
    return Example(group, sentence.strip(), codes, "No Finding" in codes)


def run_examples(labeler: RuleLabeler | None = None) -> tuple[int, list[Miss]]:
    """How many example sentences there are, and those read otherwise.

    Example:
        >>> n, misses = run_examples()
        >>> n > 200, all(miss.is_known for miss in misses)
        (True, True)
    """
    labeler = labeler or RuleLabeler()
    misses: list[Miss] = []
    n = 0
    for example in packaged_examples():
        n += 1
        found = labeler.label(example.sentence).codes()
        names = [name for name in found if name != "No Finding" or example.checks_no_finding]
        wrong = {
            name: (example.codes.get(name), found[name]) for name in names if example.codes.get(name) != found[name]
        }
        if wrong:
            misses.append(Miss(example, wrong))
    return n, misses
