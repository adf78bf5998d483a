"""What a trained encoder is used for: embedding an archive and zero-shot scores."""

from __future__ import annotations

from hilum.tasks.embedding import Embedded, embed, vectors_of
from hilum.tasks.fitting import Fit, fit_probe
from hilum.tasks.pictures import highest_scored
from hilum.tasks.scoring import ZeroShot, zeroshot

__all__ = ["Embedded", "Fit", "ZeroShot", "embed", "fit_probe", "highest_scored", "vectors_of", "zeroshot"]
