"""What one sentence says of each finding: cues, their scopes, and the state of heart and mediastinum.

A sentence is read once from left to right. Its words are brought to one form each and looked up in the phrase table; the
hits, in order, are the only thing the rules look at. All steps are linear in the length of the sentence.

The idea of trigger words with forward and backward scopes is NegEx's (Chapman et al. 2001); ConText (Harkema et al. 2009)
added termination. Clauses, conjoined subjects and predicates of size are resolved here without a parser.
"""

from __future__ import annotations

from hilum.reports.lexicon import Lexicon, Role
from hilum.reports.sentence import NOTHING, STAYS, Item, Reading, Sentence, Statement, clauses_of, unsay_changes
from hilum.reports.structures import read_structures


def read_sentence(text: str, lexicon: Lexicon, bare_structures: bool = False) -> Reading:
    """What a sentence says.

    Args:
        text: one sentence, cleaned (:func:`hilum.reports.words.clean`).
        lexicon: the vocabulary and cues.
        bare_structures: whether a heart or mediastinum of which nothing is said counts as enlarged (as in CheXpert's labeler).

    Example:
        >>> from hilum.reports.lexicon import load_lexicon
        >>> [(s.observation, s.code) for s in read_sentence("no pneumothorax.", load_lexicon()).statements]
        [(9, 0)]
    """
    sentence = Sentence(text, lexicon)
    looks_back = _looks_back(sentence)
    if lexicon.openers.isdisjoint(sentence.words):
        return Reading((), looks_back) if looks_back else NOTHING
    statements: list[Statement] = []
    unsay_changes(sentence)
    for items in clauses_of(sentence):
        statements += _read_findings(sentence, items)
        statements += read_structures(sentence, items, bare_structures)
    if not statements and not looks_back:
        return NOTHING
    return Reading(tuple(statements), looks_back)


def _looks_back(sentence: Sentence) -> int:
    words = sentence.words
    if not words:
        return 0
    subjects, doubts, denials = sentence.lexicon.anaphora
    if words[0] in denials:
        return 1 if not any(item.sense.role == Role.MENTION for item in sentence.items) else 0
    if words[0] in subjects:
        return -1 if not doubts.isdisjoint(words) else STAYS
    return 0


_NEAR_REACH = 2  # words between "not" and what it denies


class _Mention:
    """A mention while its clause is read: the cues that reach it."""

    __slots__ = ("after_break", "before", "doubt", "item", "negation", "strong")

    def __init__(self, item: Item, negation: Item | None, doubt: Item | None, after_break: bool) -> None:
        self.item = item
        self.negation = negation  # a cue before it
        self.doubt = doubt
        self.after_break = after_break  # a comma or "and" stands between the negation and the mention
        self.before: Item | None = None  # a cue behind it
        self.strong: Item | None = None  # an alternative ("or")


def _read_findings(sentence: Sentence, items: list[Item]) -> list[Statement]:
    mentions = _forward(sentence, items)
    if not mentions:
        return []
    _backward(items, mentions)
    _alternatives(sentence, items, mentions)
    statements: list[Statement] = []
    for mention in mentions:
        statement = _judge(sentence, items, mention)
        statements.append(statement)
        if statement.code != 0:
            statements += [
                Statement(other, -1, True, "suspected-with." + statement.rule, statement.mention, statement.cue)
                for other in mention.item.sense.suspects
            ]
    return statements


def _forward(sentence: Sentence, items: list[Item]) -> list[_Mention]:
    """Pair each mention with the denial and the doubt that reach it from the left."""
    negation: Item | None = None
    doubt: Item | None = None
    near: Item | None = None
    since_negation = since_doubt = False  # a separator was passed since the cue
    last_or = max((item.start for item in items if item.sense.role is Role.OR), default=-1)
    mentions: list[_Mention] = []
    for at, item in enumerate(items):
        role = item.sense.role
        if role is Role.MENTION:
            close = near is not None and item.start - near.end <= _NEAR_REACH
            mentions.append(_Mention(item, near if close else negation, doubt, since_negation and not close))
        elif role is Role.NEGATES_NEAR:
            near = item
        elif role is Role.DOUBTS_UNLESS_DENIED:
            if negation is None:
                doubt, since_doubt = item, False
        elif role in (Role.NEGATES_AFTER, Role.NEGATES_EITHER):
            if role is Role.NEGATES_EITHER and any(m.item.end <= item.start for m in mentions):
                continue
            if since_doubt:
                doubt = None
            negation, since_negation = item, False
        elif role in (Role.DOUBTS_AFTER, Role.WEAKLY_DOUBTS_AFTER):
            if since_negation:
                negation = None
            doubt, since_doubt = item, False
        elif role is Role.COMMA:
            near = None
            since_negation = since_doubt = True
        elif role is Role.AND:
            since_negation = since_doubt = True
            if item.end in sentence.articles:  # "no X and the Y": another subject
                negation = None
        elif role is Role.ASSERTS:
            if since_negation and item.start > last_or:
                negation = None
            if since_doubt and item.start > last_or:
                doubt = None
        elif role in (Role.PAUSES, Role.ENDS) and at > 0:
            negation = doubt = None
    return mentions


