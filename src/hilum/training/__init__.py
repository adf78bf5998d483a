"""The training loop, its state on disk, and `pretrain`."""

from __future__ import annotations

from hilum.training.loop import Progress
from hilum.training.pretraining import Pretrained, pretrain

__all__ = ["Pretrained", "Progress", "pretrain"]
