"""CheXbert: a linear head for each observation on the first token of a BERT-family encoder (Smit et al. 2020, 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hilum.findings import CHEXPERT_NAMES
from hilum.reports.grid import NO_FINDING

# The order of CheXbert's heads; No Finding is last and has two classes (not said, said).
HEADS = (*(name for name in CHEXPERT_NAMES if name != NO_FINDING), NO_FINDING)


def classes_of(finding: str) -> int:
    """How many states a head tells apart: 4, or 2 for No Finding, which is never negative or uncertain."""
    return 2 if finding == NO_FINDING else 4


class CheXbert(nn.Module):
    """An encoder, dropout and one linear head a finding.

    Args:
        encoder: any transformers encoder whose output has `last_hidden_state` (BERT, DistilBERT, RoBERTa, ...).
        findings: what each head says; class codes are those of `hilum.reports.grid`.
        dropout: before the heads.
    """

    def __init__(self, encoder: nn.Module, findings: Sequence[str] = HEADS, dropout: float = 0.1) -> None:
        super().__init__()
        self.findings = tuple(findings)
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        config: Any = encoder.config
        self.width = int(config.hidden_size)
        self.heads = nn.ModuleList(nn.Linear(self.width, classes_of(finding)) for finding in self.findings)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The last layer at position 0: (N, H). The pooler, where an encoder has one, is not used."""
        hidden: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # (N, T, H)
        return hidden[:, 0]

    def forward(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Logits of every head, each (N, 4) or (N, 2).

        Args:
            ids: (N, T) token ids, padded.
            mask: (N, T) 1 where there is a token, 0 where there is padding.
        """
        reports = self.dropout(self.embed(ids, mask))  # (N, H)
        return [head(reports) for head in self.heads]


def labeler_loss(logits: Sequence[Tensor], labels: Tensor, head_weights: Sequence[Tensor] | None = None) -> Tensor:
    """The cross-entropies of all heads summed, over the batch size (Smit et al. 2020, section 3.3).

    Args:
        logits: one (N, classes) a head.
        labels: (N, heads) class codes; -100 is left out.
        head_weights: one (classes,) weight a head; None as in the paper.
    """
    weights = head_weights if head_weights is not None else [None] * len(logits)
    each = [
        F.cross_entropy(head, labels[:, i], weight=weight, reduction="sum")
        for i, (head, weight) in enumerate(zip(logits, weights, strict=True))
    ]
    return torch.stack(each).sum() / len(labels)


def state_scores(logits: Sequence[Tensor]) -> Tensor:
    """(N, heads, 4) softmax scores of not mentioned, positive, negative, uncertain; 0 for states a head lacks."""
    scores = logits[0].new_zeros(len(logits[0]), len(logits), 4)
    for i, head in enumerate(logits):
        scores[:, i, : head.shape[1]] = head.softmax(dim=1)
    return scores


def encoder_from_config(config: dict[str, Any]) -> nn.Module:
    """An encoder with fresh weights from the dictionary form of a transformers configuration, without a pooler."""
    from transformers import AutoConfig, AutoModel

    settings = dict(config)
    made = AutoConfig.for_model(settings.pop("model_type"), **settings)
    return without_pooler(AutoModel.from_config(made))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no load reports while transformers loads a model: what matters in them is raised as an error."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def without_pooler(encoder: nn.Module) -> nn.Module:
    """The same encoder without its unused pooler, so that no untrained weights are saved."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.register_module("pooler", None)
    return encoder
