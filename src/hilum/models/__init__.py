"""Towers, tokenizers, preprocessing, the model folder, and importers of released checkpoints."""

from __future__ import annotations

from hilum.models.clip_tokenizer import ClipTokenizer
from hilum.models.encoder import Encoder
from hilum.models.image_encoder import ImageArchitecture, ImageEncoder, ProjectionHead
from hilum.models.image_towers import TowerDescription, build_tower, tower_named
from hilum.models.imagenet import imagenet_model
from hilum.models.model import Model, load_all, save_ensemble
from hilum.models.preprocess import Preprocess, Preprocessing
from hilum.models.preprocess_kinds import LongerSidePadCrop, PadThenResize, Scaled, ShorterSideCrop, Squash
from hilum.models.released import IMPORTERS, Imported, import_checkpoint
from hilum.models.tower import FeatureMaps, ImageTower
from hilum.models.tower_weights import load_pretrained
from hilum.models.towers import Architecture, DualEncoder, Text, Vision, build

__all__ = [
    "IMPORTERS",
    "Architecture",
    "ClipTokenizer",
    "DualEncoder",
    "Encoder",
    "FeatureMaps",
    "ImageArchitecture",
    "ImageEncoder",
    "ImageTower",
    "Imported",
    "LongerSidePadCrop",
    "Model",
    "PadThenResize",
    "Preprocess",
    "Preprocessing",
    "ProjectionHead",
    "Scaled",
    "ShorterSideCrop",
    "Squash",
    "Text",
    "TowerDescription",
    "Vision",
    "build",
    "build_tower",
    "imagenet_model",
    "import_checkpoint",
    "load_all",
    "load_pretrained",
    "save_ensemble",
    "tower_named",
]
