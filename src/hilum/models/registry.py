"""Which kinds of encoder, preprocessing and tokenizer a model folder may name. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from hilum.models.clip_tokenizer import ClipTokenizer
from hilum.models.encoder import Encoder
from hilum.models.gloria import GloriaArchitecture, GloriaEncoder
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder
from hilum.models.image_text import ImageTextArchitecture, ImageTextEncoder
from hilum.models.preprocess import Preprocess
from hilum.models.preprocess_kinds import LongerSidePadCrop, PadThenResize, ShorterSideCrop, Squash
from hilum.models.towers import Architecture, DualEncoder
from hilum.models.wordpiece_tokenizer import WordPieceTokenizer

# kind -> (description saved in config.json, what builds the encoder from it)
ENCODERS: dict[str, tuple[type[BaseModel], Callable[[Any], Encoder]]] = {
    "clip": (Architecture, DualEncoder),
    "image": (ImageArchitecture, ImageEncoder),
    "image-text": (ImageTextArchitecture, ImageTextEncoder),
    "gloria": (GloriaArchitecture, GloriaEncoder),
}

# kind -> class with `squares`, `tensor` and `__call__` (see Preprocess)
PREPROCESSES: dict[str, type[BaseModel]] = {
    "normalize-then-resize": Preprocess,
    "squash": Squash,
    "shorter-side-crop": ShorterSideCrop,
    "pad-then-resize": PadThenResize,
    "longer-side-pad-crop": LongerSidePadCrop,
}

# kind -> class with `__call__`, `lengths`, `to_json` and `from_json` (see ClipTokenizer)
TOKENIZERS: dict[str, Any] = {
    "clip-bpe": ClipTokenizer,
    "wordpiece": WordPieceTokenizer,
}
