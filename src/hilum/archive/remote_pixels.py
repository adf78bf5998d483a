"""Images of an archive behind a URI."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hilum.archive.table import Table
from hilum.errors import ArchiveError


class RemotePixels:
    """Gives the images of one version of a remote images table by row; each batch is one planned read.

    Args:
        table: the images table.
    """

    def __init__(self, table: Table) -> None:
        self.version = table.version
        self._dataset = table.dataset()
        read = table.read(["height", "width"])
        self._heights, self._widths = (read[name].to_numpy() for name in ("height", "width"))

    def __len__(self) -> int:
        return len(self._heights)

    def take(self, rows: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """The images at these positions, in this order, repeats allowed: read-only (H, W) uint8.

        Raises:
            ArchiveError: a row lies outside the archive, or the store does not answer.
        """
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            wrong = wanted[(wanted < 0) | (wanted >= len(self))][0]
            raise ArchiveError(f"images: there is no row {wrong}; rows go from 0 to {len(self) - 1}.")
        if not len(wanted):
            return []
        unique, inverse = np.unique(wanted, return_inverse=True)
        try:
            blobs = self._dataset.read_blobs("pixels", indices=unique.tolist(), preserve_order=True)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0][:200]
            raise ArchiveError(f"images: the store did not give the pixels of {len(unique)} rows: {reason}") from error
        shapes = zip(self._heights[unique].tolist(), self._widths[unique].tolist(), strict=True)
        images = [np.frombuffer(raw, np.uint8).reshape(shape) for (_, raw), shape in zip(blobs, shapes, strict=True)]
        return [images[i] for i in inverse]
