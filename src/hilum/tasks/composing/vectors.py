"""What a text tower makes of texts, computed once: kept in the archive, or in a file beside the table of reports."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hilum.archive import Archive
from hilum.errors import ArchiveError
from hilum.models import Model
from hilum.models.model import unit_rows
from hilum.tasks.text_cache import text_vectors

log = logging.getLogger(__name__)

OnTexts = Callable[[int, int], None]
BATCH = 256
COMMIT_TEXTS = 64 * BATCH  # a run that is stopped goes on from here


class Shelf:
    """Keeps text vectors by model and text; this one keeps nothing."""

    def vectors(self, model: Model, texts: Sequence[str], on_texts: OnTexts | None = None) -> np.ndarray:
        """(N, D) unit rows of N texts: what is kept is read, the rest embedded and kept.

        Raises:
            ModelError: the model has no text tower.
        """
        keys = [key_of(text) for text in texts]
        kept = self._read(model)
        new = [place for place, key in enumerate(keys) if key not in kept]
        waiting: list[str] = []
        for start in range(0, len(new), BATCH):
            some = new[start : start + BATCH]
            rows = model.embed_texts([texts[place] for place in some], normalize=False)
            kept.update((keys[place], row) for place, row in zip(some, rows, strict=True))
            waiting += [keys[place] for place in some]
            if len(waiting) >= COMMIT_TEXTS or start + BATCH >= len(new):
                fresh, waiting = list(dict.fromkeys(waiting)), []
                self._keep(model, fresh, np.stack([kept[key] for key in fresh]))
            if on_texts is not None:
                on_texts(start + len(some), len(new))
        return unit_rows(np.stack([kept[key] for key in keys]))

    def _read(self, model: Model) -> dict[str, np.ndarray]:
        return {}

    def _keep(self, model: Model, keys: list[str], vectors: np.ndarray) -> None:
        pass


class _ArchiveShelf(Shelf):
    """The archive's own table of text vectors (`text_cache`)."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    def vectors(self, model: Model, texts: Sequence[str], on_texts: OnTexts | None = None) -> np.ndarray:
        """(N, D) unit rows of N texts; kept where the archive can be written."""
        try:
            found = text_vectors(model, self.archive, texts, on_batch=on_texts)
        except (ArchiveError, OSError) as error:  # read-only, or another is writing: a draft needs no writing
            log.info("%s: text vectors are not kept (%s)", self.archive.path, error)
            found = text_vectors(model, self.archive, texts, keep=False, on_batch=on_texts)
        return unit_rows(found)


class _FileShelf(Shelf):
    """`TABLE.<fingerprint>.safetensors` beside a table."""

    def __init__(self, table: Path) -> None:
        self.table = table

    def _read(self, model: Model) -> dict[str, np.ndarray]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            held = load_file(self._file(model))
            keys = [row.tobytes().hex() for row in held["sha1"]]
            return dict(zip(keys, held["vectors"], strict=True))
        except (OSError, SafetensorError, KeyError, ValueError):  # absent, damaged or not ours: made anew
            return {}

    def _keep(self, model: Model, keys: list[str], vectors: np.ndarray) -> None:
        from safetensors.numpy import save_file

        held = self._read(model)
        held.update(zip(keys, vectors, strict=True))
        digests = np.array([list(bytes.fromhex(key)) for key in held], np.uint8)
        file = self._file(model)
        temporary = file.with_name(f".{file.name}.tmp")
        try:
            save_file({"sha1": digests, "vectors": np.stack(list(held.values()))}, temporary)
            temporary.replace(file)
        except OSError as error:
            log.info("%s: %d text vectors are not kept (%s)", file, len(keys), error)

    def _file(self, model: Model) -> Path:
        return self.table.with_name(f"{self.table.name}.{model.fingerprint}.safetensors")


def shelf_in(archive: Archive) -> Shelf:
    """Text vectors kept in an archive."""
    return _ArchiveShelf(archive)


def shelf_beside(table: Path) -> Shelf:
    """Text vectors kept beside a table."""
    return _FileShelf(table)


def key_of(text: str) -> str:
    """SHA-1 of a text, as hexadecimal text."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
