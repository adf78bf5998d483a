"""A model is a folder: config.json, model.safetensors, tokenizer.json and a card. The same whether trained here or imported."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from hilum.errors import ModelError
from hilum.models.encoder import Encoder, to_float32
from hilum.models.preprocess import Preprocessing
from hilum.models.registry import ENCODERS, PREPROCESSES, TOKENIZERS

FORMAT_VERSION = 1
CONFIG, WEIGHTS, TOKENIZER, CARD = "config.json", "model.safetensors", "tokenizer.json", "README.md"


class Model:
    """An encoder of chest radiographs and reports, ready to use (evaluation mode, no gradients).

    Args:
        encoder: the towers.
        preprocess: how stored pixels become the towers' input.
        tokenizer: how texts become ids; None for an encoder of images alone.
        provenance: what made the weights (method, recipe, data counts, text policy); saved in config.json.
        device: where to compute; default the first GPU, else the CPU.

    Example:
        >>> model = hilum.Model.load("runs/chexzero")  # doctest: +SKIP
        >>> model.embed_texts(["pleural effusion"]).shape  # doctest: +SKIP
        (1, 512)
    """

    def __init__(
        self,
        encoder: Encoder,
        preprocess: Preprocessing,
        tokenizer: Any,
        provenance: dict[str, Any] | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.encoder = encoder.to(self.device).eval()
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.provenance = provenance or {}
        self.name = str(self.provenance.get("name", "model"))
        self._fingerprint: str | None = None

    @property
    def embed_dim(self) -> int:
        """D, the width of an embedding."""
        return self.encoder.embed_dim

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change when weights, architecture, preprocessing or tokenizer do."""
        if self._fingerprint is None:
            self._fingerprint = self._fingerprint_of(_sha256_of_bytes(self._weights()))
        return self._fingerprint

    def embed_images(
        self, pixels: Sequence[np.ndarray] | np.ndarray, *, normalize: bool = True, batch_size: int = 64
    ) -> np.ndarray:
        """Embed radiographs.

        Args:
            pixels: N images, each (H, W) uint8 gray; sizes may differ.
            normalize: unit rows (default), or the encoder's own lengths.
            batch_size: images at once in the tower.

        Returns:
            (N, D) float32.

        Raises:
            ModelError: pixels are not 8-bit gray images.
        """
        if isinstance(pixels, np.ndarray) and pixels.ndim == 2:
            pixels = pixels[None]
        chunks = [
            self.embed_squares(self.preprocess.squares(pixels[start : start + batch_size]))
            for start in range(0, len(pixels), batch_size)
        ]
        vectors = np.concatenate(chunks) if chunks else np.zeros((0, self.embed_dim), np.float32)
        return unit_rows(vectors) if normalize else vectors

    @torch.inference_mode()
    def embed_squares(self, squares: np.ndarray | Tensor) -> np.ndarray:
        """Embed one batch of squares of bytes (`preprocess.squares`): (N, canvas, canvas) uint8 to (N, D), not normalized."""
        images = self.preprocess.tensor(torch.as_tensor(squares).to(self.device))
        return self.encoder.encode_images(images).float().cpu().numpy()

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str] | str, *, normalize: bool = True, batch_size: int = 256) -> np.ndarray:
        """Embed texts.

        Args:
            texts: M strings; what exceeds the context is cut (count it with `tokenizer.lengths`).
            normalize: unit rows (default), or the encoder's own lengths.
            batch_size: texts at once in the tower.

        Returns:
            (M, D) float32.

        Raises:
            ModelError: the model has no text tower.
        """
        if self.tokenizer is None:
            raise ModelError(f"{self.name} has no text tower: it encodes images alone. Zero-shot and search need one.")
        if isinstance(texts, str):
            texts = [texts]
        chunks = []
        for start in range(0, len(texts), batch_size):
            ids = torch.from_numpy(self.tokenizer(texts[start : start + batch_size])).to(self.device)
            chunks.append(self.encoder.encode_texts(ids).float().cpu().numpy())
        vectors = np.concatenate(chunks) if chunks else np.zeros((0, self.embed_dim), np.float32)
        return unit_rows(vectors) if normalize else vectors

    @torch.inference_mode()
    def features(self, pixels: Sequence[np.ndarray] | np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        """What a probe sees of radiographs: N images (H, W) uint8 to (N, F) float32."""
        if isinstance(pixels, np.ndarray) and pixels.ndim == 2:
            pixels = pixels[None]
        chunks = []
        for start in range(0, len(pixels), batch_size):
            images = self.preprocess(pixels[start : start + batch_size]).to(self.device)
            chunks.append(self.encoder.image_features(images).float().cpu().numpy())
        return np.concatenate(chunks) if chunks else np.zeros((0, self.embed_dim), np.float32)

    def save(self, folder: str | os.PathLike[str], *, card: str | None = None) -> Path:
        """Write the model folder; each file is complete or absent, and config.json comes last.

        Args:
            folder: made if absent; a model already there is replaced.
            card: the model card's text; default a short one.
        """
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        _write(place / WEIGHTS, self._weights())
        if self.tokenizer is not None:
            _write(place / TOKENIZER, _json(self.tokenizer.to_json()))
        _write(place / CARD, (card or default_card(self)).encode())
        config = {
            "format_version": FORMAT_VERSION,
            "kind": "image-text" if self.encoder.has_text else "image",
            "architecture": self.encoder.architecture.model_dump(mode="json"),
            "preprocess": self.preprocess.model_dump(mode="json"),
            "provenance": self.provenance,
        }
        _write(place / CONFIG, _json(config))
        return place

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str | torch.device | None = None) -> Model:
        """A model from its folder, or from a hub id such as `org/name`.

        Raises:
            ModelError: there is no such folder, it is not a model, it is an ensemble, it is from a newer hilum, or its
                weights do not fit its architecture.
        """
        place = _resolve(folder)
        config = read_config(place)
        if config["kind"] == "ensemble":
            raise ModelError(
                f"{place} is an ensemble of {len(config['members'])} models; load its members one by one "
                f"(hilum.models.load_all), or give the folder to `hilum zeroshot`."
            )
        described, build = _kind(ENCODERS, config.get("architecture", {}), "encoder", place)
        encoder = build(_settings(described, config, "architecture", place))
        weights, sha256 = _read_weights(place / WEIGHTS)
        try:
            encoder.load_tensors(weights)
        except ModelError as error:
            raise ModelError(f"{place / WEIGHTS}: {error}") from None
        prepared = _kind(PREPROCESSES, config.get("preprocess", {}), "preprocessing", place)
        preprocess = _settings(prepared, config, "preprocess", place)
        tokenizer = None
        if encoder.has_text:
            saved = _read_json(place / TOKENIZER)
            tokenizer = _kind(TOKENIZERS, saved, "tokenizer", place).from_json(saved)
        model = cls(encoder, preprocess, tokenizer, config.get("provenance", {}), device)
        model.name = place.name
        model._fingerprint = model._fingerprint_of(sha256)
        return model

    def _weights(self) -> bytes:
        from safetensors.torch import save

        return save(to_float32(self.encoder.tensors()))

    def _fingerprint_of(self, weights_sha256: str) -> str:
        parts = [
            self.encoder.architecture.model_dump(mode="json"),
            self.preprocess.model_dump(mode="json"),
            self.tokenizer.to_json() if self.tokenizer is not None else None,
        ]
        return hashlib.sha256(weights_sha256.encode() + json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def load_all(folders: Sequence[str | os.PathLike[str]], device: str | torch.device | None = None) -> list[Model]:
    """Every model of several folders; an ensemble folder gives its members in order."""
    models = []
    for folder in folders:
        place = _resolve(folder)
        config = read_config(place)
        if config["kind"] == "ensemble":
            models += [Model.load(place / member, device) for member in config["members"]]
        else:
            models.append(Model.load(place, device))
    return models


def save_ensemble(folder: str | os.PathLike[str], members: Sequence[str]) -> None:
    """Mark a folder whose subfolders are models as one ensemble."""
    config = {"format_version": FORMAT_VERSION, "kind": "ensemble", "members": list(members)}
    _write(Path(folder) / CONFIG, _json(config))


def read_config(place: Path) -> dict[str, Any]:
    """The config.json of a model folder.

    Raises:
        ModelError: the folder or file is absent, damaged, or from a newer hilum.
    """
    if place.is_file():
        raise ModelError(
            f"{place}: expected a model folder, this is a file. Make a folder of a released checkpoint with: "
            f"hilum import RELEASE {place} -o MODEL"
        )
    if not place.is_dir():
        raise ModelError(
            f"{place}: expected a model folder, there is none. Make one with `hilum pretrain` or `hilum import`."
        )
    if (place / "archive.json").is_file():
        raise ModelError(f"{place}: expected a model folder, this is an archive. Models come first, the archive last.")
    if not (place / CONFIG).is_file():
        raise ModelError(
            f"{place}: not a model folder, it has no {CONFIG}. If training was stopped, run the same `hilum pretrain` again; "
            "a released checkpoint becomes a folder with `hilum import`."
        )
    config = _read_json(place / CONFIG)
    version = config.get("format_version")
    if not isinstance(version, int) or "kind" not in config:
        raise ModelError(f"{place / CONFIG}: not a hilum model (no format_version or kind).")
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{place / CONFIG}: model format {version} is newer than this hilum understands ({FORMAT_VERSION}). Update hilum."
        )
    return config


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their length: (N, D) float32; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths).astype(np.float32)