_BACKWARD = (
    Role.NEGATES_BEFORE,
    Role.NEGATES_EITHER,
    Role.DOUBTS_BEFORE,
    Role.STRONGLY_DOUBTS_BEFORE,
    Role.WEAKLY_DOUBTS_BEFORE,
)


def _backward(items: list[Item], mentions: list[_Mention]) -> None:
    """Give each cue that stands behind its subject to the mentions of that subject."""
    for at, item in enumerate(items):
        if item.sense.role is Role.NEGATES_BESIDE:
            for mention in mentions:
                if mention.before is None and (item.start == mention.item.end or item.end == mention.item.start):
                    mention.before = item
            continue
        if item.sense.role not in _BACKWARD:
            continue
        if item.sense.role is Role.WEAKLY_DOUBTS_BEFORE and at > 0 and items[at - 1].sense.role is Role.COMMA:
            continue  # an aside on how it is seen: "prosthesis, incompletely evaluated"
        if item.sense.role is Role.DOUBTS_BEFORE and _opens_phrase(items, at):
            continue
        joined = False  # "X, Y and Z are ...": with "and" or "or" before the cue, commas go on
        seen = False
        for back in range(at - 1, -1, -1):
            other = items[back]
            role = other.sense.role
            if role in (Role.AND, Role.OR, Role.VERSUS, Role.SLASH):
                joined = True
            elif role is Role.COMMA:
                if seen and not joined:
                    break
            elif role is Role.PAUSES:
                if seen:
                    break
            elif role is Role.ENDS or (role in _BACKWARD and other.end <= item.start):
                break
            elif role is Role.MENTION:
                seen = True
                for mention in mentions:
                    if mention.item is other and mention.before is None:
                        mention.before = item


_PLACES = frozenset(("in", "at", "on", "of", "within", "to"))
_MAX_ADJECTIVE_GAP = 3  # words


def _opens_phrase(items: list[Item], at: int) -> bool:
    """True for ", less likely infection": the cue begins a phrase of its own and looks forward only."""
    item = items[at]
    before = [other for other in items[:at] if other.start < item.start]
    behind = [other for other in items[at + 1 :] if other.start >= item.end]
    return (
        bool(before and behind)
        and before[-1].sense.role in (Role.COMMA, Role.AND)
        and behind[0].sense.role is Role.MENTION
        and behind[0].start - item.end <= _MAX_ADJECTIVE_GAP
        and any(other.start == item.start and other.sense.role is Role.DOUBTS_AFTER for other in items)
    )


_MAX_ALTERNATIVE_GAP = 6  # words


def _alternatives(sentence: Sentence, items: list[Item], mentions: list[_Mention]) -> None:
    """ "X or Y", "X versus Y", "X/Y": neither is sure, unless both are one observation or are denied."""
    places = {id(mention.item): mention for mention in mentions}
    words, alternatives = sentence.words, sentence.lexicon.alternatives
    for at, item in enumerate(items):
        role = item.sense.role
        if role not in (Role.OR, Role.VERSUS, Role.SLASH):
            continue
        left = _neighbor(items, at, -1, places)
        right = _neighbor(items, at, 1, places)
        left_noun = item.start > 0 and words[item.start - 1] in alternatives
        near_left = left is not None and item.start - left.item.end <= 2
        same = (
            left is not None
            and right is not None
            and bool(set(left.item.sense.observations) & set(right.item.sense.observations))
        )
        if role is Role.OR and item.end < len(words) and words[item.end] in _PLACES:
            continue  # "in X or in Y" joins places, it does not choose
        if role is Role.VERSUS:
            doubted = [m for m in (left, right) if m is not None]
        elif role is Role.SLASH:
            doubted = (
                [left, right] if left and right and near_left and right.item.start - item.end <= 2 and not same else []
            )
        elif left is not None and right is not None and not same:
            doubted = [left, right] if near_left or left_noun else []
        elif left is not None and right is None and near_left:
            doubted = [left] if words[item.end : item.end + 1] and item.end < len(words) else []
        elif right is not None and left is None and left_noun:
            doubted = [right]
        else:
            doubted = []
        for mention in doubted:
            mention.strong = item
        # "X, Y, or Z": a comma before "or" makes one list of all.
        if role is Role.OR and doubted and at > 0 and items[at - 1].sense.role is Role.COMMA:
            back = at - 2
            while back >= 0 and items[back].sense.role in (Role.MENTION, Role.COMMA, Role.NONE, Role.ASSERTS):
                if id(items[back]) in places:
                    places[id(items[back])].strong = item
                back -= 1


