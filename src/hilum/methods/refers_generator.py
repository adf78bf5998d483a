"""REFERS' report generator: a transformer decoder that reads fused image tokens and predicts a report word by word."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ReportGenerator(nn.Module):
    """One direction of REFERS' generator (Zhou et al. 2022); the output layer's weight is the word embedding's.

    Args:
        visual_width: of an image token.
        vocabulary: how many pieces there are.
        width: H, of the decoder.
        layers, heads, feed_forward: of the decoder.
        positions: most tokens of a report, start and end included.
        dropout: of embeddings and decoder.
        pad_id: the id that stands for no word; its embedding is zero.
        sharing: a generator of the other direction, whose projection, embedding and output layer are used.
    """

    def __init__(
        self,
        visual_width: int,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        feed_forward: int,
        positions: int,
        dropout: float = 0.1,
        pad_id: int = 0,
        sharing: ReportGenerator | None = None,
    ) -> None:
        super().__init__()
        self.pad_id, self.positions = pad_id, positions
        self.projection: nn.Linear = sharing.projection if sharing else nn.Linear(visual_width, width)
        self.embedding: WordEmbedding = (
            sharing.embedding if sharing else WordEmbedding(vocabulary, positions, width, dropout)
        )
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(width, heads, feed_forward, dropout, "gelu", batch_first=True)
            for _ in range(layers)
        )
        self.output: nn.Linear = sharing.output if sharing else nn.Linear(width, vocabulary)
        for name, parameter in (self.decoder if sharing else self).named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        self.output.weight = self.embedding.words.weight

    def forward(self, visual: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """What follows each token.

        Args:
            visual: (N, T, visual_width) image tokens.
            tokens: (N, L) int64, padded at the end.
            lengths: (N,) tokens of each row that are not padding.

        Returns:
            (N, L, vocabulary) logits; position t is about token t + 1 and has seen tokens 0..t.
        """
        return self.output(self.states(visual, tokens, lengths))

    def states(self, visual: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The decoder's states (N, L, width), from which the output layer reads."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        padding = places >= lengths.unsqueeze(1)  # (N, L)
        later = places.unsqueeze(0) > places.unsqueeze(1)  # (L, L)
        memory = self.projection(visual)
        states = self.embedding(tokens, tokens != self.pad_id)
        for layer in self.decoder:
            states = layer(states, memory, tgt_mask=later, tgt_key_padding_mask=padding)
        return states


class WordEmbedding(nn.Module):
    """Word and position, normalized; zero where there is no word."""

    def __init__(self, vocabulary: int, positions: int, width: int, dropout: float) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width, eps=1e-8)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """(N, L) ids and whether each is a word to (N, L, width)."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        embedded = self.dropout(self.norm(self.words(tokens) + self.positions(places)))
        return embedded * there.unsqueeze(-1)
