"""The BERT inside a release: its sizes from the shapes, its names, and the vocabulary that the file does not hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from hilum.errors import CheckpointError, UsageError
from hilum.models.hf_folder import encoder_names
from hilum.models.text_towers import Bert
from hilum.models.wordpiece_tokenizer import Cleaning, WordPieceTokenizer


def bert_of(
    file: Path, tensors: Mapping[str, Tensor], prefix: str, heads: int | None
) -> tuple[Bert, dict[str, Tensor]]:
    """The BERT under a prefix: its description, and its tensors under transformers' names.

    Args:
        file: for messages.
        tensors: a state dict.
        prefix: what stands before BERT's own names.
        heads: attention heads, which no shape tells; none: width / 64, as in every published BERT.

    Raises:
        CheckpointError: there is no BERT, or only a part of one.
        UsageError: `heads` does not divide the width.
    """
    found = encoder_names({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
    layers = {int(match[1]) for name in found if (match := re.match(r"encoder\.layer\.(\d+)\.", name))}
    try:
        words = found["embeddings.word_embeddings.weight"]
        width = words.shape[1]
        description = Bert(
            vocab_size=words.shape[0],
            width=width,
            layers=max(layers, default=-1) + 1,
            heads=heads or max(1, width // 64),
            feed_forward=found["encoder.layer.0.intermediate.dense.weight"].shape[0],
            positions=found["embeddings.position_embeddings.weight"].shape[0],
            token_types=found["embeddings.token_type_embeddings.weight"].shape[0],
            pooler="pooler.dense.weight" in found,
        )
    except KeyError as error:
        raise CheckpointError(f"{file}: no {prefix}{error.args[0]} among its {len(tensors)} tensors.") from None
    if description.width % description.heads:
        raise UsageError(
            f"{description.heads} attention heads do not divide the text tower's width {description.width}."
        )
    return description, found


def vocabulary_for(
    file: Path,
    importer: str,
    vocab: str | Path | None,
    bert: Bert,
    context_length: int,
    cleaning: Cleaning = "none",
    instead: str = "",
) -> WordPieceTokenizer:
    """The tokenizer that a release was trained with, from the user's copy of it.

    Args:
        file, importer: for messages.
        vocab: `vocab.txt`, `tokenizer.json`, or a local Hugging Face folder.
        bert: what it must fit.
        context_length: most tokens of a text; no more than the position table has.
        cleaning: of the text.
        instead: what else the user could do, for the message.

    Raises:
        UsageError: none is given.
        CheckpointError: it is not the vocabulary that the file was trained with.
    """
    if vocab is None:
        raise UsageError(
            f"hilum import {importer}: --vocab is missing; {file.name} holds no tokenizer. Give the vocab.txt, the "
            f"tokenizer.json or a local Hugging Face folder of the text encoder it was trained with "
            f"(emilyalsentzer/Bio_ClinicalBERT for the release).{instead}"
        )
    tokenizer = WordPieceTokenizer.from_path(vocab, min(context_length, bert.positions), cleaning)
    if tokenizer.size != bert.vocab_size:
        raise CheckpointError(
            f"{vocab} has {tokenizer.size} tokens, but {file} has embeddings for {bert.vocab_size}. Give the vocabulary "
            "that it was trained with (emilyalsentzer/Bio_ClinicalBERT, 28,996 tokens, for the release)."
        )
    return tokenizer
