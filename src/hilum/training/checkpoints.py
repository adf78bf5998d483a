"""A run's state on disk: complete or absent, tensors and plain values only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from hilum.errors import TrainingError

LAST, BEST, RUN = "last.pt", "best.pt", "run.json"


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state so that a kill at any moment leaves the old or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_state(path: Path) -> dict[str, Any] | None:
    """The state at `path`, on the CPU, or None when there is none.

    Raises:
        TrainingError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise TrainingError(f"{path}: damaged ({error}). Remove the run folder and start again.") from error


def claim_folder(folder: Path, run: dict[str, Any]) -> None:
    """Write down what a run is, or check that the folder holds the same run.

    Raises:
        TrainingError: the folder holds another run; names what differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RUN
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise TrainingError(f"{path}: damaged ({error}). Remove the run folder and start again.") from error
        differs = [f"{key} was {_short(old)}, now {_short(new)}" for key, old, new in _flat(before, run) if old != new]
        if differs:
            raise TrainingError(
                f"{folder.parent} holds another run: {'; '.join(differs)}. Give another -o, or remove that folder to start anew."
            )
        return
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(run, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _flat(before: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(name, old, new) of every entry; a recipe's settings one by one."""
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _flat(old, new)
        else:
            yield key, old, new


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
