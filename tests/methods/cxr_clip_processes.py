"""What a process of CXR-CLIP's test of two computes; little is imported here, for each process imports it anew."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hilum.methods.cxr_clip_loss import study_contrast
from hilum.methods.ranks import Ranks


def contrast_of(ranks: Ranks, rows: list[Tensor]) -> dict[str, Any]:
    """Loss and gradients of this process's part of the rows."""
    own = [ranks.own(row).detach().requires_grad_() for row in rows]
    scale = torch.tensor(5.0, requires_grad=True)
    loss = study_contrast(*own, scale, smoothing=0.1, ranks=ranks)["loss"]
    loss.backward()
    return {"loss": float(loss.detach()), "rows": [row.grad for row in own], "scale": scale.grad}
