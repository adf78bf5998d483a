"""From stored values to 8-bit gray: modality LUT, VOI, inversion, in the order of DICOM PS3.4 N.2.

Every step maps one number to one number, so it is computed once for each level that can occur and the picture is
looked up in the resulting table of bytes: exact float64 arithmetic at the price of one indexing operation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Share of pixels, in percent, below and above which the fallback window clips.
FALLBACK_PERCENTILES = (0.5, 99.5)
# A window that shows these two percentiles of the picture as the same gray shows no picture.
SEEN_PERCENTILES = (1.0, 99.0)
# Above this many levels (32-bit data) only those that occur are put into the table.
MOST_TABLE_LEVELS = 1 << 20


@dataclass(frozen=True)
class Lut:
    """A lookup table of a Modality or VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Attributes:
        first: input value of the first entry; lower ones map to it too, those past the table to the last.
        entries: (N,) float64.
        bits: bits of an entry, as the descriptor says.
    """

    first: int
    entries: np.ndarray
    bits: int

    def __call__(self, levels: np.ndarray) -> np.ndarray:
        """The entry of each level, rounded down to a whole number first."""
        place = np.clip(np.floor(levels) - self.first, 0, len(self.entries) - 1)
        return self.entries[place.astype(np.int64)]

    @property
    def top(self) -> float:
        """The largest output by the descriptor's bits; writers of 10 to 14-bit tables often declare the word's 16."""
        needed = int(self.entries.max()).bit_length()
        return float(2 ** (needed if self.bits == 16 and 8 <= needed <= 14 else self.bits) - 1)


@dataclass(frozen=True)
class Window:
    """A window and its function: LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    center: float
    width: float
    function: str = "LINEAR"

    def __call__(self, levels: np.ndarray) -> np.ndarray:
        """Levels to [0, 1]."""
        if self.function == "SIGMOID":  # C.11.2.1.3.1
            return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (levels - self.center) / self.width, -700.0, 700.0)))
        if self.function == "LINEAR_EXACT":  # C.11.2.1.3.2
            return np.clip((levels - self.center) / self.width + 0.5, 0.0, 1.0)
        if self.width == 1.0:  # C.11.2.1.2.1: a threshold, and no division by zero
            return (levels > self.center - 0.5).astype(np.float64)
        return np.clip((levels - (self.center - 0.5)) / (self.width - 1.0) + 0.5, 0.0, 1.0)

    @property
    def is_usable(self) -> bool:
        """Whether center and width are finite and the width is at least 1 (LINEAR; C.11.2.1.2.1), or above 0."""
        least = 1.0 if self.function == "LINEAR" else np.finfo(np.float64).tiny
        return bool(np.isfinite(self.center) and np.isfinite(self.width) and self.width >= least)


@dataclass(frozen=True)
class Rendering:
    """What a file says about showing its stored values.

    Attributes:
        slope: rescale slope (C.11.1), unless `modality_lut`.
        intercept: rescale intercept.
        modality_lut: a table instead of slope and intercept.
        voi: what to try, best first; the percentile window is used when none shows the picture.
        inverted: low values are white: MONOCHROME1 (C.7.6.3.1.2), or Presentation LUT Shape INVERSE (C.11.6).
        padding: lowest and highest stored value of padding (C.7.5.1.1.2), which no statistic counts.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    voi: tuple[Lut | Window, ...] = ()
    inverted: bool = False
    padding: tuple[int, int] | None = None


def render(stored: np.ndarray, how: Rendering) -> tuple[np.ndarray, list[str]]:
    """Show stored values as 8-bit gray: modality LUT, then VOI, then inversion.

    Args:
        stored: (H, W) of any integer type, as decoded.
        how: the file's own rendering.

    Returns:
        (H, W) uint8, and remarks on what the file asked for that was not done.
    """
    stored_levels, index = _levels(stored)
    counts = np.bincount(index.ravel(), minlength=len(stored_levels)).astype(np.float64)
    if how.padding is not None:
        is_padding = (stored_levels >= how.padding[0]) & (stored_levels <= how.padding[1])
        if counts[~is_padding].sum() > 0:
            counts = np.where(is_padding, 0.0, counts)
    levels = stored_levels.astype(np.float64)
    levels = how.modality_lut(levels) if how.modality_lut else levels * how.slope + how.intercept
    gray, remarks = _voi(levels, counts, how.voi)
    # VOI first: inverting MONOCHROME1 before the window shifts its center.
    if how.inverted:
        gray = 255 - gray
    return gray[index], remarks


def _levels(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The levels that may occur, and for each pixel its place among them."""
    low, high = int(stored.min()), int(stored.max())
    if high - low < MOST_TABLE_LEVELS:
        index = stored if low == 0 and stored.dtype.kind == "u" else stored.astype(np.int64) - low
        return np.arange(low, high + 1), index
    levels, index = np.unique(stored, return_inverse=True)
    return levels, index.reshape(stored.shape)


def _voi(levels: np.ndarray, counts: np.ndarray, tries: tuple[Lut | Window, ...]) -> tuple[np.ndarray, list[str]]:
    seen_low, seen_high = percentiles(levels, counts, SEEN_PERCENTILES)
    remarks = []
    for voi in tries:
        if isinstance(voi, Window) and not voi.is_usable:
            remarks.append(
                f"window center {voi.center:g}, width {voi.width:g} ({voi.function}) is degenerate: not used"
            )
            continue
        ends = _to_bytes(_show(voi, np.array([seen_low, seen_high])))
        if seen_low != seen_high and ends[0] == ends[1]:
            what = f"window center {voi.center:g}, width {voi.width:g}" if isinstance(voi, Window) else "VOI LUT"
            remarks.append(f"{what} shows values {seen_low:g} to {seen_high:g} as one gray: not used")
            continue
        return _to_bytes(_show(voi, levels)), remarks
    low, high = percentiles(levels, counts, FALLBACK_PERCENTILES)
    if low == high:
        low, high = percentiles(levels, counts, (0.0, 100.0))
    if low == high:
        return np.zeros(len(levels), np.uint8), remarks
    return _to_bytes(np.clip((levels - low) / (high - low), 0.0, 1.0)), remarks


def _show(voi: Lut | Window, levels: np.ndarray) -> np.ndarray:
    return voi(levels) / voi.top if isinstance(voi, Lut) else voi(levels)


def percentiles(levels: np.ndarray, counts: np.ndarray, percents: tuple[float, float]) -> tuple[float, float]:
    """The smallest levels at or below which these percentages of the pixels lie.

    Args:
        levels: (N,) values, in any order.
        counts: (N,) pixels at each.
        percents: two percentages in [0, 100].
    """
    order = np.argsort(levels, kind="stable")
    cumulated = np.cumsum(counts[order])
    present = cumulated > 0
    wanted = np.array(percents) / 100.0 * cumulated[-1]
    places = np.searchsorted(cumulated[present], wanted)
    low, high = levels[order][present][np.minimum(places, present.sum() - 1)]
    return float(low), float(high)


def _to_bytes(shares: np.ndarray) -> np.ndarray:
    return np.floor(np.clip(shares, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
