"""Squares of bytes for chosen images of an archive, kept in memory where they fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilum.archive import Archive
from hilum.models import Preprocess

KEEP_BYTES = 2 << 30


class SquareReader:
    """Reads images of an archive as squares of bytes; each is made once if all of them fit into `keep_bytes`.

    Args:
        archive: where the pixels are.
        rows: (N,) positions for `Archive.pixels`.
        image_ids: N ids, in the same order.
        preprocess: makes the squares.
        keep_bytes: most memory for keeping them; 0 keeps none.
    """

    def __init__(
        self,
        archive: Archive,
        rows: np.ndarray,
        image_ids: Sequence[str],
        preprocess: Preprocess,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self.image_ids = list(image_ids)
        self._archive, self._rows, self._preprocess = archive, np.asarray(rows, np.int64), preprocess
        side = preprocess.canvas_px
        fits = len(self._rows) * side * side <= keep_bytes
        self._kept = np.zeros((len(self._rows), side, side), np.uint8) if fits else None
        self._made = np.zeros(len(self._rows), bool)

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, picks: np.ndarray) -> np.ndarray:
        """The images at `picks` (B,) of 0..N-1: (B, canvas, canvas) uint8."""
        if self._kept is None:
            return self._preprocess.squares(self._archive.pixels(self._rows[picks]))
        new = np.unique(picks[~self._made[picks]])
        if len(new):
            self._kept[new] = self._preprocess.squares(self._archive.pixels(self._rows[new]))
            self._made[new] = True
        return self._kept[picks]
