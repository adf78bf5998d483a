"""The tokenizer of BERT-family text towers: learned from reports, or read from a vocabulary file or Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from hilum.errors import ModelError
from hilum.models.gloria_text import caption
from hilum.reports.neural.tokens import ReportTokenizer, clean, from_folder

Cleaning = Literal["none", "words"]


class WordPieceTokenizer:
    """Texts to rows of ids: [CLS], ids, [SEP], then padding up to the context length.

    Args:
        reads: tokenizer and special ids.
        context_length: ids in a row, [CLS] and [SEP] included.
        cleaning: "words" takes punctuation, list numbers and non-ASCII signs out first, as GLoRIA's captions are made.
    """

    kind = "wordpiece"

    def __init__(self, reads: ReportTokenizer, context_length: int = 256, cleaning: Cleaning = "none") -> None:
        if context_length < 2:
            raise ModelError(f"context_length is {context_length}; [CLS] and [SEP] alone need 2.")
        if cleaning not in ("none", "words"):
            raise ModelError(f"cleaning is {cleaning!r}; expected none or words.")
        self.context_length, self.cleaning = context_length, cleaning
        self.first_id, self.last_id, self.pad_id = reads.first, reads.last, reads.pad
        self._tokenizer = reads.tokenizer
        self._tokenizer.encode_special_tokens = True  # a report that spells out "[SEP]" must not end there

    @classmethod
    def learned_from(
        cls, texts: Iterable[str], size: int, context_length: int = 256, cleaning: Cleaning = "none"
    ) -> WordPieceTokenizer:
        """An uncased vocabulary of at most `size` pieces from reports; the same reports give the same vocabulary."""
        if cleaning == "words":
            texts = (caption(text) for text in texts)
        return cls(ReportTokenizer.trained_on(texts, size), context_length, cleaning)

    @classmethod
    def from_path(
        cls, path: str | Path, context_length: int = 256, cleaning: Cleaning = "none", lowercase: bool | None = None
    ) -> WordPieceTokenizer:
        """From a `vocab.txt`, a `tokenizer.json`, or a local Hugging Face folder with either.

        Args:
            path: the file or folder.
            context_length, cleaning: see the class.
            lowercase: for a `vocab.txt`; by default what the `tokenizer_config.json` beside it says, else True, as in
                Hugging Face's BERT.

        Raises:
            ModelError: it is no vocabulary of a BERT-family encoder.
        """
        path = Path(path)
        if path.is_dir():
            return cls(from_folder(path), context_length, cleaning)
        if path.suffix == ".json":
            return cls(_from_json_file(path), context_length, cleaning)
        lowercase = _lowercase_beside(path) if lowercase is None else lowercase
        return cls(ReportTokenizer.from_vocabulary(path, lowercase), context_length, cleaning)

    @property
    def size(self) -> int:
        """How many pieces there are."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def continued(self) -> np.ndarray:
        """(size,) bool: True for the pieces that go on with a word (`##al`)."""
        flags = np.zeros(self.size, bool)
        for piece, number in self._tokenizer.get_vocab().items():
            flags[number] = piece.startswith("##")
        return flags

    def clean(self, text: str) -> str:
        """The text as it is encoded, before the vocabulary's own lowercasing."""
        return caption(text) if self.cleaning == "words" else clean(text)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's ids without [CLS] and [SEP], at full length."""
        cleaned = [self.clean(text) for text in texts]
        return [one.ids for one in self._tokenizer.encode_batch_fast(cleaned, add_special_tokens=False)]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The spelling of ids."""
        return [str(self._tokenizer.id_to_token(int(number))) for number in ids]

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """How many ids each text needs, [CLS] and [SEP] included: (N,) int64. More than `context_length` is cut."""
        return np.array([len(ids) + 2 for ids in self.encode(texts)], np.int64)

    def __call__(self, texts: Sequence[str], *, too_long: str = "truncate") -> np.ndarray:
        """Encode texts.

        Args:
            texts: N strings.
            too_long: "truncate" keeps the first ids and [SEP]; "error" refuses.

        Returns:
            (N, context_length) int64.

        Raises:
            ModelError: a text is too long and `too_long` is "error".
        """
        rows = np.full((len(texts), self.context_length), self.pad_id, np.int64)
        for row, text, ids in zip(rows, texts, self.encode(texts), strict=True):
            if too_long == "error" and len(ids) + 2 > self.context_length:
                raise ModelError(
                    f"text of {len(ids) + 2} tokens is longer than the model's {self.context_length}: {text[:60]!r}... "
                    "Shorten it."
                )
            kept = ids[: self.context_length - 2]
            row[: len(kept) + 2] = [self.first_id, *kept, self.last_id]
        return rows

    def to_json(self) -> dict[str, Any]:
        """What `tokenizer.json` in a model folder holds: all that is needed, the vocabulary included."""
        return {
            "kind": self.kind,
            "context_length": self.context_length,
            "cleaning": self.cleaning,
            "first_id": self.first_id,
            "last_id": self.last_id,
            "pad_id": self.pad_id,
            "tokenizer": json.loads(self._tokenizer.to_str()),
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> WordPieceTokenizer:
        """The tokenizer a model folder was saved with.

        Raises:
            ModelError: the saved vocabulary is damaged.
        """
        try:
            tokenizer = Tokenizer.from_str(json.dumps(saved["tokenizer"]))
            reads = ReportTokenizer(tokenizer, saved["first_id"], saved["last_id"], saved["pad_id"])
            return cls(reads, saved["context_length"], saved["cleaning"])
        except ModelError:
            raise
        except Exception as error:  # tokenizers raises bare Exception for whatever is wrong
            raise ModelError(f"tokenizer.json: damaged ({error}). Export or import the model again.") from None


def _from_json_file(path: Path) -> ReportTokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception for whatever is wrong with a file
        raise ModelError(f"{path} is not a tokenizer.json of Hugging Face: {error}") from None
    return ReportTokenizer.from_tokenizer(tokenizer, str(path))


def _lowercase_beside(vocabulary: Path) -> bool:
    settings = vocabulary.with_name("tokenizer_config.json")
    try:
        return bool(json.loads(settings.read_text(encoding="utf-8")).get("do_lower_case", True))
    except FileNotFoundError:
        return True
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ModelError(f"{settings}: damaged JSON ({error}); it says whether the text is lowercased.") from None
