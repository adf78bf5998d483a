"""Writing reports: the most probable words one after another, or the most probable report among several under way."""

from __future__ import annotations

import torch
from torch import Tensor

from hilum.methods.refers_generator import ReportGenerator


@torch.no_grad()
def decode(
    generator: ReportGenerator,
    visual: Tensor,
    start_id: int,
    end_id: int,
    *,
    most: int | None = None,
    beams: int = 1,
    never: tuple[int, ...] = (),
) -> tuple[Tensor, Tensor]:
    """The report of each image or study.

    Args:
        generator: in evaluation mode.
        visual: (N, T, W) image tokens.
        start_id, end_id: of the pieces.
        most: longest report in ids, start and end included; by default what the generator has positions for.
        beams: reports kept under way; 1 is greedy.
        never: ids that are not written, beside padding and start.

    Returns:
        (N, L) int64 ids, padded, from the start on, and (N,) log-probabilities of these reports.
    """
    pad, most = generator.pad_id, min(most or generator.positions, generator.positions)
    count, device = len(visual), visual.device
    tokens = torch.full((count, 1, 1), start_id, dtype=torch.int64, device=device)  # (N, B, t)
    scores = torch.zeros(count, 1, device=device)  # (N, B)
    ended = torch.zeros(count, 1, dtype=torch.bool, device=device)
    for length in range(1, most):
        if bool(ended.all()):
            break
        under_way = tokens.shape[1]
        lengths = torch.full((count * under_way,), length, device=device)
        logits = generator(visual.repeat_interleave(under_way, 0), tokens.flatten(0, 1), lengths)[:, -1].float()
        logits[:, [pad, start_id, *never]] = -torch.inf
        next_scores = logits.log_softmax(-1).unflatten(0, (count, under_way))  # (N, B, V)
        # A report that has ended goes on with padding, which costs nothing.
        next_scores = next_scores.masked_fill(ended.unsqueeze(-1), -torch.inf)
        next_scores[..., pad] = next_scores[..., pad].masked_fill(ended, 0.0)
        total = (scores.unsqueeze(-1) + next_scores).flatten(1)  # (N, B * V)
        scores, best = total.topk(min(beams, total.shape[1]), dim=1)
        parent, piece = best // next_scores.shape[-1], best % next_scores.shape[-1]
        tokens = torch.cat([tokens.gather(1, parent.unsqueeze(-1).expand(-1, -1, length)), piece.unsqueeze(-1)], dim=2)
        ended = ended.gather(1, parent) | (piece == end_id)
    return tokens[:, 0], scores[:, 0]
