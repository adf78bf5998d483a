"""REFERS' two losses (Zhou et al. 2022): three views against reports, and the next word of a report."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.methods.ranks import ALONE, Ranks


def report_contrast(
    images: Tensor, texts: Tensor, tau: float, image_weight: float, one_way: bool = False, ranks: Ranks = ALONE
) -> Tensor:
    """Contrast each study's images with every report and each report with every study's images.

    Args:
        images: (N, D) the views' vectors of a study, joined; normalized here.
        texts: (N, D) of the same studies' reports.
        tau: softmax temperature.
        image_weight: share of the direction image to text, in [0, 1].
        one_way: the direction text to image counts in the value but sends no gradient, as in the released code.
        ranks: the processes; each contrasts its own N rows with all of them.
    """
    to_text, to_image = contrast_terms(images, texts, tau, ranks)
    back = to_image.mean()
    return image_weight * to_text.mean() + (1 - image_weight) * (back.detach() if one_way else back)


def contrast_terms(images: Tensor, texts: Tensor, tau: float, ranks: Ranks = ALONE) -> tuple[Tensor, Tensor]:
    """What it costs to find each study's report among all, and its images among all: two of (N,). See `report_contrast`."""
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    reports, studies = images @ ranks.gather(texts).T / tau, texts @ ranks.gather(images).T / tau  # (N, N * processes)
    truth = ranks.truth(len(images), images.device)
    return F.cross_entropy(reports, truth, reduction="none"), F.cross_entropy(studies, truth, reduction="none")


def caption_cost(logits: Tensor, tokens: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """What each report's words cost, each predicted from those before it.

    Args:
        logits: (N, L, V); position t is about token t + 1.
        tokens: (N, L) int64.
        ignored: the id that costs nothing: padding.

    Returns:
        (N,) sums of -log p, float32, and (N,) how many words they are of.
    """
    wanted = tokens[:, 1:]
    cost = F.cross_entropy(logits[:, :-1].float().transpose(1, 2), wanted, ignore_index=ignored, reduction="none")
    return cost.sum(dim=1), (wanted != ignored).sum(dim=1).float()


def mean_cost(cost: Tensor, words: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Cost per word over the whole batch; the mean over processes is exact though their counts of words differ.

    Args:
        cost: (N,) of this process's reports.
        words: (N,).
        ranks: the processes.
    """
    return cost.sum() / ranks.mean(words.sum()).clamp(min=1)


def backwards(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Each row's tokens from last to first, its padding still at the end: (N, L).

    Example:
        >>> backwards(torch.tensor([[1, 5, 6, 2, 0]]), torch.tensor([4]))
        tensor([[2, 6, 5, 1, 0]])
    """
    places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    inside = places < lengths.unsqueeze(1)
    return tokens.gather(1, torch.where(inside, lengths.unsqueeze(1) - 1 - places, places))
