"""The models of a server: loaded behind its back at the start, each alive, on its way, or dead with a reason."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hilum.errors import HilumError, ModelError, UsageError
from hilum.web.problems import ModelNotReadyError

if TYPE_CHECKING:
    from hilum.models import Model

log = logging.getLogger(__name__)

WAIT_SECONDS = 5.0  # for a model that is being loaded
RETRY_SECONDS = 5.0  # between attempts to load a dead one


@dataclass(eq=False)
class Slot:
    """One model by its name.

    Attributes:
        name: how it is called in the web app; its folder's name.
        folder: where it lies.
        model: once it is loaded.
        reason: why it could not be.
    """

    name: str
    folder: Path
    model: Model | None = None
    reason: str | None = None
    tried: float = 0.0
    ready: threading.Event = field(default_factory=threading.Event)
    loading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def state(self) -> str:
        """ready, loading or failed."""
        return "ready" if self.model is not None else "failed" if self.reason else "loading"


class Models:
    """The models named at the start; loaded by `load_all`.

    Args:
        folders: model folders.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.slots = {name: Slot(name, folder) for name, folder in zip(_names(folders), folders, strict=True)}

    def load_all(self) -> None:
        """Load all of them, one after the other."""
        for slot in self.slots.values():
            self._load(slot)

    def named(self, name: str | None) -> Slot:
        """A slot by name; the first where none is given.

        Raises:
            UsageError: the server has no such model.
            ModelNotReadyError: it has none at all.
        """
        if not self.slots:
            raise ModelNotReadyError(
                "This server was started without a model. Exact words in reports can be searched; for the rest start it "
                "with: hilum serve ARCHIVE --model MODEL"
            )
        if not name:
            return next(iter(self.slots.values()))
        if name not in self.slots:
            raise UsageError(f"There is no model of this name. Models: {', '.join(self.slots)}.")
        return self.slots[name]

    def get(self, name: str | None = None) -> Model:
        """A model that is ready; waits a while for one that is being loaded.

        Raises:
            UsageError: the server has no such model.
            ModelNotReadyError: it takes longer, or it could not be loaded.
        """
        slot = self.named(name)
        if slot.model is not None:
            return slot.model
        if slot.reason and time.monotonic() - slot.tried > RETRY_SECONDS:
            self._load(slot)
        elif not slot.reason:
            slot.ready.wait(WAIT_SECONDS)
        if slot.model is not None:
            return slot.model
        if slot.reason:
            raise ModelNotReadyError(f"The model {slot.name} could not be loaded: {slot.reason}")
        raise ModelNotReadyError(f"The model {slot.name} is still being loaded. Ask again in a moment.")

    def _load(self, slot: Slot) -> None:
        from hilum.models import Model

        with slot.loading:
            if slot.model is not None or (slot.tried and time.monotonic() - slot.tried < RETRY_SECONDS):
                return
            try:
                model = Model.load(slot.folder)
                _ = model.fingerprint  # a hash of all weights: now, not in somebody's request
                slot.model, slot.reason = model, None
            except HilumError as error:
                slot.reason = str(error)
            except Exception as error:  # the boundary to files of others: the server lives on
                log.exception("model %s", slot.name)
                slot.reason = str(ModelError(f"it cannot be read ({type(error).__name__})."))
            slot.tried = time.monotonic()
        slot.ready.set()


def _names(folders: Sequence[Path]) -> list[str]:
    """Folder names, with the parent's where two are alike or it only says that it is a model.

    Example:
        >>> _names([Path("runs/chexzero"), Path("a/model"), Path("b/model")])
        ['chexzero', 'a', 'b']
    """
    names = []
    for folder in folders:
        name = folder.name if folder.name not in ("", "model", "best") else folder.resolve().parent.name
        taken = [f"{name}-{i}" for i in range(2, 100)]
        names.append(name if name not in names else next(other for other in taken if other not in names))
    return names
