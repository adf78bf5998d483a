"""Words of a report: cleaning that moves no offset, tokens, sentences, and one form for every form of a word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,120}>|<!--.*?-->", re.S)
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{1,5}|#x[0-9a-fA-F]{1,4});")
_RTF = re.compile(r"\\(?:\*|'[0-9a-fA-F]{2}|[a-zA-Z]+-?\d{0,6} ?|[{}\\~])|[{}]")
_LINE_TAG = re.compile(r"</?(?:br|p|div|li|tr|h\d)\b", re.I)

TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:[.,]\d+)*|_+|\S")

BREAK = "\x1e"  # marks a line end that ends a sentence
_END = re.compile(
    r"(?<!\bvs)(?<!\bdr)(?<!\bmr)(?<!\bi\.e)(?<!\be\.g)(?:[.!]|(?<=[^\s])\?)+(?=\s|$|[)\"'\]])"  # a full stop before a blank
    r"|(?<=[a-z]{2})[.!?](?=[a-z]{2})|(?<=[a-z]{2})\.(?=\d)|(?<=\d)\.(?=[a-z]{2})"  # a missing blank: "effusions.No"
    r"|(?<=_)\.|\x1e+"
)
_LIST_ITEM = re.compile(r"[ \t]*(?:\(?\d{1,2}[.)]|[-*•·>])[ \t]*\S|[ \t]*[A-Z][A-Za-z /&-]{2,40}:")
LONGEST = 1500  # characters of a sentence
SHORT_LINE = 50  # characters; a line this short before a capital letter ended on purpose


def clean(text: str) -> str:
    """The text in lower case without markup, of equal length: character i of both is the same place.

    Remains of HTML and RTF become blanks, line ends become blanks or, where they end a sentence, a mark.

    Example:
        >>> clean("No<br>Edema")
        'no\\x1e   edema'
    """
    if "<" in text or "&" in text:
        text = _TAG.sub(_blank_tag, text)
        text = _ENTITY.sub(lambda match: " " * len(match.group()), text)
    if "{\\rtf" in text or "\\par" in text:
        text = _RTF.sub(_blank_rtf, text)
    if "\n" in text or "\r" in text:
        text = _mark_lines(text.replace("\r\n", " \n").replace("\r", "\n"))
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
    return lower


def _blank_tag(match: re.Match[str]) -> str:
    tag = match.group()
    return ("\n" if _LINE_TAG.match(tag) else " ") + " " * (len(tag) - 1)


def _blank_rtf(match: re.Match[str]) -> str:
    word = match.group()
    return ("\n" if word.startswith(("\\par", "\\line")) and not word.startswith("\\pard") else " ") + " " * (
        len(word) - 1
    )


def _mark_lines(text: str) -> str:
    lines = text.split("\n")
    marked = [lines[0]]
    for before, line in pairwise(lines):
        ends = not line.strip() or not before.strip() or _LIST_ITEM.match(line) is not None
        if not ends and len(before.strip()) < SHORT_LINE:
            ends = line.lstrip()[:1].isupper()
        marked.append((BREAK if ends else " ") + line)
    return "".join(marked)


def sentences(cleaned: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence in cleaned text, its closing mark included, blanks at both ends left out.

    Example:
        >>> [("no effusions.no edema")[a:b] for a, b in sentences("no effusions.no edema")]
        ['no effusions.', 'no edema']
    """
    start = 0
    for match in _END.finditer(cleaned):
        end = match.end()
        if end - start > LONGEST:
            yield from _in_pieces(cleaned, start, end)
        else:
            yield from _trimmed(cleaned, start, end)
        start = end
    yield from _in_pieces(cleaned, start, len(cleaned))


def _in_pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Something without a full stop for pages is read in pieces, so that time stays linear in length."""
    while end - start > LONGEST:
        cut = max(text.rfind(mark, start, start + LONGEST) for mark in (",", ";", " "))
        cut = cut + 1 if cut > start else start + LONGEST
        yield from _trimmed(text, start, cut)
        start = cut
    yield from _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    body = text[start:end]
    stripped = body.strip(" \t\x1e\x0b\x0c\u00a0")
    if stripped:
        start += body.index(stripped)
        yield start, start + len(stripped)


class Forms(dict[str, str]):
    """Every form of a word -> the one form that phrases are written in; learned once per word seen.

    A stem ("atelecta*") takes all words that begin with it ("*atelecta*": that hold it); a plural takes its singular where
    that is known; a word of six or more letters within one edit (ten or more: two) of one in the spelling list is read as
    that word.
    """

    LIMIT = 200_000  # words kept; a flood of nonsense words must not fill the memory

    def __init__(
        self, forms: dict[str, list[str]], known: Iterable[str], spelling: Iterable[str], not_misspelled: Iterable[str]
    ) -> None:
        super().__init__()
        known = set(known)
        stems = [word[:-1] for word in known if word.endswith("*")]
        self._stems = tuple(sorted((stem for stem in stems if stem[0] != "*"), key=len, reverse=True))
        self._inner = tuple(sorted((stem[1:] for stem in stems if stem[0] == "*"), key=len, reverse=True))
        self._known = {word for word in known if not word.endswith("*")}
        self._right = {*not_misspelled, *self._known}
        self._forms = {other: one for one, others in forms.items() for other in others}
        self._spelling: dict[str, list[str]] = {}
        for word in spelling:
            self._spelling.setdefault(word[0], []).append(word)

    def knows(self, word: str) -> bool:
        """Whether a word, in any form, is one that phrases are written with."""
        form = self[word]
        return form in self._known or form.endswith("*")

    def __missing__(self, word: str) -> str:
        if len(self) > self.LIMIT:
            self.clear()
        form = self._form(word)
        self[word] = form
        return form

    def _form(self, word: str) -> str:
        if word in self._forms:
            return self._forms[word]
        if word.endswith("*"):
            return word
        for stem in self._stems:
            if word.startswith(stem):
                return stem + "*"
        for stem in self._inner:
            if stem in word:
                return f"*{stem}*"
        if len(word) > 3 and word[-1] == "s" and word[-2:] not in ("ss", "us"):
            for singular in (
                word[:-1],
                word[:-2] if word.endswith("es") else "",
                word[:-3] + "y" if word.endswith("ies") else "",
            ):
                if singular in self._known:
                    return singular
        if word in self._known or len(word) < 6 or not word.isalpha():
            return word
        return self._spelled(word)

    def _spelled(self, word: str) -> str:
        if word in self._right:
            return word
        for target in self._spelling.get(word[0], ()):
            limit = 2 if len(target) >= 10 else 1
            if abs(len(target) - len(word)) <= limit and _edits(word, target, limit) <= limit:
                return self._form(target)
        return word


def _edits(a: str, b: str, limit: int) -> int:
    """Edits from `a` to `b`, two swapped neighbors counting once (optimal string alignment); above `limit` it stops."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        two_up, before, row = before, row, [i]
        for j, other in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                cost = min(cost, two_up[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]
