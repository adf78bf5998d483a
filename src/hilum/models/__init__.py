"""Towers, tokenizers, preprocessing, the model folder, and importers of released checkpoints."""

from __future__ import annotations

from hilum.models.clip_tokenizer import ClipTokenizer
from hilum.models.encoder import Encoder
from hilum.models.model import Model, load_all, save_ensemble
from hilum.models.preprocess import Preprocess, Preprocessing
from hilum.models.released import IMPORTERS, Imported, import_checkpoint
from hilum.models.towers import Architecture, DualEncoder, Text, Vision, build

__all__ = [
    "IMPORTERS",
    "Architecture",
    "ClipTokenizer",
    "DualEncoder",
    "Encoder",
    "Imported",
    "Model",
    "Preprocess",
    "Preprocessing",
    "Text",
    "Vision",
    "build",
    "import_checkpoint",
    "load_all",
    "save_ensemble",
]
