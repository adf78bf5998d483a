"""The released CheXbert checkpoint (`chexbert.pth`, Smit et al. 2020) as a hilum labeler.

The file is a dictionary with `model_state_dict` (beside an epoch and an optimizer, which are left behind); keys may
carry the prefix `module.` of a data-parallel run and a buffer `position_ids` that some versions of transformers saved.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from transformers import BertConfig, BertModel

from hilum.checkpoints import read_state_dict
from hilum.errors import CheckpointError, UsageError
from hilum.reports.neural.folder import LabelerConfig
from hilum.reports.neural.labeler import NeuralLabeler
from hilum.reports.neural.network import HEADS, CheXbert
from hilum.reports.neural.tokens import ReportTokenizer

# The pooler is in the file but CheXbert does not use it; position_ids is 0, 1, 2, ... and is not a weight.
_IGNORED = ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "bert.embeddings.position_ids")


def import_chexbert(
    file: str | Path,
    vocab: str | Path,
    out: str | Path | None = None,
    attention_heads: int | None = None,
    long_reports: str = "window",
) -> NeuralLabeler:
    """Turn a CheXbert checkpoint into a labeler, and write its model folder.

    Args:
        file: the checkpoint, on this machine.
        vocab: the WordPiece vocabulary it was trained with (`vocab.txt` of bert-base-uncased).
        out: the model folder to write; None only returns the labeler.
        attention_heads: the one size that shapes do not tell; by default one per 64 dimensions, as in every BERT.
        long_reports: "window" reads all of a report longer than 512 tokens; "cut" reads its start, as the original does.

    Raises:
        CheckpointError: not a checkpoint (a web page, a pickle that would run code), or not CheXbert's tensors.
    """
    if long_reports not in ("window", "cut"):
        raise UsageError(f"long_reports is {long_reports!r}; expected window or cut.")
    state = _without_prefix(read_state_dict(Path(file), under="model_state_dict"), Path(file))
    tokenizer = ReportTokenizer.from_vocabulary(Path(vocab))
    network, config = _network(state, attention_heads, Path(file))
    if tokenizer.size != config.encoder["vocab_size"]:
        raise CheckpointError(
            f"{vocab} has {tokenizer.size} tokens, but {file} has embeddings for {config.encoder['vocab_size']}. "
            f"Give the vocab.txt the checkpoint was trained with (bert-base-uncased for the released CheXbert)."
        )
    labeler = NeuralLabeler(network, tokenizer, replace(config, long_reports=long_reports))
    if out is not None:
        labeler.save(Path(out))
    return labeler


def _without_prefix(state: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    prefixed = [name for name in state if name.startswith("module.")]
    if prefixed and len(prefixed) < len(state):
        odd = next(name for name in state if name not in prefixed)
        raise CheckpointError(f"{file}: some keys start with 'module.' and some, like {odd!r}, do not.")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _network(state: dict[str, Tensor], attention_heads: int | None, file: Path) -> tuple[CheXbert, LabelerConfig]:
    words, positions = (state.get(f"bert.embeddings.{kind}_embeddings.weight") for kind in ("word", "position"))
    layers = {int(found[1]) for name in state if (found := re.match(r"bert\.encoder\.layer\.(\d+)\.", name))}
    inner = state.get("bert.encoder.layer.0.intermediate.dense.weight")
    if words is None or positions is None or inner is None or not layers:
        raise CheckpointError(
            f"{file} does not hold a CheXbert: expected keys such as 'bert.embeddings.word_embeddings.weight' and "
            f"'linear_heads.0.weight', got {sorted(state)[:4]}."
        )
    hidden = words.shape[1]
    if attention_heads is None and hidden % 64:
        raise CheckpointError(
            f"{file}: its width {hidden} is not a multiple of 64; give the number of attention heads."
        )
    encoder = BertConfig(
        vocab_size=words.shape[0],
        hidden_size=hidden,
        num_hidden_layers=max(layers) + 1,
        num_attention_heads=attention_heads or hidden // 64,
        intermediate_size=inner.shape[0],
        max_position_embeddings=positions.shape[0],
        hidden_act="gelu",
        layer_norm_eps=1e-12,
    )
    network = CheXbert(BertModel(encoder, add_pooling_layer=False), HEADS)
    renamed = {_our_name(name): tensor.float() for name, tensor in state.items() if name not in _IGNORED}
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - renamed.keys()), sorted(renamed.keys() - wanted.keys())
    if missing or extra:
        raise CheckpointError(
            f"{file} does not hold a CheXbert: missing {_theirs(missing)}, not expected {_theirs(extra)}. "
            f"Allowed to be absent or present: {', '.join(_IGNORED)}."
        )
    for name, tensor in renamed.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{file}: {_theirs([name])[0]} is {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}."
            )
    network.load_state_dict(renamed)
    config = LabelerConfig(
        encoder=_sizes(encoder),
        findings=HEADS,
        max_tokens=positions.shape[0],
        text_policy="impression",
        origin=f"imported from the CheXbert checkpoint {file.name}",
    )
    return network, config


def _sizes(config: BertConfig) -> dict[str, object]:
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    others = ("max_position_embeddings", "hidden_act", "layer_norm_eps", "model_type")
    return {name: getattr(config, name) for name in (*sizes, *others)}


def _our_name(name: str) -> str:
    if name.startswith("bert."):
        return "encoder." + name.removeprefix("bert.")
    return "heads." + name.removeprefix("linear_heads.") if name.startswith("linear_heads.") else name


def _theirs(names: list[str]) -> list[str]:
    return [name.replace("encoder.", "bert.", 1) if name.startswith("encoder.") else f"linear_{name}" for name in names]