def _neighbor(items: list[Item], at: int, step: int, places: dict[int, _Mention]) -> _Mention | None:
    i = at + step
    while 0 <= i < len(items):
        role = items[i].sense.role
        if role is Role.MENTION:
            gap = items[at].start - items[i].end if step < 0 else items[i].start - items[at].end
            return places[id(items[i])] if gap <= _MAX_ALTERNATIVE_GAP else None
        if role in (Role.PAUSES, Role.ENDS, Role.OR, Role.VERSUS, Role.STRUCTURE) or (role is Role.AND and step < 0):
            return None
        if role is Role.COMMA and abs(i - at) > 1:
            return None
        i += step
    return None


def _judge(sentence: Sentence, items: list[Item], mention: _Mention) -> Statement:
    """The state of one mention from the cues that reach it."""
    item = mention.item
    observation = item.sense.observations[0]
    weak = item.sense.weak
    code, cue = _weigh(mention)
    if observation != 0 and _means_else(sentence, items, item, observation):
        observation = 0  # something, but not this finding
    if code == 1 and weak:
        code, cue_rule = -1, item.sense.rule + ".weak"
    else:
        cue_rule = cue.sense.rule if cue else "assertion.plain"
    yields = (code == -1 and weak) or (
        cue is not None and cue.sense.role in (Role.WEAKLY_DOUBTS_AFTER, Role.WEAKLY_DOUBTS_BEFORE)
    )
    return Statement(observation, code, yields, cue_rule, sentence.span(item), sentence.span(cue) if cue else None)


_DENIALS_BEHIND = (Role.NEGATES_BEFORE, Role.NEGATES_EITHER, Role.NEGATES_BESIDE)


def _weigh(mention: _Mention) -> tuple[int, Item | None]:
    before, negation, doubt = mention.before, mention.negation, mention.doubt
    if before is not None and before.sense.role is Role.STRONGLY_DOUBTS_BEFORE:
        return -1, before
    if before is not None and before.sense.role in _DENIALS_BEHIND:
        # "Neither X nor Y can be excluded": two denials of an exclusion leave a doubt.
        twice = negation is not None and before.sense.rule == "negation.excluded"
        return (-1 if twice else 0), before
    if before is not None and (negation is None or mention.after_break):
        return -1, before
    if negation is not None and not (
        doubt is not None and doubt.start > negation.start and doubt.sense.rule == "doubt.cannot-exclude"
    ):
        return 0, negation
    if doubt is not None:
        return -1, doubt
    if mention.strong is not None:
        return -1, mention.strong
    return 1, None


_NEAR = 4  # words


def _means_else(sentence: Sentence, items: list[Item], item: Item, observation: int) -> bool:
    """True where a word beside the mention shows that it is another thing: "vertebral collapse", "fracture of the wire"."""
    others = sentence.lexicon.not_near.get(observation)
    if not others or others.isdisjoint(sentence.words):
        return False
    words, stops = sentence.words, _STOPS
    for i in range(item.start - 1, max(-1, item.start - 1 - _NEAR), -1):
        if words[i] in stops:
            break
        if words[i] in others:
            return True
    at = item.end
    # "fractured sternal wire", "nodule calcified"; or after a link, "fracture of the catheter tip".
    linked = at < len(words) and words[at] in _LINKS
    for word in words[at + 1 : at + 1 + _NEAR] if linked else words[at : at + 2]:
        if word in stops:
            break
        if word in others:
            return True
    return _predicate(words, at) in others


def _predicate(words: list[str], at: int) -> str:
    """The word a mention is said to be: "the nodule in the apex is calcified"."""
    for i in range(at, min(at + 8, len(words) - 1)):
        if words[i] in (",", ";", ":", ".", "and", "or", "with", "which", "but"):
            break
        if words[i] == "be":
            return words[i + 2] if words[i + 1].endswith("ly") and i + 2 < len(words) else words[i + 1]
    return ""


_STOPS = frozenset(
    (
        ",",
        ";",
        ":",
        "and",
        "or",
        "/",
        "with",
        "no",
        "not",
        "without",
        "be",
        "have",
        "may",
        "but",
        "of",
        "in",
        "which",
        "over",
        ".",
    )
)
_LINKS = frozenset(("of", "in", "within", "at", "involving", "along", "on", "from", "to"))
