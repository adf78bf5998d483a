"""What a step of a plan is, and how steps draw their numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch

from hilum.errors import UsageError
from hilum.imaging.augment.draft import Draft


@dataclass(frozen=True)
class Step(ABC):
    """One change of a batch of pictures, as data. Each picture gets draws of its own.

    A step always draws the same count of numbers, for all pictures, whether they use them or not. So what one picture becomes
    never depends on the others, and a generator in the same state gives the same bytes.
    """

    @abstractmethod
    def apply(self, draft: Draft, side_px: int, generator: torch.Generator) -> None:
        """Change the draft.

        Args:
            draft: the batch under way.
            side_px: side of the squares that the plan ends with.
            generator: on the CPU.
        """

    def _need(self, is_right: bool, field: str, expected: str) -> None:
        """Raises:
        UsageError: a setting is out of range.
        """
        if not is_right:
            raise UsageError(f"{type(self).__name__}: {field} is {getattr(self, field)!r}; expected {expected}.")

    def _need_share(self, field: str = "p") -> None:
        self._need(0 <= getattr(self, field) <= 1, field, "0 to 1")

    def _need_range(self, field: str, least: float = 0.0, most: float = math.inf, above: bool = True) -> None:
        low, high = getattr(self, field)
        fits = (low > least if above else low >= least) and low <= high <= most
        bound = f"{'above' if above else 'from'} {least:g}" + (f" to {most:g}" if most < math.inf else "")
        self._need(fits, field, f"(least, most), {bound}")


def uniform(count: int, low: float, high: float, generator: torch.Generator, columns: int = 0) -> np.ndarray:
    """Numbers between low and high: (count,) float64, or (count, columns) where columns are asked for."""
    return _drawn((count, columns) if columns else (count,), generator) * (high - low) + low


def whole_below(limits: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Whole numbers from 0 to just below `limits` (int64, at least 1), all equally probable; of the same shape."""
    return (_drawn(limits.shape, generator) * limits).astype(np.int64)


def occurs(count: int, p: float, generator: torch.Generator) -> np.ndarray:
    """Whether something of probability p happens: (count,) bool."""
    return _drawn((count,), generator) < p


def _drawn(shape: tuple[int, ...], generator: torch.Generator) -> np.ndarray:
    return torch.rand(shape, dtype=torch.float64, generator=generator).numpy()
