"""Pictures for chosen images of an archive: aspect kept, in the corner of a canvas, kept in memory where they fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from hilum.archive import Archive
from hilum.imaging.augment import Pictures
from hilum.methods.squares import KEEP_BYTES
from hilum.models.preprocess import Preprocessing


class PictureReader:
    """Reads images of an archive at a longer side of `canvas_px`, for augmentations that crop and turn whole pictures.

    Args:
        archive: where the pixels are.
        rows: (N,) positions for `Archive.pixels`.
        image_ids: N ids, in the same order.
        canvas_px: longer side; an archive keeps 384 unless told otherwise, so more would only magnify.
        shorter_px: shrink pictures whose shorter side is longer to this, so that a plan which begins with
            `ResizeShorter(shorter_px)` finds it done, and need not do it in every step.
        keep_bytes: most memory for keeping them; 0 keeps none.
    """

    def __init__(
        self,
        archive: Archive,
        rows: np.ndarray | Sequence[int],
        image_ids: Sequence[str],
        canvas_px: int,
        shorter_px: int | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self.image_ids = list(image_ids)
        self.canvas_px, self.shorter_px = canvas_px, shorter_px
        self._archive, self._rows = archive, np.asarray(rows, np.int64)
        fits = len(self._rows) * canvas_px * canvas_px <= keep_bytes
        self._kept = np.zeros((len(self._rows), canvas_px, canvas_px), np.uint8) if fits else None
        self._sizes = np.zeros((len(self._rows), 2), np.int64)  # 0: not made yet

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, picks: np.ndarray) -> Pictures:
        """The images at `picks` (B,) of 0..N-1."""
        picks = np.asarray(picks, np.int64)
        if self._kept is None:
            return self._made(picks)
        new = np.unique(picks[self._sizes[picks, 0] == 0])
        if len(new):
            made = self._made(new)
            self._kept[new], self._sizes[new] = made.pixels.numpy(), made.sizes.numpy()
        return Pictures(torch.from_numpy(self._kept[picks]), torch.from_numpy(self._sizes[picks]))

    def _made(self, picks: np.ndarray) -> Pictures:
        canvas = np.zeros((len(picks), self.canvas_px, self.canvas_px), np.uint8)
        sizes = np.zeros((len(picks), 2), np.int64)
        for i, image in enumerate(self._archive.pixels(self._rows[picks])):
            height, width = image.shape
            longer = max(height, width)
            if longer != self.canvas_px:
                height, width = (max(1, round(side * self.canvas_px / longer)) for side in (height, width))
                image = _resized(image, height, width)
            shorter = min(height, width)
            if self.shorter_px is not None and shorter > self.shorter_px:
                height, width = (side * self.shorter_px // shorter for side in (height, width))
                image = _resized(image, height, width)
            canvas[i, :height, :width] = image
            sizes[i] = height, width
        return Pictures(torch.from_numpy(canvas), torch.from_numpy(sizes))


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def plain_squares(pictures: Pictures, preprocess: Preprocessing) -> torch.Tensor:
    """Pictures without random changes, as a model sees them: (N, S, S) uint8."""
    whole = [
        pixels[:height, :width].numpy()
        for pixels, (height, width) in zip(pictures.pixels, pictures.sizes.tolist(), strict=True)
    ]
    return torch.from_numpy(preprocess.squares(whole))
