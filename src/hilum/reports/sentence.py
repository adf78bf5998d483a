"""The words of a sentence, the phrases found among them, and its clauses."""

from __future__ import annotations

from typing import NamedTuple

from hilum.reports.lexicon import NEVER, Lexicon, Role, Sense
from hilum.reports.words import TOKEN


class Statement(NamedTuple):
    """One thing a sentence says; offsets count from the sentence's first character.

    `code` is 1, 0 or -1 as in a CheXpert table. A weak statement yields to any that is not.
    """

    observation: int
    code: int
    weak: bool
    rule: str
    mention: tuple[int, int]
    cue: tuple[int, int] | None


class Item(NamedTuple):
    """A phrase found: words [start, end) of the sentence and what it does."""

    start: int
    end: int
    sense: Sense


class Reading(NamedTuple):
    """All statements of a sentence, and what it says of the one before.

    `looks_back` is 0 for nothing, -1 where it doubts it, 1 where it denies it, and STAYS where it only goes on about it.
    """

    statements: tuple[Statement, ...]
    looks_back: int = 0


STAYS = 2
NOTHING = Reading(())
_SKIPPED_MARKS = frozenset("()[]\"'`“”’*")
_HOLE = frozenset(("xxxx", "xxx", "xxxxx"))


class Sentence:
    """The words of a sentence without those that change nothing, their places, and the phrases found among them."""

    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.text = text
        words: list[str] = []
        spans: list[tuple[int, int]] = []
        articles: set[int] = set()
        forms, skip = lexicon.forms, lexicon.skip
        for match in TOKEN.finditer(text):
            token = match.group()
            if token == "-":
                start, end = match.span()
                if start > 0 and end < len(text) and not text[start - 1].isspace() and not text[end].isspace():
                    continue  # inside a word
                token = ":"
            elif token in _SKIPPED_MARKS or token in _HOLE or token[0] == "_":
                continue
            form = forms[token]
            if form in skip:
                if token == "the":
                    articles.add(len(words))
                continue
            words.append(form)
            spans.append(match.span())
        self.words, self.spans, self.articles = words, spans, articles
        self.items = self._scan()

    def _scan(self) -> list[Item]:
        table, words = self.lexicon.table, self.words
        items: list[Item] = []
        never: dict[int, int] = {}  # observation -> word up to which a longer phrase says that it is not meant
        i, n = 0, len(words)
        while i < n:
            options = table.get(words[i])
            if options is not None:
                for length, rest, senses in options:
                    if length != 1 and tuple(words[i + 1 : i + length]) != rest:
                        continue
                    meant = [sense for sense in senses if sense.rule is not NEVER]
                    for sense in senses if len(meant) < len(senses) else ():
                        if sense.rule is NEVER:
                            never.update((observation, i + length) for observation in sense.observations)
                    if not meant:
                        if length == 1:
                            break
                        continue  # what stands inside it may mean something else
                    for sense in meant:
                        if never and sense.observations and any(never.get(o, 0) > i for o in sense.observations):
                            continue
                        items.append(Item(i, i + length, sense))
                    i += length - 1
                    break
            i += 1
        return items

    def span(self, item: Item) -> tuple[int, int]:
        """The characters of an item."""
        return self.spans[item.start][0], self.spans[item.end - 1][1]


_CHANGE_GAP = 4  # words between "no" and "change"


def unsay_changes(sentence: Sentence) -> None:
    """ "No significant change in X" denies the change, not X: its "no" stops being a denial."""
    items = sentence.items
    for at, item in enumerate(items):
        if item.sense.role is not Role.CHANGE:
            continue
        for back in range(at - 1, -1, -1):
            other = items[back]
            if item.start - other.end > _CHANGE_GAP or other.sense.role in (
                Role.MENTION,
                Role.STRUCTURE,
                Role.COMMA,
                Role.ENDS,
            ):
                break
            if other.sense.role in (Role.NEGATES_AFTER, Role.NEGATES_NEAR, Role.WEAKLY_DOUBTS_AFTER):
                items[back] = Item(other.start, item.end, Sense(Role.STABLE, "size.stable"))
                break


def clauses_of(sentence: Sentence) -> list[list[Item]]:
    """The items of each clause: cut before words like "but", and at commas and "and" between two finite verbs."""
    items, words, verbs = sentence.items, sentence.words, sentence.lexicon.verbs
    verb_places = [i for i, word in enumerate(words) if word in verbs]
    commas = [item.start for item in items if item.sense.role is Role.COMMA]
    clauses: list[list[Item]] = [[]]
    begin = 0
    for item in items:
        role = item.sense.role
        if role is Role.ENDS:
            clauses.append([item])
            begin = item.end
            continue
        if role in (Role.COMMA, Role.AND) and verb_places:
            stop = next((c for c in commas if c > item.start), len(words))
            before = any(begin <= v < item.start for v in verb_places)
            # A verb right behind "and" shares the subject: "is small and has resolved".
            after = any(item.end < v < stop for v in verb_places)
            if before and after and words[item.end : item.end + 1] and words[item.end] not in verbs:
                clauses.append([])
                begin = item.end
                continue
        clauses[-1].append(item)
    return [clause for clause in clauses if clause]
