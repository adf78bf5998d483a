"""Towers, tokenizers, preprocessing, the model folder, and importers of released checkpoints."""

from __future__ import annotations

from hilum.models.clip_tokenizer import ClipTokenizer
from hilum.models.encoder import Encoder
from hilum.models.gloria import GloriaArchitecture, GloriaEncoder
from hilum.models.hf_folder import from_hf_folder
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder, ProjectionHead
from hilum.models.image_text import ImageTextArchitecture, ImageTextEncoder
from hilum.models.image_towers import TowerDescription, build_tower, tower_named
from hilum.models.imagenet import imagenet_model
from hilum.models.model import Model, load_all, save_ensemble
from hilum.models.preprocess import Preprocess, Preprocessing
from hilum.models.preprocess_kinds import LongerSidePadCrop, PadThenResize, Scaled, ShorterSideCrop, Squash
from hilum.models.projections import Projection
from hilum.models.released import IMPORTERS, Imported, import_checkpoint
from hilum.models.text_towers import TextDescription, TextTower, build_text_tower, text_tower_named
from hilum.models.tower import FeatureMaps, ImageTower
from hilum.models.tower_weights import load_pretrained
from hilum.models.towers import Architecture, DualEncoder, Text, Vision, build
from hilum.models.wordpiece_tokenizer import WordPieceTokenizer

__all__ = [
    "IMPORTERS",
    "Architecture",
    "ClipTokenizer",
    "DualEncoder",
    "Encoder",
    "FeatureMaps",
    "GloriaArchitecture",
    "GloriaEncoder",
    "ImageArchitecture",
    "ImageEncoder",
    "ImageTextArchitecture",
    "ImageTextEncoder",
    "ImageTower",
    "Imported",
    "LongerSidePadCrop",
    "Model",
    "PadThenResize",
    "Preprocess",
    "Preprocessing",
    "Projection",
    "ProjectionHead",
    "Scaled",
    "ShorterSideCrop",
    "Squash",
    "Text",
    "TextDescription",
    "TextTower",
    "TowerDescription",
    "Vision",
    "WordPieceTokenizer",
    "build",
    "build_text_tower",
    "build_tower",
    "from_hf_folder",
    "imagenet_model",
    "import_checkpoint",
    "load_all",
    "load_pretrained",
    "save_ensemble",
    "text_tower_named",
    "tower_named",
]
