"""Report text as GLoRIA reads it: short sentences of plain lower-case words (Huang et al. 2021, released code)."""

from __future__ import annotations

import re

# "1." numbers a list, "3.5" is a measure. The released code splits at both and so cuts "3.5 mm" into "..." and "5 mm".
_LIST_NUMBER = re.compile(r"(?<![\d.])\d+\.(?!\d)")
_LIST_NUMBER_RELEASED = re.compile(r"[0-9]+\.")
_STOP = re.compile(r"\.(?!\d)")
_WORD = re.compile(r"\w+")
_RELEASED_STOP = 5  # words


def split_sentences(text: str, min_words: int = 1, compat: str | None = None) -> list[str]:
    """A report's sentences, each lower-case words with single blanks: no punctuation, list numbers or non-ASCII signs.

    Args:
        text: an impression or a prompt.
        min_words: sentences of fewer words are left out. The released code takes 2, so that its prompt "Cardiomegaly" is empty.
        compat: "gloria" also splits inside of decimals, as the released code does.

    Example:
        >>> split_sentences("1. Stable cardiomegaly, mild.  2. Nodule of 3.5 mm. 3. Edema")
        ['stable cardiomegaly mild', 'nodule of 3 5 mm', 'edema']
        >>> split_sentences("Nodule of 3.5 mm. Edema.", min_words=2, compat="gloria")
        ['nodule of', '5 mm']
    """
    released = compat == "gloria"
    numbers, stop = (_LIST_NUMBER_RELEASED, re.compile(r"\.")) if released else (_LIST_NUMBER, _STOP)
    parts = [part for block in numbers.split(text.replace("\n", " ")) for part in stop.split(block)]
    sentences = []
    for part in parts:
        found = _WORD.findall(part.lower())
        words = [ascii_ for word in found if (ascii_ := word.encode("ascii", "ignore").decode())]
        if len(found if released else words) >= min_words:
            sentences.append(" ".join(words))
    return [sentence for sentence in sentences if sentence]


def training_sentences(text: str, min_words: int = 2, compat: str | None = None) -> list[str]:
    """The sentences of a report that training draws from.

    Args:
        text: an impression.
        min_words: sentences of fewer words are left out (released: 2).
        compat: "gloria" leaves out all that comes after the sentence with which the report's words are five in all, as the
            released code does: it means a limit of words, reads it from the setting of another limit, and asks for equality.

    Example:
        >>> report = "One two three four five. Pneumothorax is there."
        >>> training_sentences(report)
        ['one two three four five', 'pneumothorax is there']
        >>> training_sentences(report, compat="gloria")
        ['one two three four five']
    """
    sentences = split_sentences(text, min_words, compat)
    if compat == "gloria":
        words = 0
        for number, sentence in enumerate(sentences):
            words += len(sentence.split())
            if words == _RELEASED_STOP:
                return sentences[: number + 1]
    return sentences


def caption(text: str) -> str:
    """All sentences of a text as one caption.

    Example:
        >>> caption("No pneumothorax.\\n2. Cardiomegaly")
        'no pneumothorax cardiomegaly'
    """
    return " ".join(split_sentences(text))
