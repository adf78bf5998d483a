"""The pieces of words that REFERS' generator writes reports with: learned from the reports, or a SentencePiece model's."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Metaspace, Punctuation
from tokenizers.pre_tokenizers import Sequence as OneAfterAnother

from hilum.errors import ModelError
from hilum.methods.refers_captions import normalized
from hilum.reports.byte_pairs import learn_merges

BLANK = "▁"
PAD, START, END, MASK, UNKNOWN = SPECIAL = ("[PAD]", "[SOS]", "[EOS]", "[MASK]", "<unk>")
# As released, an unknown word has the id of padding, so that it is never learned.
RELEASED = (UNKNOWN, START, END, MASK)


class _Spelling(Protocol):
    """What splits a text into pieces; ids are its own."""

    size: int
    start: int
    end: int
    never: tuple[int, ...]

    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...

    def piece(self, number: int) -> str: ...

    def to_json(self) -> dict[str, Any]: ...


class ReportPieces:
    """Reports to rows of ids and back. Id 0 is padding.

    Args:
        spelling: what splits a text.
        shift: what is added to its ids: 1 where it has no id for padding of its own.

    Attributes:
        size: how many ids there are.
        start_id, end_id: what brackets a report.
        never: ids that no report is written with: for an unknown piece, for a mask.
    """

    pad_id = 0

    def __init__(self, spelling: _Spelling, shift: int) -> None:
        self._spelling, self._shift = spelling, shift
        self.size = spelling.size + shift
        self.start_id, self.end_id = spelling.start + shift, spelling.end + shift
        self.never = tuple(number + shift for number in spelling.never)

    @classmethod
    def learned_from(cls, reports: Iterable[str], size: int, compat: bool = False) -> Self:
        """At most `size` pieces, the same from the same reports in any order.

        Args:
            reports: texts as they are; they are normalized here.
            size: how many pieces; every sign that occurs is one.
            compat: an unknown piece has the id of padding.

        Example:
            >>> pieces = ReportPieces.learned_from(["clear lungs", "clear heart"] * 3, 24)
            >>> pieces.text(pieces.rows(["Heart clear"], 20)[0][0])
            'heart clear'
        """
        return cls(_Learned.on(reports, size, RELEASED if compat else SPECIAL), shift=0)

    @classmethod
    def from_sentencepiece(cls, path: str | Path, compat: bool = False) -> Self:
        """The pieces of a SentencePiece model file, whose pieces `[SOS]` and `[EOS]` (else its own signs) bracket a report.

        Args:
            path: a `.model` file.
            compat: ids as they are in the file, 0 is padding as well as what the file says; else an id is put before them
                where 0 is not the file's own padding.

        Raises:
            ModelError: sentencepiece is not installed, or it is no such file, or it has no pieces for start and end.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ModelError(f"pieces={path}: cannot be read ({error}). Give a SentencePiece .model file.") from None
        spelling = _SentencePiece(content, str(path))
        return cls(spelling, shift=0 if compat or spelling.pads_with_zero else 1)

    def rows(self, texts: Sequence[str], most: int) -> tuple[np.ndarray, np.ndarray]:
        """Texts as rows of ids: start, pieces, end, cut to `most` (a text that is cut has no end).

        Returns:
            (N, L) int64 padded to the longest, and (N,) int64 how many ids of each are not padding.
        """
        encoded = [self._bracketed(ids)[:most] for ids in self._encode(texts)]
        lengths = np.array([len(ids) for ids in encoded], np.int64)
        rows = np.full((len(texts), max(lengths, default=0)), self.pad_id, np.int64)
        for row, ids in zip(rows, encoded, strict=True):
            row[: len(ids)] = ids
        return rows, lengths

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """How many ids each text needs, start and end included: (N,)."""
        return np.array([len(ids) + 2 for ids in self._encode(texts)], np.int64)

    def text(self, ids: Iterable[int]) -> str:
        """The text of a row; start, end and padding are left out, and what comes after the end."""
        spelled = []
        for number in map(int, ids):
            if number == self.end_id:
                break
            if number not in (self.pad_id, self.start_id):
                spelled.append(self._spelling.piece(number - self._shift))
        return "".join(spelled).replace(BLANK, " ").strip()

    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs."""
        return {"shift": self._shift, **self._spelling.to_json()}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """The pieces that `to_json` told of."""
        kind = _SentencePiece if saved["kind"] == "sentencepiece" else _Learned
        return cls(kind.from_json(saved), saved["shift"])

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        plain = [" ".join(normalized(text).split()) for text in texts]
        return [[number + self._shift for number in ids] for ids in self._spelling.encode(plain)]

    def _bracketed(self, ids: list[int]) -> list[int]:
        return [self.start_id, *ids, self.end_id]


class _Learned:
    """Byte pairs within words; a word begins with a blank, punctuation stands alone."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.size = int(tokenizer.get_vocab_size())
        self.start, self.end, *never = (tokenizer.get_vocab()[sign] for sign in (START, END, MASK, UNKNOWN))
        self.never: tuple[int, ...] = tuple(never)

    @classmethod
    def on(cls, reports: Iterable[str], size: int, special: Sequence[str]) -> _Learned:
        splits = OneAfterAnother([Metaspace(BLANK, prepend_scheme="always"), Punctuation("isolated")])
        words: Counter[str] = Counter()
        for report in reports:
            words.update(word for word, _ in splits.pre_tokenize_str(" ".join(normalized(report).split())))
        spelled = sorted(words)
        found = dict.fromkeys([*special, *sorted({sign for word in spelled for sign in word})])
        merges: list[tuple[str, str]] = []
        if len(found) < size:
            for pair in learn_merges(spelled, [words[word] for word in spelled], "".join):
                merges.append(pair)
                found["".join(pair)] = None
                if len(found) >= size:
                    break
        vocabulary = {piece: number for number, piece in enumerate(found)}
        tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = splits
        return cls(tokenizer)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self._tokenizer.encode_batch_fast(list(texts))]

    def piece(self, number: int) -> str:
        return str(self._tokenizer.id_to_token(number))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "byte-pairs", "tokenizer": json.loads(self._tokenizer.to_str())}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> _Learned:
        return cls(Tokenizer.from_str(json.dumps(saved["tokenizer"])))


