"""State dicts as they are: `torch.load` with `weights_only`, and errors that say what a file is instead."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilum.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor


def sha256_of(path: Path) -> str:
    """The file's SHA-256, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def read_checkpoint(path: Path) -> Any:
    """What `torch.save` wrote, tensors and plain values only.

    Raises:
        CheckpointError: the file is absent, empty, a web page, not a checkpoint, cut short, or would run code.
    """
    import torch

    refuse_what_is_no_checkpoint(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "weights_only" in str(error).lower():
            what = next(
                (line.strip() for line in str(error).splitlines() if "GLOBAL" in line), str(error).splitlines()[0]
            )
            raise CheckpointError(
                f"{path}: the file holds objects that need code to be run to read them, which hilum does not do ({what}). "
                "Save the bare state dict (tensors only) where you trust the file, and import that."
            ) from None
        raise CheckpointError(damaged(path, error)) from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError, OSError) as error:
        raise CheckpointError(damaged(path, error)) from None


def read_state_dict(path: Path, under: str | None = None) -> dict[str, Tensor]:
    """A state dict: names to tensors.

    Args:
        path: what `torch.save` wrote.
        under: the key of a container that holds the state dict; a flat file is then taken as well.

    Raises:
        CheckpointError: as `read_checkpoint`, or the file holds something else.
    """
    import torch

    content = read_checkpoint(path)
    if under is not None and isinstance(content, dict):
        content = content.get(under, content)
    if not isinstance(content, dict) or not content or not all(isinstance(v, torch.Tensor) for v in content.values()):
        held = (
            f"a dict with keys {sorted(map(str, content))[:6]}" if isinstance(content, dict) else type(content).__name__
        )
        wanted = "a flat state dict (name to tensor)" + (f" or one under '{under}'" if under else "")
        raise CheckpointError(f"{path}: expected {wanted}, got {held}.")
    return {str(name): tensor for name, tensor in content.items()}


def refuse_what_is_no_checkpoint(path: Path) -> None:
    if not path.exists():
        raise CheckpointError(f"{path}: no such file.")
    if path.is_dir():
        raise CheckpointError(f"{path}: expected a checkpoint file, this is a folder.")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise CheckpointError(f"{path}: the file is empty. Download it again.")
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise CheckpointError(
            f"{path}: this is a web page, not a checkpoint: the download was answered by a login or an error page. "
            "Open the link in a browser and save the file itself."
        )
    if not head.startswith((b"PK", b"\x80")) and not text.startswith((b"version https://git-lfs", b"<")):
        raise CheckpointError(damaged(path, ValueError("neither of PyTorch's two formats")))
    if text.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: this is a Git LFS pointer, not the file. Fetch it with `git lfs pull`.")


def damaged(path: Path, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return f"{path}: not a PyTorch checkpoint, or cut short ({reason}). Compare its size and SHA-256 with the release."
