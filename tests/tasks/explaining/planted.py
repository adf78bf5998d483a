"""Radiographs of noise with a bright square planted in them, and models with a head that tells whether there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hilum.models import (
    Architecture,
    DualEncoder,
    Encoder,
    ImageArchitecture,
    ImageEncoder,
    Model,
    Preprocessing,
    ShorterSideCrop,
    Text,
    Vision,
    tower_named,
)
from hilum.models.head import Head

SQUARE_PX = 10


def pictures(count: int, seed: int, planted: bool = True) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
    """(80, 64) noise with a square away from the cut ends; and the square's upper left corners."""
    rng = np.random.default_rng(seed)
    images, corners = [], []
    for _ in range(count):
        image = rng.integers(40, 90, (80, 64)).astype(np.uint8)
        y, x = int(rng.integers(16, 54)), int(rng.integers(4, 50))
        if planted:
            image[y : y + SQUARE_PX, x : x + SQUARE_PX] = 230
        images.append(image)
        corners.append((y, x))
    return images, corners


def model_of(tower: str, side_px: int = 64, preprocess: Preprocessing | None = None, **changes: Any) -> Model:
    """An untrained model: of a named tower, or 'clip-vit' or 'clip-resnet'."""
    torch.manual_seed(0)
    encoder: Encoder
    if tower.startswith("clip"):
        layers = 2 if tower == "clip-vit" else (1, 1, 1, 1)
        width = 64 if tower == "clip-vit" else 32
        vision = Vision(image_size=side_px, layers=layers, width=width, patch_size=8, head_width=32)
        encoder = DualEncoder(Architecture(embed_dim=64, vision=vision, text=Text(width=32, heads=2, layers=1)))
    else:
        encoder = ImageEncoder(ImageArchitecture(tower=tower_named(tower, side_px, **changes)))
    return Model(encoder, preprocess or ShorterSideCrop(canvas_px=side_px), None, device="cpu")


def head_for_squares(model: Model) -> Head:
    """Ridge regression of "there is a square" on the features of 160 pictures."""
    images = pictures(80, 1)[0] + pictures(80, 2, planted=False)[0]
    features = model.features(images).astype(np.float64)
    truth = np.repeat([1.0, -1.0], 80)
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    z = (features - mean) / spread
    weights = np.linalg.solve(z.T @ z + 10 * np.eye(z.shape[1]), z.T @ truth) / spread
    return Head("binary", ("Square",), weights[None].astype(np.float32), np.array([-weights @ mean], np.float32))
