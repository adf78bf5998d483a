"""What training starts from: another labeler, a local encoder with fresh heads, or all fresh."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hilum.errors import ModelError
from hilum.reports.neural.folder import LabelerConfig, is_labeler
from hilum.reports.neural.labeler import NeuralLabeler, load_labeler
from hilum.reports.neural.network import HEADS, CheXbert, encoder_from_config, quiet_transformers, without_pooler
from hilum.reports.neural.recipe import LabelerRecipe
from hilum.reports.neural.tokens import ReportTokenizer, from_folder


def untrained(
    encoder: str | Path | None, texts: Sequence[str], text_policy: str, recipe: LabelerRecipe, device: str
) -> NeuralLabeler:
    """A labeler that goes on from another one, one over a local encoder with fresh heads, or an all fresh one.

    Args:
        encoder: the model folder of a labeler, a local Hugging Face folder, or None.
        texts: reports that a fresh vocabulary is learned from.
        text_policy: which part of a report these are.
        recipe: sizes and seed.
        device: where it is put.

    Raises:
        ModelError: the folder holds no encoder, an incomplete one, or a labeler of other findings.
    """
    if encoder is not None and is_labeler(Path(encoder)):
        started = load_labeler(encoder, device)
        if started.findings != HEADS:
            raise ModelError(f"{encoder} labels {', '.join(started.findings)}; expected the 14 observations.")
        origin = f"trained from the labeler {started.config.fingerprint} ({started.config.origin})"
        started.config = replace(started.config, origin=origin, text_policy=text_policy, training={})
        return started
    if encoder is not None and not (Path(encoder) / "config.json").is_file():
        raise ModelError(f"{encoder} is not a Hugging Face model folder: it has no config.json. Give a local folder.")
    reads = from_folder(Path(encoder)) if encoder else ReportTokenizer.trained_on(texts, recipe.vocabulary)
    network, settings = _fresh_network(encoder, reads, recipe)
    config = LabelerConfig(
        encoder=settings,
        findings=HEADS,
        dropout=recipe.dropout,
        max_tokens=_window(settings, recipe),
        overlap_tokens=recipe.overlap_tokens,
        text_policy=text_policy,
        origin=f"trained from {'the encoder ' + Path(encoder).name if encoder else 'scratch'}",
    )
    return NeuralLabeler(network.to(device), reads, config)


def _fresh_network(
    encoder: str | Path | None, reads: ReportTokenizer, recipe: LabelerRecipe
) -> tuple[CheXbert, dict[str, Any]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if encoder is not None:
            body, settings = _pretrained(Path(encoder))
        else:
            settings = {
                "model_type": "bert",
                "vocab_size": reads.size,
                "hidden_size": recipe.width,
                "num_hidden_layers": recipe.layers,
                "num_attention_heads": recipe.attention_heads,
                "intermediate_size": recipe.feed_forward,
                "max_position_embeddings": recipe.max_tokens,
                "hidden_dropout_prob": recipe.dropout,
                "attention_probs_dropout_prob": recipe.dropout,
                "pad_token_id": reads.pad,
            }
            body = encoder_from_config(settings)
        return CheXbert(body, HEADS, recipe.dropout), settings


def _pretrained(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A local encoder, loaded strictly but for its pooler and its pretraining heads."""
    from transformers import AutoModel

    try:
        with quiet_transformers():
            body, report = AutoModel.from_pretrained(str(folder), local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder} holds no encoder that transformers can load: {error}") from error
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name and "position_ids" not in name)
    if missing:
        raise ModelError(f"{folder}: the encoder's weights are incomplete; missing {missing[:6]} of {len(missing)}.")
    settings = json.loads(body.config.to_json_string(use_diff=False))
    for name in ("architectures", "transformers_version", "_name_or_path", "torch_dtype", "dtype"):
        settings.pop(name, None)
    return without_pooler(body.float()), settings


def _window(settings: dict[str, Any], recipe: LabelerRecipe) -> int:
    positions = int(settings.get("max_position_embeddings", recipe.max_tokens))
    if settings.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2  # RoBERTa's positions start behind the padding's
    return min(recipe.max_tokens, positions)
