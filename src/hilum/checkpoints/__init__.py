"""Read released checkpoint files without running anything that is in them."""

from __future__ import annotations

from hilum.checkpoints.container import Container, read_container
from hilum.checkpoints.files import read_checkpoint, read_state_dict, sha256_of

__all__ = ["Container", "read_checkpoint", "read_container", "read_state_dict", "sha256_of"]
