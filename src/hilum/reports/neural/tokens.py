"""From report text to token ids: cleaning, WordPiece, and overlapping windows for reports longer than one window."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from hilum.errors import CheckpointError, ModelError
from hilum.reports.neural.wordpieces import learn_wordpieces

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")


def clean(text: str) -> str:
    """Text as CheXbert reads it: ends stripped, every run of blanks and line ends one blank.

    Example:
        >>> clean("  No effusion.\\n Heart  normal. ")
        'No effusion. Heart normal.'
    """
    return " ".join(text.split())


@dataclass(frozen=True)
class TokenizedReport:
    """One report as the encoder takes it.

    Attributes:
        windows: token ids of each window, first and last special token included.
        tokens: length of the whole report in tokens, special ones not counted.
        cut_tokens: how many of these no window holds (0 unless the labeler was told to cut).
    """

    windows: tuple[tuple[int, ...], ...]
    tokens: int
    cut_tokens: int


class ReportTokenizer:
    """A tokenizer and its special tokens.

    Args:
        tokenizer: a tokenizer of the `tokenizers` library.
        first, last, pad: ids of the special tokens ([CLS], [SEP], [PAD] or <s>, </s>, <pad>).
    """

    def __init__(self, tokenizer: Tokenizer, first: int, last: int, pad: int) -> None:
        self.tokenizer, self.first, self.last, self.pad = tokenizer, first, last, pad
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer, where: str) -> ReportTokenizer:
        """With the special tokens found by their usual names.

        Raises:
            ModelError: one of them is not in the vocabulary.
        """
        ids: list[int] = []
        for names in (("[CLS]", "<s>"), ("[SEP]", "</s>"), ("[PAD]", "<pad>")):
            found = [number for name in names if (number := tokenizer.token_to_id(name)) is not None]
            if not found:
                raise ModelError(
                    f"{where}: the vocabulary has no {' or '.join(names)}; it is not one of a BERT-family encoder."
                )
            ids.append(found[0])
        return cls(tokenizer, *ids)

    @classmethod
    def from_vocabulary(cls, path: Path, lowercase: bool = True) -> ReportTokenizer:
        """The WordPiece tokenizer of a `vocab.txt` (one token a line, the line number is its id)."""
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(
                f"{path} is not a vocabulary: {error}. Expected a text file, one token a line."
            ) from error
        vocabulary = {token: number for number, token in enumerate(lines)}
        if "[UNK]" not in vocabulary:
            raise CheckpointError(f"{path} is not a WordPiece vocabulary: it has no line '[UNK]' among {len(lines)}.")
        return cls.from_tokenizer(_wordpiece(WordPiece(vocabulary, unk_token="[UNK]"), lowercase), str(path))

    @classmethod
    def trained_on(cls, texts: Iterable[str], size: int) -> ReportTokenizer:
        """A WordPiece vocabulary learned from reports, uncased, of at most `size` tokens."""
        words: Counter[str] = Counter()
        normalizer, cutter = BertNormalizer(lowercase=True), BertPreTokenizer()
        for text in texts:
            words.update(word for word, _ in cutter.pre_tokenize_str(normalizer.normalize_str(clean(text))))
        pieces = [*SPECIAL, *learn_wordpieces(words, size - len(SPECIAL))]
        vocabulary = {piece: number for number, piece in enumerate(pieces)}
        tokenizer = _wordpiece(WordPiece(vocabulary, unk_token="[UNK]"), lowercase=True)
        return cls.from_tokenizer(tokenizer, "the vocabulary trained on these reports")

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return int(self.tokenizer.get_vocab_size())

    def reports(self, texts: Sequence[str], max_tokens: int, overlap: int, cut: bool = False) -> list[TokenizedReport]:
        """The windows of each report.

        Args:
            texts: as written; an empty one becomes the two special tokens.
            max_tokens: of a window, special tokens included.
            overlap: tokens of whole sentences that two neighboring windows may share.
            cut: keep only the first window, as the original CheXbert does, and count what is lost.
        """
        room = max_tokens - 2
        cleaned = [clean(text) for text in texts]
        encoded = self.tokenizer.encode_batch_fast(cleaned, add_special_tokens=False)
        found = []
        for text, one in zip(cleaned, encoded, strict=True):
            ids = one.ids
            if len(ids) <= room:
                spans = [(0, len(ids))]
            elif cut:
                spans = [(0, room)]
            else:
                spans = window_spans(len(ids), self._sentence_starts(text), room, overlap)
            windows = tuple((self.first, *ids[start:end], self.last) for start, end in spans)
            found.append(TokenizedReport(windows, len(ids), max(0, len(ids) - room) if cut else 0))
        return found

    def _sentence_starts(self, text: str) -> list[int]:
        """The token each sentence starts with."""
        offsets = [start for start, _ in self.tokenizer.encode(text, add_special_tokens=False).offsets]
        return [bisect_left(offsets, found.end()) for found in _SENTENCE_END.finditer(text)]


def window_spans(length: int, sentence_starts: Sequence[int], room: int, overlap: int) -> list[tuple[int, int]]:
    """(start, end) of windows that cover all tokens and hold whole sentences, where a sentence fits.

    A window that began behind the "no" of "no effusion" would read an effusion: windows start and end between sentences,
    and share up to `overlap` tokens of whole sentences. Only a sentence longer than a window is cut, with the full overlap.

    Example:
        >>> window_spans(25, [6, 13, 20], room=14, overlap=2)
        [(0, 13), (13, 25)]
        >>> window_spans(25, [], room=10, overlap=2)
        [(0, 10), (8, 18), (16, 25)]
    """
    spans: list[tuple[int, int]] = []
    start = 0
    while length - start > room:
        whole = [place for place in sentence_starts if start < place <= start + room]
        end = whole[-1] if whole else start + room
        spans.append((start, end))
        shared = [place for place in whole if place >= end - overlap]
        start = shared[0] if shared else max(end - overlap, start + 1)
    return [*spans, (start, length)]


def from_folder(folder: Path) -> ReportTokenizer:
    """The tokenizer of a local Hugging Face folder (`tokenizer.json`, or `vocab.txt` alone)."""
    if (folder / "tokenizer.json").is_file():
        return ReportTokenizer.from_tokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")), str(folder))
    if (folder / "vocab.txt").is_file():
        return ReportTokenizer.from_vocabulary(folder / "vocab.txt", lowercase=_is_uncased(folder))
    from transformers import AutoTokenizer

    try:
        made: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        return ReportTokenizer.from_tokenizer(made.backend_tokenizer, str(folder))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder} holds no tokenizer (tokenizer.json or vocab.txt): {error}") from error


def _is_uncased(folder: Path) -> bool:
    import json

    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return bool(settings.get("do_lower_case", True))


def _wordpiece(model: WordPiece, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer
