"""CLIP's byte-level BPE tokenizer, with the vocabulary that ships in open_clip.

Radford et al. 2021, section 2.4. Text that spells out a special token is ordinary text by default: a report must not be
able to inject the end-of-text id, which is where the sentence embedding is read.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilum.errors import ModelError

BPE_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
START_ID, END_ID, VOCAB_SIZE = 49406, 49407, 49408

_OFFICIAL = {"<|startoftext|>": START_ID, "<|endoftext|>": END_ID}
_OFFICIAL_PATTERN = re.compile("(" + "|".join(map(re.escape, _OFFICIAL)) + ")")


class ClipTokenizer:
    """Texts to rows of ids: start, ids, end, then zeros up to the context length.

    Args:
        context_length: ids in a row, start and end included.
        literal_specials: True reads `<|startoftext|>` and `<|endoftext|>` in a text as the special ids, as the original
            tokenizer does; False (default) encodes them as ordinary characters.
    """

    kind = "clip-bpe"

    def __init__(self, context_length: int = 77, literal_specials: bool = False) -> None:
        import open_clip.tokenizer as packaged

        self.context_length = context_length
        self.literal_specials = literal_specials
        self._packaged = packaged.SimpleTokenizer(context_length=context_length)
        # open_clip reads its own spellings as special ids; drop them so that they are ordinary text too.
        pattern = self._packaged.pat.pattern.removeprefix("<start_of_text>|<end_of_text>|")
        self._packaged.pat = packaged.re.compile(pattern, packaged.re.IGNORECASE)
        for spelling in ("<start_of_text>", "<end_of_text>"):
            self._packaged.cache.pop(spelling, None)

    def clean(self, text: str) -> str:
        """The text as it is encoded: mojibake and HTML entities mended, white space folded, lower case."""
        return str(self._packaged.clean_fn(text))

    def encode(self, text: str) -> list[int]:
        """The text's ids without start and end, at full length."""
        text = self.clean(text)
        if not self.literal_specials:
            return self._encode_plain(text)
        ids: list[int] = []
        for part in _OFFICIAL_PATTERN.split(text):
            ids += [_OFFICIAL[part]] if part in _OFFICIAL else self._encode_plain(part)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text behind ids without start, end and padding."""
        spelled = {number: spelling for spelling, number in _OFFICIAL.items()}
        out, run = [], []
        for number in [*ids, None]:
            if number is not None and number not in spelled:
                run.append(int(number))
                continue
            out.append(str(self._packaged.decode(run)) if run else "")
            run = []
            out.append(spelled.get(number, "") if number is not None else "")
        return "".join(out)

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """How many ids each text needs, start and end included: (N,) int64. More than `context_length` is cut."""
        return np.array([len(self.encode(text)) + 2 for text in texts], np.int64)

    def __call__(self, texts: Sequence[str], *, too_long: str = "truncate") -> np.ndarray:
        """Encode texts.

        Args:
            texts: N strings.
            too_long: "truncate" keeps the first ids and overwrites the last with the end id (as in training);
                "error" refuses (as the original zero-shot tokenizer does).

        Returns:
            (N, context_length) int64.

        Raises:
            ModelError: a text is too long and `too_long` is "error".
        """
        rows = np.zeros((len(texts), self.context_length), np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = [START_ID, *self.encode(text), END_ID]
            if len(ids) > self.context_length:
                if too_long == "error":
                    raise ModelError(
                        f"text of {len(ids)} tokens is longer than the model's {self.context_length}: {text[:60]!r}... "
                        "Shorten it."
                    )
                ids = [*ids[: self.context_length - 1], END_ID]
            row[: len(ids)] = ids
        return rows

    def to_json(self) -> dict[str, Any]:
        """What `tokenizer.json` in a model folder holds."""
        return {
            "kind": self.kind,
            "context_length": self.context_length,
            "literal_specials": self.literal_specials,
            "bpe_sha256": BPE_SHA256,
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> ClipTokenizer:
        """The tokenizer a model folder was saved with.

        Raises:
            ModelError: the vocabulary packaged with the installed open_clip is another one.
        """
        if saved["bpe_sha256"] != _packaged_sha256():
            raise ModelError(
                f"tokenizer.json: the model was trained with the BPE vocabulary {saved['bpe_sha256'][:12]}..., the installed "
                f"open_clip_torch ships {_packaged_sha256()[:12]}.... Install the open_clip_torch release the model was made with."
            )
        return cls(saved["context_length"], saved.get("literal_specials", False))

    def _encode_plain(self, cleaned: str) -> list[int]:
        packaged, ids = self._packaged, []
        for word in packaged.pat.findall(cleaned):
            spelled = "".join(packaged.byte_encoder[byte] for byte in word.encode("utf-8"))
            ids += [packaged.encoder[piece] for piece in packaged.bpe(spelled).split(" ")]
        return ids


def _packaged_sha256() -> str:
    import open_clip.tokenizer as packaged

    return hashlib.sha256(Path(packaged.default_bpe()).read_bytes()).hexdigest()


def merge_count() -> int:
    """How many merges the packaged vocabulary holds."""
    import open_clip.tokenizer as packaged

    with gzip.open(packaged.default_bpe(), "rt", encoding="utf-8") as lines:
        return len(lines.read().split("\n")[1 : 49152 - 256 - 2 + 1])
