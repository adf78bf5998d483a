"""The small language of `--where`: conditions on an image's columns and labels, read here and never passed on as SQL.

    filter    = term ("OR" term)*            term = factor ("AND" factor)*            factor = ["NOT"] condition
    condition = "(" filter ")"
              | thing ("=" | "!=" | "<" | "<=" | ">" | ">=") value
              | thing ["NOT"] "IN" "(" value ("," value)* ")"
              | thing ["NOT"] "BETWEEN" value "AND" value
              | thing "IS" ["NOT"] "NULL"
    thing     = column | "label" "(" 'finding' ["," 'speaker'] ")"
    value     = number | 'text'

As in SQL, a condition on a value that is not given holds neither way: `age > 60` and `NOT age > 60` both leave out an image
without an age.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from hilum.archive import SPLITS, VIEWS
from hilum.errors import UsageError
from hilum.findings import LabelValue

NUMBERS = ("age_years", "study_order", "height", "width")
TEXTS = ("view", "sex", "split", "source", "image_id", "study_id", "patient_id")
COLUMNS = (*TEXTS[:4], *NUMBERS, *TEXTS[4:])
SHORT = {"age": "age_years", "order": "study_order"}
VALUES = tuple(value.value for value in LabelValue)
ALLOWED = {"view": VIEWS, "split": SPLITS}
FEW_VALUES = ("sex", "source")  # a value that no image has is a mistake, and can be told with those there are
LONGEST, DEEPEST = 2000, 40  # characters and brackets: what a person types is far below
OPERATORS = {
    "=": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip
_WORD_OPERATORS = ("AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "LIKE")
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[-+]?\d+(?:\.\d+)?(?![\w.]))|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign><>|!=|<=|>=|==|[=<>(),]))"
)
_USE = f"Columns: {', '.join(COLUMNS)}; and label('Edema') = 'positive'. For example: view = 'pa' AND age > 60"

Mask: TypeAlias = pa.BooleanArray  # one entry an image: true, false, or null where it cannot be told


class Facts(Protocol):
    """What conditions are about."""

    def column(self, name: str) -> pa.Array:
        """One of `COLUMNS`, an entry an image."""

    def finding(self, name: str) -> str:
        """The finding as the labels name it; an error where none is about it."""

    def said(self, finding: str, value: str | None, speaker: str | None) -> Mask:
        """Of which images, or of whose studies, somebody says this; any value for None, any speaker for None."""


@dataclass(frozen=True)
class Filter:
    """A condition that was understood.

    Attributes:
        text: as it was written.
        holds: gives of each image whether it holds.

    Example:
        >>> parse("view = 'pa' AND age > 60").text
        "view = 'pa' AND age > 60"
    """

    text: str
    holds: Callable[[Facts], Mask]


def parse(text: str) -> Filter:
    """Understand a filter.

    Raises:
        UsageError: it is not of this language; the message says where, and names the columns.
    """
    if len(text) > LONGEST:
        raise UsageError(f"the filter is {len(text):,} characters long; at most {LONGEST:,} are read.")
    reader = _Reader(text)
    holds = reader.filter(0)
    if reader.token is not None:
        reader.fail(f"{reader.token.written!r} is not expected after a whole condition; join conditions by AND or OR")
    return Filter(text, holds)


@dataclass(frozen=True)
class _Token:
    kind: str  # text, number, word or sign
    written: str
    at: int

    @property
    def upper(self) -> str:
        return self.written.upper() if self.kind == "word" else self.written


class _Reader:
    """Reads a filter from left to right; each method gives what holds."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._cut(text))
        self.place = 0

    def _cut(self, text: str) -> list[_Token]:
        tokens, at = [], 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                rest = text[at:].lstrip()
                if rest[0] == "'":
                    self.fail(f"a text that begins with {rest[:20]} has no closing single quote")
                if rest[0] == '"':
                    self.fail("text stands in single quotes, not in double ones")
                self.fail(f"{rest[0]!r} cannot be read")
            assert found.lastgroup is not None
            tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
            at = found.end()
        return tokens

    @property
    def token(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def fail(self, why: str) -> NoReturn:
        raise UsageError(f"cannot use the filter {self.text!r}: {why}{'' if why.endswith('?') else '.'} {_USE}")

    def take(self, *expected: str) -> bool:
        """Go past a word or sign if it is next."""
        if self.token is not None and self.token.kind in ("word", "sign") and self.token.upper in expected:
            self.place += 1
            return True
        return False

    def need(self, expected: str) -> None:
        if not self.take(expected):
            self.fail(f"expected {expected!r}, got {self.token.written if self.token else 'the end'!r}")

    def filter(self, depth: int) -> Callable[[Facts], Mask]:
        if depth > DEEPEST:
            self.fail(f"more than {DEEPEST} brackets within each other")
        terms = [self.term(depth)]
        while self.take("OR"):
            terms.append(self.term(depth))
        return terms[0] if len(terms) == 1 else lambda facts: _joined(pc.or_kleene, [t(facts) for t in terms])

    def term(self, depth: int) -> Callable[[Facts], Mask]:
        factors = [self.factor(depth)]
        while self.take("AND"):
            factors.append(self.factor(depth))
        return factors[0] if len(factors) == 1 else lambda facts: _joined(pc.and_kleene, [f(facts) for f in factors])

    def factor(self, depth: int) -> Callable[[Facts], Mask]:
        inverted = False
        while self.take("NOT"):
            inverted = not inverted
        if self.take("("):
            inner = self.filter(depth + 1)
            self.need(")")
        else:
            inner = self.condition()
        return _not(inner) if inverted else inner

    def condition(self) -> Callable[[Facts], Mask]:
        token = self.token
        if token is None:
            self.fail("a condition is missing at the end" if self.tokens else "it is empty")
        if token.kind != "word" or token.upper in _WORD_OPERATORS:
            self.fail(f"expected a column, got {token.written!r}")
        self.place += 1
        if token.upper == "LABEL" and self.take("("):
            return self.label()
        return self.column(self.name_of(token))

    def name_of(self, token: _Token) -> str:
        name = SHORT.get(token.written.lower(), token.written.lower())
        if name not in COLUMNS:
            close = difflib.get_close_matches(name, [*COLUMNS, *SHORT, "label"], n=1, cutoff=0.6)
            self.fail(f"there is no column {token.written!r}{f'. Did you mean {close[0]!r}?' if close else ''}")
        return name

    def column(self, name: str) -> Callable[[Facts], Mask]:
        if self.take("IS"):
            is_given = self.take("NOT")
            self.need("NULL")
            return lambda facts: pc.is_valid(facts.column(name)) if is_given else pc.is_null(facts.column(name))
        inverted = self.take("NOT")
        if self.take("IN"):
            wanted = self.values(name)
            return _not(_one_of(name, wanted)) if inverted else _one_of(name, wanted)
        if self.take("BETWEEN"):
            self.need_number_column(name, "BETWEEN")
            low = self.value(name)
            self.need("AND")
            high = self.value(name)
            between = _both(_compared(name, ">=", low), _compared(name, "<=", high))
            return _not(between) if inverted else between
        if inverted:
            self.fail("after NOT, expected IN or BETWEEN")
        operator = self.operator()
        if operator in ("=", "!="):
            same = _one_of(name, [self.value(name)])
            return same if operator == "=" else _not(same)
        self.need_number_column(name, operator)
        return _compared(name, operator, self.value(name))

    def label(self) -> Callable[[Facts], Mask]:
        finding = self.quoted("a finding, as in label('Edema')")
        speaker = self.quoted("who says so, as in label('Edema', 'rules')") if self.take(",") else None
        self.need(")")
        if self.take("IS"):
            is_given = self.take("NOT")
            self.need("NULL")
            given = _said(finding, [None], speaker)
            return given if is_given else _not(given)
        inverted = self.take("NOT")
        if self.take("IN"):
            wanted: list[str] = self.label_values()
        else:
            operator = self.operator()
            if inverted or operator not in ("=", "!="):
                self.fail("a label is compared by =, !=, IN or IS NULL")
            inverted, wanted = operator == "!=", [self.label_value()]
        there = _said(finding, list(wanted), speaker)
        return _not(there) if inverted else there

    def operator(self) -> str:
        token = self.token
        sign = {"<>": "!=", "==": "="}.get(token.written, token.written) if token else ""
        if token is not None and token.upper == "LIKE":
            self.fail("LIKE is not of this language; use = or IN (for words in reports there is --words)")
        if sign not in OPERATORS:
            self.fail(f"expected =, !=, <, <=, >, >=, IN, BETWEEN or IS, got {token.written if token else 'the end'!r}")
        self.place += 1
        return sign

    def quoted(self, what: str) -> str:
        token = self.token
        if token is None or token.kind != "text":
            self.fail(f"expected {what}, got {token.written if token else 'the end'!r}")
        self.place += 1
        return token.written[1:-1].replace("''", "'")

    def value(self, name: str) -> str | float:
        token = self.token
        if token is None:
            self.fail(f"a value for {name} is missing at the end")
        if name in NUMBERS:
            if token.kind != "number":
                self.fail(f"{name} is compared with a number, got {token.written}")
            self.place += 1
            return float(token.written)
        if token.kind == "word" and token.upper not in _WORD_OPERATORS:
            self.fail(f"put {token.written} in single quotes: {name} = '{token.written}'")
        text = self.quoted(f"a text in single quotes for {name}")
        if name in ALLOWED:
            text = text.lower()
            if text not in ALLOWED[name]:
                self.fail(f"{name} is one of {', '.join(ALLOWED[name])}, never {text!r}")
        return text

    def values(self, name: str) -> list[str | float]:
        self.need("(")
        found = [self.value(name)]
        while self.take(","):
            found.append(self.value(name))
        self.need(")")
        return found

    def label_value(self) -> str:
        if self.token is not None and self.token.kind == "word":
            self.fail(f"put {self.token.written} in single quotes")
        value = self.quoted(f"one of {', '.join(repr(v) for v in VALUES)}").lower()
        if value not in VALUES:
            self.fail(f"a label is one of {', '.join(VALUES)}, never {value!r}")
        return value

    def label_values(self) -> list[str]:
        self.need("(")
        found = [self.label_value()]
        while self.take(","):
            found.append(self.label_value())
        self.need(")")
        return found

    def need_number_column(self, name: str, operator: str) -> None:
        if name not in NUMBERS:
            self.fail(f"{operator} needs a column of numbers ({', '.join(NUMBERS)}); {name} is text: use = or IN")


def _compared(name: str, operator: str, value: str | float) -> Callable[[Facts], Mask]:
    return lambda facts: OPERATORS[operator](facts.column(name), value)


def _one_of(name: str, values: list[str | float]) -> Callable[[Facts], Mask]:
    def holds(facts: Facts) -> Mask:
        column = facts.column(name)
        wanted = [_as_there(name, v, column) for v in values] if name in FEW_VALUES else values
        found = pc.is_in(column, value_set=pa.array(wanted, column.type))
        return pc.if_else(pc.is_valid(column), found, pa.scalar(None, pa.bool_()))

    return holds


def _as_there(name: str, value: str | float, column: pa.Array) -> str:
    """The value as the archive writes it, for sex = 'f' means 'F'.

    Raises:
        UsageError: no image has it.
    """
    there = {str(v).lower(): str(v) for v in pc.unique(pc.drop_null(column)).to_pylist()}
    if str(value).lower() not in there:
        known = ", ".join(sorted(there.values())[:20]) or "none is given"
        raise UsageError(f"no image has {name} = {value!r}. Values of {name} in this archive: {known}.")
    return there[str(value).lower()]


def _said(finding: str, values: list[str | None], speaker: str | None) -> Callable[[Facts], Mask]:
    def holds(facts: Facts) -> Mask:
        named = facts.finding(finding)
        return _joined(pc.or_kleene, [facts.said(named, value, speaker) for value in values])

    return holds


def _both(one: Callable[[Facts], Mask], other: Callable[[Facts], Mask]) -> Callable[[Facts], Mask]:
    return lambda facts: pc.and_kleene(one(facts), other(facts))


def _not(inner: Callable[[Facts], Mask]) -> Callable[[Facts], Mask]:
    return lambda facts: pc.invert(inner(facts))


def _joined(how: Callable[[Mask, Mask], Mask], masks: list[Mask]) -> Mask:
    whole = masks[0]
    for mask in masks[1:]:
        whole = how(whole, mask)
    return whole
