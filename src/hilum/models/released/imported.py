"""What an import made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Imported:
    """What an import made: the folder, the file it came from with its SHA-256, and the model's fingerprint."""

    folder: Path
    file: Path
    sha256: str
    tensors: int
    fingerprint: str
