"""The query encoder inside a checkpoint of momentum contrast: what MoCo-CXR, MedAug and S2MTS2 release."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from hilum.errors import CheckpointError
from hilum.models.tower_weights import modern_name


@dataclass(frozen=True)
class QueryEncoder:
    """The query encoder's tensors, its prefix taken off.

    Attributes:
        backbone: the tower's, under torchvision's names.
        head: all others of the query encoder.
        left_out: entries of the key encoder and of the queue.
    """

    backbone: dict[str, Tensor]
    head: dict[str, Tensor]
    left_out: dict[str, int]


def query_encoder(
    file: Path, state: dict[str, Tensor], prefix: str, buffers: tuple[str, ...], heads: tuple[str, ...]
) -> QueryEncoder:
    """Take a state dict apart.

    Args:
        file: for messages.
        state: name to tensor.
        prefix: of every name: "module." of distributed training, or nothing.
        buffers: the queue's, which must all be there.
        heads: how the names of the head begin, inside the query encoder.

    Raises:
        CheckpointError: a buffer is missing, or there is a name that is none of encoder_q, encoder_k and the buffers.
    """
    backbone: dict[str, Tensor] = {}
    head: dict[str, Tensor] = {}
    left_out: Counter[str] = Counter()
    unexpected = []
    for name, tensor in state.items():
        part, _, rest = name.removeprefix(prefix).partition(".")
        if not name.startswith(prefix):
            unexpected.append(name)
        elif part == "encoder_q":
            (head if rest.startswith(heads) else backbone)[modern_name(rest)] = tensor
        elif part == "encoder_k":
            left_out["the key encoder"] += 1
        elif not rest and part in buffers:
            left_out["the queue"] += 1
        else:
            unexpected.append(name)
    missing = [prefix + buffer for buffer in buffers if prefix + buffer not in state]
    if unexpected or missing:
        raise CheckpointError(
            f"{file}: {len(state)} entries, {len(unexpected)} unexpected ({', '.join(sorted(unexpected)[:6]) or 'none'}), "
            f"{len(missing)} missing ({', '.join(missing) or 'none'}); expected {prefix}encoder_q.*, {prefix}encoder_k.* and "
            f"{', '.join(prefix + buffer for buffer in buffers)}."
        )
    return QueryEncoder(backbone, head, dict(left_out))
