"""Finetuning with few labels and many images without any: a mean teacher, or two students that teach each other."""

from __future__ import annotations

from hilum.tasks.semi_supervised.recipe import SemiSupervised
from hilum.tasks.semi_supervised.training import Taught, semi_supervise

__all__ = ["SemiSupervised", "Taught", "semi_supervise"]