class _SentencePiece:
    """A model file of the sentencepiece library."""

    def __init__(self, content: bytes, source: str) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError:
            raise ModelError(
                f"pieces={source}: the package sentencepiece is not installed. Run: pip install sentencepiece"
            ) from None
        self._content = content
        self._model = SentencePieceProcessor()
        try:
            self._model.LoadFromSerializedProto(content)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"pieces={source}: not a SentencePiece model ({error}).") from None
        self.size = int(self._model.GetPieceSize())
        self.start, self.end = self._sign(START, self._model.bos_id()), self._sign(END, self._model.eos_id())
        if min(self.start, self.end) < 0:
            raise ModelError(
                f"pieces={source}: it has no pieces {START} and {END}, nor signs of its own for start and end. "
                f"Train it with user_defined_symbols={START},{END}."
            )
        self.pads_with_zero = self._model.pad_id() == 0
        self.never: tuple[int, ...] = tuple(
            {number for number in (self._model.unk_id(), self._sign(MASK, -1)) if number >= 0}
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(map(int, self._model.EncodeAsIds(text))) for text in texts]

    def piece(self, number: int) -> str:
        return str(self._model.IdToPiece(number))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "sentencepiece", "model": base64.b64encode(self._content).decode()}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> _SentencePiece:
        return cls(base64.b64decode(saved["model"]), "saved")

    def _sign(self, piece: str, own: int) -> int:
        number = int(self._model.PieceToId(piece))
        return number if self._model.IdToPiece(number) == piece else int(own)
