"""S2MTS2: the joint contrastive loss, pretraining steps, and the parts of semi-supervised finetuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F

from hilum.methods.joint_contrast import joint_contrast
from tests.parity import Check, golden

Arrays = Mapping[str, np.ndarray]


def checks() -> Iterator[Check]:
    """Ours beside theirs."""
    arrays = {name: torch.from_numpy(np.atleast_1d(array)) for name, array in golden("s2mts2").items()}
    yield from _loss(arrays)


def _loss(arrays: dict[str, torch.Tensor]) -> Iterator[Check]:
    cases = sorted({name.partition("_")[0] for name in arrays if name.startswith("jcl")})
    for case in cases:
        of = {name.removeprefix(f"{case}_"): array for name, array in arrays.items() if name.startswith(f"{case}_")}
        n, m, _, _ = of["cfg_N_M_C_K"].tolist()
        tau, ratio = of["cfg_T_ratio"].tolist()
        raw = of["q_raw"].clone().requires_grad_()
        keys = F.normalize(of["k_raw"], dim=1).unflatten(0, (m, n)).transpose(0, 1)
        ours = joint_contrast(F.normalize(raw, dim=1), keys, of["queue"].T, tau, ratio)
        ours.loss.backward()
        what = f"joint contrast, {m} keys, ratio {ratio:g}"
        yield Check("s2mts2", f"{what}: logits", ours.logits, of["logits"])
        yield Check("s2mts2", f"{what}: cross-entropy", ours.contrast, of["ce_loss"][0])
        yield Check("s2mts2", f"{what}: bound", ours.bound, of["jcl_loss"][0])
        yield Check("s2mts2", f"{what}: loss", ours.loss, of["total_loss"][0])
        yield Check("s2mts2", f"{what}: gradient", raw.grad, of["grad_q_raw"], 1e-4, relative=True)
