"""The vocabulary and the cues of the rule labeler, read from TOML files and compiled into one phrase table."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from hilum.errors import ReportError
from hilum.findings import CHEXPERT_NAMES, canonical, suggest
from hilum.reports.words import TOKEN, Forms


class Role(IntEnum):
    """What an item of a sentence does; `vocabulary/cues.toml` explains each."""

    MENTION = 0
    STRUCTURE = 1
    NEGATES_AFTER = 2
    NEGATES_BEFORE = 3
    NEGATES_EITHER = 4
    DOUBTS_AFTER = 5
    DOUBTS_BEFORE = 6
    STRONGLY_DOUBTS_BEFORE = 7
    WEAKLY_DOUBTS_AFTER = 8
    WEAKLY_DOUBTS_BEFORE = 9
    ASSERTS = 10
    ENDS = 11
    PAUSES = 12
    CHANGE = 13
    ENLARGED = 14
    NORMAL = 15
    BORDERLINE = 16
    STABLE = 17
    LIMITED = 18
    OR = 19
    VERSUS = 20
    LOCATES = 21
    NONE = 22
    COMMA = 23
    AND = 24
    SLASH = 25
    NEGATES_NEAR = 26
    DOUBTS_UNLESS_DENIED = 27
    NEGATES_BESIDE = 28


_BY_NAME = {role.name.lower().replace("_", "-"): role for role in Role}


NEVER = "never"  # the rule of a phrase that only says what it does not name


class Sense(NamedTuple):
    """One meaning of a phrase: its role, the rule it comes from, and for mentions the observations it names."""

    role: Role
    rule: str
    observations: tuple[int, ...] = ()
    weak: bool = False
    suspects: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cue:
    """A rule of the cue file, with its example sentences."""

    id: str
    role: Role
    phrases: tuple[str, ...]
    examples: tuple[str, ...] = ()


@dataclass
class Lexicon:
    """Everything the engine looks up.

    Attributes:
        observations: column names: the 14, then findings of the user's own.
        table: first word -> [(number of words, the words after the first, senses)], longest first.
        openers: first words of phrases that name a finding or a structure; a sentence without one says nothing.
        not_near: observation index -> words that show that something else is meant.
        forms: every form of a word -> its one form.
        skip, verbs, transitive, alternatives: small words, see `vocabulary/words.toml`.
        anaphora: subjects, words that doubt, words that deny.
        cues: the cue rules as read.
    """

    observations: tuple[str, ...]
    table: dict[str, list[tuple[int, tuple[str, ...], tuple[Sense, ...]]]]
    openers: frozenset[str]
    not_near: dict[int, frozenset[str]]
    forms: Forms
    skip: frozenset[str]
    verbs: frozenset[str]
    transitive: frozenset[str]
    alternatives: frozenset[str]
    anaphora: tuple[frozenset[str], frozenset[str], frozenset[str]]
    cues: tuple[Cue, ...] = field(repr=False, default=())


OWN = ("findings.toml", "structures.toml")
CHEXPERT = ("chexpert.toml",)


def load_lexicon(extra: str | Path | Sequence[str | Path] | None = None, vocabulary: Sequence[str] = OWN) -> Lexicon:
    """The packaged vocabulary, with the user's own findings and cues added.

    Args:
        extra: one or more TOML files laid out like `findings.toml`, `structures.toml` or `cues.toml`. A [[finding]] with a
            known name adds to it; with a new name it becomes an observation of its own, after the 14.
        vocabulary: packaged files that name findings and structures.

    Raises:
        ReportError: a file is missing, is not TOML, or an entry is not understood.

    Example:
        >>> load_lexicon().observations[:2]
        ('No Finding', 'Enlarged Cardiomediastinum')
    """
    packaged = resources.files("hilum.reports") / "vocabulary"
    read = [
        (name, tomllib.loads((packaged / name).read_text(encoding="utf-8")))
        for name in (*vocabulary, "cues.toml", "words.toml")
    ]
    extras = [] if extra is None else [extra] if isinstance(extra, str | Path) else list(extra)
    read += [(str(path), _read_toml(Path(path))) for path in extras]
    return _compile(read)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path}: no such vocabulary file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReportError(f"{path} is not a TOML file in UTF-8: {error}.") from None
    unknown = set(content) - {"finding", "structure", "cue"}
    if unknown or not content:
        raise ReportError(
            f"{path}: expected [[finding]], [[structure]] or [[cue]] entries, found {', '.join(sorted(unknown)) or 'nothing'}."
        )
    return content


_KEYS = {
    "finding": {"name", "phrases", "weak", "suspects", "never", "not_near"},
    "structure": {"observations", "phrases", "never"},
    "cue": {"id", "role", "phrases", "examples"},
}


def _compile(read: list[tuple[str, dict[str, Any]]]) -> Lexicon:
    entries: dict[str, list[tuple[str, dict[str, Any]]]] = {"finding": [], "structure": [], "cue": []}
    words: dict[str, Any] = {}
    for place, content in read:
        for kind, found in content.items():
            if kind in entries:
                entries[kind] += [
                    (f"{place}, {kind} {i}", _checked(place, kind, i, entry)) for i, entry in enumerate(found, 1)
                ]
            else:
                words[kind] = found
    names = [*CHEXPERT_NAMES]
    for _, entry in entries["finding"]:
        entry["name"] = canonical(entry["name"])
        if entry["name"] not in names:
            names.append(entry["name"])
    index = {name: i for i, name in enumerate(names)}
    forms = Forms(
        words["forms"], _all_words(entries, words), words["spelling"]["words"], words["spelling"]["not_misspelled"]
    )
    skip = frozenset(words["skip"]["words"])

    senses: dict[tuple[str, ...], list[Sense]] = {}

    def add(phrase: str, sense: Sense) -> None:
        key = tuple(forms[word] for word in _words(phrase) if word not in skip)
        kept = senses.setdefault(key, [])
        if sense not in kept:
            kept.append(sense)

    not_near: dict[int, frozenset[str]] = {}
    for place, entry in entries["finding"]:
        i = index[entry["name"]]
        rule = "finding." + entry["name"].lower().replace(" ", "-")
        suspects = _indices(place, entry.get("suspects", ()), index)
        for weak, phrases in ((False, entry.get("phrases", ())), (True, entry.get("weak", ()))):
            for phrase in phrases:
                add(phrase, Sense(Role.MENTION, rule, (i,), weak, suspects))
        for phrase in entry.get("never", ()):
            add(phrase, Sense(Role.NONE, NEVER, (i,)))
        not_near[i] = not_near.get(i, frozenset()) | {forms[word] for word in entry.get("not_near", ())}
    for place, entry in entries["structure"]:
        at = _indices(place, entry["observations"], index)
        for phrase in entry["phrases"]:
            add(phrase, Sense(Role.STRUCTURE, "structure", at))
        for phrase in entry.get("never", ()):
            add(phrase, Sense(Role.NONE, NEVER, at))
    cues = []
    for place, entry in entries["cue"]:
        if entry["role"] not in _BY_NAME:
            raise ReportError(f"{place}: unknown role {entry['role']!r}; expected one of {', '.join(_BY_NAME)}.")
        cue = Cue(entry["id"], _BY_NAME[entry["role"]], tuple(entry["phrases"]), tuple(entry.get("examples", ())))
        cues.append(cue)
        for phrase in cue.phrases:
            add(phrase, Sense(cue.role, cue.id))
    add(",", Sense(Role.COMMA, ""))
    add("and", Sense(Role.AND, ""))
    add("as well as", Sense(Role.AND, ""))
    add("/", Sense(Role.SLASH, "doubt.slash"))

    table: dict[str, list[tuple[int, tuple[str, ...], tuple[Sense, ...]]]] = {}
    for key, kept in senses.items():
        if key:
            table.setdefault(key[0], []).append((len(key), key[1:], tuple(kept)))
    for options in table.values():
        options.sort(key=lambda option: -option[0])
    openers = frozenset(
        key[0] for key, kept in senses.items() if any(sense.role in (Role.MENTION, Role.STRUCTURE) for sense in kept)
    )
    return Lexicon(
        observations=tuple(names),
        table=table,
        openers=openers,
        not_near=not_near,
        forms=forms,
        skip=skip,
        verbs=frozenset(forms[word] for word in words["verbs"]["words"]),
        transitive=frozenset(forms[word] for word in words["transitive"]["words"]),
        alternatives=frozenset(forms[word] for word in words["alternatives"]["words"]),
        anaphora=tuple(frozenset(words["anaphora"][key]) for key in ("subjects", "doubted_by", "denied_by")),  # type: ignore[arg-type]
        cues=tuple(cues),
    )


def _checked(place: str, kind: str, number: int, entry: dict[str, Any]) -> dict[str, Any]:
    allowed = _KEYS[kind]
    needed = {"finding": "name", "structure": "observations", "cue": "id"}[kind]
    if unknown := set(entry) - allowed:
        raise ReportError(
            f"{place}, {kind} {number}: unknown key {sorted(unknown)[0]!r}; expected {', '.join(sorted(allowed))}."
        )
    if needed not in entry or (kind == "cue" and "role" not in entry):
        raise ReportError(f"{place}, {kind} {number}: {needed!r}{' and role' * (kind == 'cue')} must be given.")
    for key in allowed - {"name", "id", "role"}:
        if not isinstance(entry.get(key, []), list) or not all(
            isinstance(phrase, str) for phrase in entry.get(key, [])
        ):
            raise ReportError(f"{place}, {kind} {number}: {key!r} must be a list of quoted phrases.")
    return dict(entry)


def _indices(place: str, names: Sequence[str], index: dict[str, int]) -> tuple[int, ...]:
    for name in names:
        if canonical(name) not in index:
            raise ReportError(f"{place}: unknown observation {name!r}; did you mean {suggest(name, list(index))!r}?")
    return tuple(index[canonical(name)] for name in names)


def _words(phrase: str) -> list[str]:
    return (
        [word for word in TOKEN.findall(phrase.lower().replace("-", " ")) if word]
        if "*" not in phrase
        else phrase.lower().split()
    )


def _all_words(entries: dict[str, list[tuple[str, dict[str, Any]]]], words: dict[str, Any]) -> set[str]:
    """Every word that any phrase is written with."""
    found: set[str] = set(words["forms"])
    for kind, lists in (
        ("finding", ("phrases", "weak", "never", "not_near")),
        ("structure", ("phrases", "never")),
        ("cue", ("phrases",)),
    ):
        for _, entry in entries[kind]:
            for key in lists:
                for phrase in entry.get(key, ()):
                    found.update(_words(phrase))
    for key in ("verbs", "transitive", "alternatives"):
        found.update(words[key]["words"])
    return found
