"""A neural report labeler like CheXbert, trained on rule and expert labels or imported from a released checkpoint."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "LabelerRecipe": "hilum.reports.neural.recipe",
    "NeuralLabeler": "hilum.reports.neural.labeler",
    "import_chexbert": "hilum.reports.neural.chexbert_import",
    "load_labeler": "hilum.reports.neural.labeler",
    "train_labeler": "hilum.reports.neural.training",
}

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from hilum.reports.neural.chexbert_import import import_chexbert as import_chexbert
    from hilum.reports.neural.labeler import NeuralLabeler as NeuralLabeler
    from hilum.reports.neural.labeler import load_labeler as load_labeler
    from hilum.reports.neural.recipe import LabelerRecipe as LabelerRecipe
    from hilum.reports.neural.training import train_labeler as train_labeler


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'hilum.reports.neural' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
