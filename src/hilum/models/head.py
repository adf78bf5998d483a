"""A linear head: what turns an encoder's features into scores of findings or classes. Saved beside the encoder, or alone."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hilum.errors import ModelError

HEAD_CONFIG, HEAD_WEIGHTS = "head.json", "head.safetensors"
FORMAT_VERSION = 1
TASKS = ("binary", "multi-label", "multi-class", "ordinal")


@dataclass(frozen=True, eq=False)
class Head:
    """Weights on features.

    Attributes:
        task: binary and multi-label: each finding on its own (sigmoid); multi-class: one of the classes (softmax); ordinal:
            one of the classes in rising order (proportional odds).
        names: C findings or classes.
        weights: (C, F) float32 or float64; (1, F) where ordinal.
        offsets: (C,) float32 intercepts; where ordinal the C - 1 rising thresholds.
        provenance: what made it; saved in head.json.
    """

    task: str
    names: tuple[str, ...]
    weights: np.ndarray
    offsets: np.ndarray
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, offsets = (1, len(self.names) - 1) if self.task == "ordinal" else (len(self.names),) * 2
        if self.task not in TASKS or self.weights.shape[:1] != (rows,) or self.offsets.shape != (offsets,):
            raise ModelError(
                f"a {self.task} head of {len(self.names)} names with weights {self.weights.shape} and offsets "
                f"{self.offsets.shape}; expected a task of {', '.join(TASKS)}, and ({rows}, F) and ({offsets},)."
            )

    @property
    def width(self) -> int:
        """F, how many features it reads."""
        return int(self.weights.shape[1])

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change when task, names or weights do."""
        described = json.dumps([self.task, list(self.names)]).encode()
        parts = described + self.weights.astype("<f8").tobytes() + self.offsets.astype("<f8").tobytes()
        return hashlib.sha256(parts).hexdigest()[:16]

    def linear(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features to (N, C) logits; where ordinal, (N, 1) scores to be compared with the thresholds."""
        if features.shape[1:] != (self.width,):
            raise ModelError(
                f"the head reads {self.width} features, got {features.shape[1:]}. Is it of another encoder?"
            )
        z = features.astype(np.float64) @ self.weights.astype(np.float64).T
        return z if self.task == "ordinal" else z + self.offsets

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features to (N, C) in [0, 1]: of each finding, or of each class (rows sum to 1).

        In float64: single precision would make sure images equal, and cost AUROC.
        """
        z = self.linear(features)
        if self.task == "ordinal":
            at_most = sigmoid(self.offsets - z)  # (N, C - 1) P(class <= k)
            edges = np.concatenate([np.zeros((len(z), 1)), at_most, np.ones((len(z), 1))], axis=1)
            return np.diff(edges, axis=1)
        if self.task == "multi-class":
            raised = np.exp(z - z.max(axis=1, keepdims=True))
            return np.asarray(raised / raised.sum(axis=1, keepdims=True))
        return sigmoid(z)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `head.safetensors`, then `head.json`, into a folder that exists."""
        from safetensors.numpy import save

        place = Path(folder)
        tensors = {"weight": np.ascontiguousarray(self.weights), "offset": np.ascontiguousarray(self.offsets)}
        _write(place / HEAD_WEIGHTS, save(tensors))
        described = {
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "names": list(self.names),
            "features": self.width,
            "fingerprint": self.fingerprint,
            "provenance": self.provenance,
        }
        _write(place / HEAD_CONFIG, (json.dumps(described, indent=2, sort_keys=True) + "\n").encode())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Head:
        """The head in a folder.

        Raises:
            ModelError: there is none, it is damaged, or from a newer hilum.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        place = Path(folder)
        if not (place / HEAD_CONFIG).is_file():
            raise ModelError(
                f"{place}: expected a model with a head, found no {HEAD_CONFIG}. Make one with `hilum finetune` or "
                "`hilum probe`; an encoder without a head answers through `hilum zeroshot`."
            )
        try:
            described = json.loads((place / HEAD_CONFIG).read_text(encoding="utf-8"))
            tensors = load((place / HEAD_WEIGHTS).read_bytes())
            version, known = described["format_version"], {"weight", "offset"}
            if version > FORMAT_VERSION:
                raise ModelError(
                    f"{place / HEAD_CONFIG}: head format {version} is newer than this hilum. Update hilum."
                )
            if tensors.keys() != known:
                raise ModelError(f"{place / HEAD_WEIGHTS}: expected {sorted(known)}, got {sorted(tensors)}.")
            names = tuple(described["names"])
            head = cls(described["task"], names, tensors["weight"], tensors["offset"], described.get("provenance", {}))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(f"{place}: its head is missing a part or damaged ({error}). Make it again.") from None
        if head.fingerprint != described.get("fingerprint"):
            raise ModelError(
                f"{place}: {HEAD_WEIGHTS} is not the one that {HEAD_CONFIG} describes. Make the head again."
            )
        return head


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, small) / (1 + small)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
