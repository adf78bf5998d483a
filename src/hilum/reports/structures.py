"""Heart and mediastinum: naming them says nothing, so the words on their size, normality or stability are looked for.

A clause is cut into chunks at commas, "and", "or", "with". A chunk that names a structure and holds a predicate is
settled; one without takes the predicate of the chunk behind it ("heart, lungs and mediastinum are normal") or, where the
predicate stands in front, before it ("normal heart size and mediastinal contours").
"""

from __future__ import annotations

from hilum.reports.lexicon import Role
from hilum.reports.sentence import Item, Sentence, Statement

_PREDICATES = (Role.ENLARGED, Role.NORMAL, Role.BORDERLINE, Role.STABLE, Role.LIMITED, Role.WEAKLY_DOUBTS_BEFORE)
_CUTS = (Role.COMMA, Role.AND, Role.OR, Role.PAUSES, Role.SLASH, Role.VERSUS)
_DOUBTS = (Role.DOUBTS_AFTER, Role.DOUBTS_UNLESS_DENIED)
_DOUBTS_BEHIND = (Role.DOUBTS_BEFORE, Role.STRONGLY_DOUBTS_BEFORE)


class _Chunk:
    __slots__ = ("busy", "doubt", "items", "negation", "predicates", "structures")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.structures: list[Item] = []
        self.predicates: list[Item] = []
        self.negation: Item | None = None
        self.doubt: Item | None = None
        self.busy = False  # a verb of its own says something else of the structure


def read_structures(sentence: Sentence, items: list[Item], bare: bool = False) -> list[Statement]:
    """What a clause says of the heart's and the mediastinum's size."""
    if not any(item.sense.role is Role.STRUCTURE for item in items):
        return []
    chunks = _chunks(sentence, items)
    statements: list[Statement] = []
    for i, chunk in enumerate(chunks):
        if not chunk.structures:
            continue
        source = chunk if chunk.predicates else None if chunk.busy else _lender(chunks, i)
        verdict = _verdict(source, chunk) if source is not None else None
        if verdict is not None:
            statements += _statements(sentence, chunk, *verdict)
        elif bare:
            negation = chunk.negation
            statements += _statements(sentence, chunk, 1 if negation is None else 0, False, negation)
    return statements


def _chunks(sentence: Sentence, items: list[Item]) -> list[_Chunk]:
    chunks = [_Chunk()]
    located_until = -1
    for item in items:
        role = item.sense.role
        if role in _CUTS:
            chunks.append(_Chunk())
            continue
        chunk = chunks[-1]
        chunk.items.append(item)
        if role is Role.LOCATES:
            located_until = item.end + 2
        elif role is Role.STRUCTURE:
            if not _is_place(sentence, item, located_until):
                chunk.structures.append(item)
        elif role in _PREDICATES:
            if not _said_of_else(sentence, chunk, item):
                chunk.predicates.append(item)
        elif role in (Role.NEGATES_AFTER, Role.NEGATES_NEAR):
            chunk.negation = item
        elif role in _DOUBTS_BEHIND or (role in _DOUBTS and not (chunk.structures and chunk.predicates)):
            # "prominent mediastinum, possibly the aorta": what follows a settled size is a guess at its cause.
            chunk.doubt = item
    return chunks


_CHANGING = frozenset(
    ("change", "increase", "decrease", "enlargement", "prominence", "improvement", "widening", "abnormality")
)
_PLAIN_PLACE = frozenset(("in", "to", "by", "at", "from"))


def _is_place(sentence: Sentence, item: Item, located_until: int) -> bool:
    """True for "over the heart", "in the superior mediastinum"; not for "change in the heart"."""
    if item.start > located_until or item.start == 0:
        return False
    words = sentence.words
    for i in range(item.start - 1, max(-1, item.start - 4), -1):
        if words[i] in _PLAIN_PLACE:
            return not (i > 0 and words[i - 1] in _CHANGING)
    return True


def _said_of_else(sentence: Sentence, chunk: _Chunk, item: Item) -> bool:
    """True where a verb like "demonstrates" stands between structure and predicate, or a finding owns the predicate."""
    words, transitive = sentence.words, sentence.lexicon.transitive
    if chunk.structures:
        begin = chunk.structures[-1].end
        between = words[begin : item.start]
        if any(word in transitive for word in between):
            # "the heart shows stable enlargement" is still about its size.
            other = item.sense.role is not Role.ENLARGED and "enlargement" not in words[item.end : item.end + 3]
            chunk.busy = chunk.busy or other
            return other
    return False


def _lender(chunks: list[_Chunk], i: int) -> _Chunk | None:
    """The chunk whose predicate holds for chunk i too."""
    for later in chunks[i + 1 :]:
        if later.predicates:
            behind = not later.structures or later.predicates[-1].start > later.structures[-1].start
            if behind:
                return later
            break
    for earlier in reversed(chunks[:i]):
        if earlier.predicates:
            in_front = not earlier.structures or earlier.predicates[0].start < earlier.structures[0].start
            return earlier if in_front else None
    return None


def _verdict(source: _Chunk, chunk: _Chunk) -> tuple[int, bool, Item] | None:
    """(code, weak, cue) from the predicates; what says the size outranks what says it did not change."""
    found = {item.sense.role: item for item in reversed(source.predicates)}
    negation = source.negation or chunk.negation
    doubt = source.doubt or chunk.doubt
    if Role.BORDERLINE in found:
        return -1, False, found[Role.BORDERLINE]
    if Role.ENLARGED in found:
        cue = found[Role.ENLARGED]
        if negation is not None and negation.start < cue.start:
            return 0, False, negation
        normal = found.get(Role.NORMAL)
        if normal is not None or doubt is not None:
            return -1, False, doubt or cue
        return 1, False, cue
    if Role.NORMAL in found:
        if negation is not None and negation.end == found[Role.NORMAL].start:
            return None
        return 0, False, found[Role.NORMAL]
    if Role.LIMITED in found:
        return -1, True, found[Role.LIMITED]
    if Role.WEAKLY_DOUBTS_BEFORE in found:
        return -1, True, found[Role.WEAKLY_DOUBTS_BEFORE]
    if Role.STABLE in found:
        return -1, True, found[Role.STABLE]
    return None


def _statements(sentence: Sentence, chunk: _Chunk, code: int, weak: bool, cue: Item | None) -> list[Statement]:
    rule, place = (cue.sense.rule, sentence.span(cue)) if cue else ("assertion.bare", None)
    return [
        Statement(observation, code, weak, rule, sentence.span(item), place)
        for item in chunk.structures
        for observation in item.sense.observations
    ]
