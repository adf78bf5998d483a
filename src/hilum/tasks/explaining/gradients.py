"""Gradient maps: which places of the last grid speak for the answer (Selvaraju et al. 2017; Draelos & Carin 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from hilum.models.model import Model
from hilum.tasks.explaining.heatmap import CoarseMap
from hilum.tasks.explaining.layers import evidence_layer, own_modules
from hilum.tasks.explaining.question import Question

NOTE = (
    "What speaks for the phrase in the last grid of features, by gradient times activation. A place can count because of what "
    "the network reads around it."
)


def gradient_map(model: Model, square: Tensor, question: Question) -> CoarseMap:
    """Gradient times activation, summed over channels, of a tower's last grid (HiResCAM).

    Where the tower averages its last grid this is Grad-CAM, to the digit: the gradient is then the same in all cells. Where it
    does not (CLIP's attention pool, class tokens, an earlier stage), averaging gradients over cells first, as Grad-CAM does,
    would move evidence to places that gave none.

    Args:
        model: with any image tower that `layers` knows.
        square: (1, canvas, canvas) uint8.
        question: whose answer is explained.
    """
    from captum.attr import LayerGradientXActivation  # type: ignore[import-untyped]

    encoder = own_modules(model.encoder)
    images = model.preprocess.tensor(square.to(model.device))
    layer = evidence_layer(encoder, images.shape[-1])

    def forward(batch: Tensor) -> Tensor:
        return question.answer(encoder, batch)

    with torch.enable_grad():
        found = LayerGradientXActivation(forward, layer.module).attribute(images.clone())
    with torch.inference_mode():
        answer = float(forward(images))
    evidence = layer.grid(found.detach()).sum(dim=1)[0]  # (h, w)
    return CoarseMap(evidence.float().cpu().numpy(), layer.lattice, question.score(answer), 0.0, NOTE)
