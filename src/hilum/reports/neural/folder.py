"""A labeler on disk: a folder with config.json, model.safetensors, tokenizer.json and a model card. No pickles."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from hilum.errors import ModelError
from hilum.reports.neural.card import model_card
from hilum.reports.neural.network import CheXbert, encoder_from_config
from hilum.reports.neural.tokens import ReportTokenizer

KIND = "report-labeler"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class LabelerConfig:
    """What is saved beside a labeler's weights.

    Attributes:
        encoder: the transformers configuration of the encoder, as a dictionary.
        findings: one name a head, in order.
        dropout: before the heads.
        max_tokens: of one window, special tokens included.
        overlap_tokens: what two windows of a long report share.
        long_reports: "window" (read all of it) or "cut" (the first window only, as the original CheXbert).
        text_policy: which part of a report it was trained on.
        origin: where the weights come from ("trained", "imported: ...").
        training: recipe, data counts and measured numbers, for the model card.
        fingerprint: a hash of weights, vocabulary and reading settings; "" until it is saved.
    """

    encoder: dict[str, Any]
    findings: tuple[str, ...]
    dropout: float = 0.1
    max_tokens: int = 512
    overlap_tokens: int = 64
    long_reports: str = "window"
    text_policy: str = ""
    origin: str = "trained"
    training: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


def write_folder(folder: Path, network: CheXbert, tokenizer: ReportTokenizer, config: LabelerConfig) -> str:
    """Write a labeler and return its fingerprint, a hash of its weights, vocabulary and reading settings."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    tokenizer.tokenizer.save(str(folder / "tokenizer.json"))
    special = {"first": tokenizer.first, "last": tokenizer.last, "pad": tokenizer.pad}
    content = {"kind": KIND, "format_version": FORMAT_VERSION, "tokens": special, **asdict(config)}
    fingerprint = _fingerprint(folder, content)
    content["fingerprint"] = fingerprint
    (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(config, fingerprint, network), encoding="utf-8")
    return fingerprint


def read_folder(folder: Path) -> tuple[CheXbert, ReportTokenizer, LabelerConfig]:
    """The network, tokenizer and configuration in a labeler's folder.

    Raises:
        ModelError: it is not a labeler's folder, or its parts do not fit together.
    """
    content = read_config(folder)
    config = LabelerConfig(**{name: content[name] for name in LabelerConfig.__dataclass_fields__ if name in content})
    network = CheXbert(encoder_from_config(config.encoder), config.findings, config.dropout)
    try:
        tensors = load_file(str(folder / "model.safetensors"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder}: cannot read its weights: {error}") from error
    except Exception as error:  # tokenizers raises bare Exception for whatever is wrong with a file
        raise ModelError(f"{folder}/tokenizer.json is not a tokenizer: {error}") from error
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or extra:
        raise ModelError(
            f"{folder}/model.safetensors does not fit config.json: missing {missing}, not expected {extra}."
        )
    wrong = [name for name in wanted if wanted[name].shape != tensors[name].shape]
    if wrong:
        name = wrong[0]
        raise ModelError(
            f"{folder}/model.safetensors does not fit config.json: {name} is {tuple(tensors[name].shape)}, "
            f"expected {tuple(wanted[name].shape)}."
        )
    network.load_state_dict(tensors)
    special = content["tokens"]
    return network.eval(), ReportTokenizer(tokenizer, special["first"], special["last"], special["pad"]), config


def is_labeler(folder: Path) -> bool:
    """Whether a folder's config.json says that it is a labeler's."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("kind") == KIND


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration in a labeler's folder, checked to be one."""
    path = Path(folder) / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} is not a model folder: {error}. Train one with: hilum labeler train") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        kind = content.get("kind") if isinstance(content, dict) else None
        raise ModelError(
            f"{folder} is not a report labeler (its kind is {kind!r}). Train one with `hilum labeler train`, or "
            f"import one with `hilum import chexbert`."
        )
    if content.get("format_version") != FORMAT_VERSION:
        raise ModelError(f"{folder} has format {content.get('format_version')}; this hilum reads {FORMAT_VERSION}.")
    return content


def _fingerprint(folder: Path, content: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in ("model.safetensors", "tokenizer.json"):
        digest.update((folder / name).read_bytes())
    reading = {key: content[key] for key in ("findings", "max_tokens", "overlap_tokens", "long_reports")}
    digest.update(json.dumps(reading, sort_keys=True).encode())
    return digest.hexdigest()[:12]
