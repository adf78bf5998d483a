"""A text tower and its tokenizer from a local Hugging Face folder: nothing is downloaded, no code in it is run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from hilum.checkpoints import read_state_dict
from hilum.errors import ModelError
from hilum.models.encoder import compare_keys, to_float32
from hilum.models.text_towers import Bert, TextTower, Transformers, build_text_tower
from hilum.models.wordpiece_tokenizer import Cleaning, WordPieceTokenizer

logger = logging.getLogger(__name__)

# Counting buffers that older transformers saved: 0, 1, 2, ... and all zeros.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")

# What a configuration says of files and versions rather than of the network.
_NOT_SETTINGS = ("architectures", "transformers_version", "_name_or_path", "torch_dtype", "dtype", "auto_map")


class TextModel(NamedTuple):
    """What a Hugging Face folder holds: the tower with its weights, its tokenizer, and how many tensors were read."""

    tower: TextTower
    tokenizer: WordPieceTokenizer
    tensors: int


def from_hf_folder(path: str | Path, context_length: int | None = None, cleaning: Cleaning = "none") -> TextModel:
    """The encoder and tokenizer of a local Hugging Face folder.

    Args:
        path: with config.json; model.safetensors or pytorch_model.bin (whole or in shards); tokenizer.json or vocab.txt.
        context_length: of the tokenizer; by default as many tokens as the encoder has positions for.
        cleaning: of the tokenizer; see `WordPieceTokenizer`.

    Raises:
        ModelError: a part is missing or damaged, the weights do not fit, or vocabulary and embeddings differ in size.
    """
    folder = Path(path)
    tower = build_text_tower(description_of(folder))
    given = _named_as_encoder(read_weights(folder), tower)
    if not any(name.startswith("pooler.") for name in given) and getattr(tower.net, "pooler", None) is not None:
        # Masked-language models are saved without a pooler; a random one would pass for a trained one.
        tower = build_text_tower(tower.description.model_copy(update={"pooler": False}))
    elif getattr(tower.net, "pooler", None) is None:
        given = {name: tensor for name, tensor in given.items() if not name.startswith("pooler.")}
    report = compare_keys(tower.weights(), given)
    if report:
        raise ModelError(f"{folder}: its weights do not make the encoder that its config.json describes:\n{report}")
    tower.load_weights(to_float32(given))
    length = min(context_length or tower.positions, tower.positions)
    tokenizer = WordPieceTokenizer.from_path(folder, length, cleaning)
    rows = tower.net.get_input_embeddings().num_embeddings
    if tokenizer.size > rows:
        raise ModelError(f"{folder}: its vocabulary has {tokenizer.size} pieces, its encoder embeddings for {rows}.")
    return TextModel(tower, tokenizer, len(given))


def description_of(folder: Path) -> Bert | Transformers:
    """The tower that a folder's config.json describes: as `Bert` where that says it all, else by its settings.

    Raises:
        ModelError: there is no config.json, or it is none of transformers.
    """
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} is not a Hugging Face model folder: it has no config.json. Give a local folder."
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable as JSON ({error}).") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("model_type", ""), str):
        raise ModelError(f"{path}: not a transformers configuration.")
    settings = {name: value for name, value in settings.items() if name not in _NOT_SETTINGS}
    settings.setdefault("model_type", "bert")  # Bio_ClinicalBERT's and other early folders do not say
    plain = _as_bert(settings)
    return plain or Transformers(settings=settings)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a Hugging Face folder, whole or in shards; pickles are read by the safe reader."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            files = [name]
        elif index.is_file():
            files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        else:
            continue
        tensors: dict[str, Tensor] = {}
        for file in files:
            path = folder / Path(file).name  # an index names files of its own folder only
            try:
                tensors |= load_file(path) if name.endswith(".safetensors") else read_state_dict(path)
            except (OSError, SafetensorError) as error:
                raise ModelError(f"{path}: not a whole safetensors file ({error}). Copy it again.") from None
        return tensors
    raise ModelError(f"{folder} holds no weights: expected model.safetensors or pytorch_model.bin.")


def encoder_names(tensors: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """A BERT state dict as today's transformers names it: old LayerNorm names renewed, counting buffers dropped by name."""
    renamed = {}
    for name, tensor in tensors.items():
        name = name.removeprefix(prefix)
        if name.endswith(("LayerNorm.gamma", "LayerNorm.beta")):
            name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if name not in _BUFFERS:
            renamed[name] = tensor
    return renamed


def _named_as_encoder(tensors: dict[str, Tensor], tower: TextTower) -> dict[str, Tensor]:
    """Without the prefix of a model with a pretraining head, and without that head."""
    prefix = f"{tower.net.base_model_prefix}."
    body = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if body and len(body) < len(tensors):
        logger.info("%d tensors of a pretraining head left out", len(tensors) - len(body))
    return encoder_names(body or tensors, prefix)


def _as_bert(settings: dict[str, Any]) -> Bert | None:
    from transformers import BertConfig

    if settings["model_type"] != "bert":
        return None
    try:
        config = BertConfig(**settings)
    except (ValueError, TypeError) as error:
        raise ModelError(f"config.json: not a BERT's ({error}).") from None
    usual = config.hidden_act == "gelu" and config.layer_norm_eps == 1e-12
    absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
    one_rate = config.hidden_dropout_prob == config.attention_probs_dropout_prob
    if not (usual and absolute and one_rate):
        return None
    return Bert(
        vocab_size=config.vocab_size,
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        feed_forward=config.intermediate_size,
        positions=config.max_position_embeddings,
        token_types=config.type_vocab_size,
        dropout=config.hidden_dropout_prob,
        pad_id=config.pad_token_id or 0,
    )