def default_card(model: Model) -> str:
    """A short model card from the provenance."""
    lines = [
        "---",
        "library_name: hilum",
        f"tags: [chest-x-ray, {'zero-shot' if model.encoder.has_text else 'image-feature-extraction'}]",
        "---",
        f"# {model.name}",
        "",
        "A research model, not a medical device.",
        "",
        "```json",
        json.dumps(model.provenance, indent=2, sort_keys=True),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _kind(known: dict[str, Any], described: dict[str, Any], what: str, place: Path) -> Any:
    kind = described.get("kind")
    if kind not in known:
        raise ModelError(
            f"{place}: its {what} is of the kind {kind!r}; this hilum knows {', '.join(known)}. Update hilum."
        )
    return known[kind]


def _settings(kind: type[BaseModel], config: dict[str, Any], part: str, place: Path) -> Any:
    try:
        return kind.model_validate(config[part])
    except (KeyError, ValidationError) as error:
        raise ModelError(f"{place / CONFIG}: {part} is missing or damaged: {error}") from None


def _resolve(folder: str | os.PathLike[str]) -> Path:
    place = Path(folder)
    looks_like_hub_id = str(folder).count("/") == 1 and not str(folder).startswith((".", "/", "~"))
    if place.exists() or not looks_like_hub_id:
        return place
    if os.environ.get("HILUM_OFFLINE") == "1" or os.environ.get("HF_HUB_OFFLINE") == "1":
        raise ModelError(f"{folder}: no such folder, and downloads are off (HILUM_OFFLINE=1).")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(str(folder), allow_patterns=[CONFIG, WEIGHTS, TOKENIZER, CARD]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelError(f"{folder}: no such folder, and the hub did not give it: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: missing from the model folder. Export or import the model again.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: damaged JSON ({error}). Export or import the model again.") from None


def _read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        raw = path.read_bytes()
        return load(raw), _sha256_of_bytes(raw)
    except FileNotFoundError:
        raise ModelError(f"{path}: missing from the model folder. Export or import the model again.") from None
    except SafetensorError as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error}). Copy the model again.") from None


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _sha256_of_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
