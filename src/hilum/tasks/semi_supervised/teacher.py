"""A teacher: a copy of a network that follows it slowly (Tarvainen and Valpola 2017, arXiv 1703.01780)."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def start_teacher(student: nn.Module, teacher: nn.Module, compat: bool = False) -> None:
    """Make the two equal: the teacher becomes what the student is.

    Args:
        student, teacher: of the same architecture.
        compat: as released, the student becomes what the teacher is, so that what it had learned is lost.
    """
    source, target = (teacher, student) if compat else (student, teacher)
    target.load_state_dict(source.state_dict(), strict=True)


@torch.no_grad()
def follow_student(student: nn.Module, teacher: nn.Module, decay: float, compat: bool = False) -> None:
    """teacher <- decay * teacher + (1 - decay) * student: parameters and the running statistics of normalization layers.

    Args:
        student, teacher: of the same architecture.
        decay: in [0, 1].
        compat: as released, whole numbers (how many batches a layer has seen) stay what they were; else they are copied.
    """
    own, other = teacher.state_dict(), student.state_dict()
    floats = [name for name, value in own.items() if value.is_floating_point()]
    torch._foreach_lerp_([own[name] for name in floats], [other[name] for name in floats], 1 - decay)
    if not compat:
        for name in own.keys() - set(floats):
            own[name].copy_(other[name])
