"""Numbers of ours beside the same numbers of the original research code, on tiny random weights.

Each module beside this one yields `Check`s of one method. `python -m tests.parity` prints them as a table; `test_parity.py` holds
each to its tolerance. `HILUM_GOLDEN` names another folder of arrays with the same names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(os.environ.get("HILUM_GOLDEN", Path(__file__).parents[1] / "golden"))


@dataclass(frozen=True)
class Check:
    """One quantity, ours and theirs.

    Attributes:
        method: the method or checkpoint, as the table names it.
        quantity: what is compared.
        ours: number, array or anything with ==; converted to float64 where numeric.
        theirs: the original's.
        tolerance: most absolute difference; 0 asks for equality.
        relative: divide the difference by the largest magnitude of `theirs` (used for gradients).
    """

    method: str
    quantity: str
    ours: Any
    theirs: Any
    tolerance: float = 1e-5
    relative: bool = False

    @property
    def difference(self) -> float:
        """The largest difference; infinite where shapes, texts or infinities do not agree."""
        ours, theirs = np.asarray(_plain(self.ours)), np.asarray(_plain(self.theirs))
        if ours.shape != theirs.shape:
            return float("inf")
        if ours.size == 0:
            return 0.0
        if not (np.issubdtype(ours.dtype, np.number) or ours.dtype == bool) or theirs.dtype.kind in "US":
            return 0.0 if np.array_equal(ours.astype(str), theirs.astype(str)) else float("inf")
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        gap = np.where(same, 0.0, np.abs(a - b))
        gap = np.where(np.isnan(gap), np.inf, gap)
        largest = float(gap.max())
        return largest / max(float(np.abs(b[np.isfinite(b)]).max(initial=0.0)), 1e-12) if self.relative else largest

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance


def golden(name: str) -> Mapping[str, np.ndarray]:
    """The arrays of a folder's `io.npz`."""
    with np.load(GOLDEN / name / "io.npz") as saved:
        return {key: saved[key] for key in saved.files}


def methods() -> list[str]:
    """The modules beside this one that yield checks."""
    skip = {"__init__", "__main__", "test_parity"}
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in skip)


def all_checks() -> Iterator[Check]:
    """Every check of every method."""
    for name in methods():
        yield from import_module(f"tests.parity.{name}").checks()


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value
