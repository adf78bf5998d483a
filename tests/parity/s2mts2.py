"""S2MTS2: the joint contrastive loss, pretraining steps, and the parts of semi-supervised finetuning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.checkpoints import read_checkpoint
from hilum.methods.joint_contrast import joint_contrast
from hilum.methods.s2mts2 import S2MTS2, S2MTS2Method
from hilum.models.towers_densenet import DenseNet
from tests.parity import GOLDEN, Check, golden

HEAD = {"classifier.": "head.0.", "classifier_group.0.": "head.2.", "classifier_group.2.": "head.4."}


def checks() -> Iterator[Check]:
    """Ours beside theirs."""
    arrays = {name: torch.from_numpy(np.atleast_1d(array)) for name, array in golden("s2mts2").items()}
    yield from _loss(arrays)
    yield from _steps(arrays)


def _loss(arrays: dict[str, Tensor]) -> Iterator[Check]:
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


def _steps(arrays: dict[str, Tensor]) -> Iterator[Check]:
    n, m, slots, latent, side = arrays["pre_cfg_N_M_K_latent_size"].tolist()
    tau, momentum = arrays["pre_cfg_T_m"].tolist()
    growth, *blocks, initial, bn_size, _ = arrays["pre_cfg_densenet"].tolist()
    tower = DenseNet(growth=growth, blocks=tuple(blocks), initial_features=initial, bn_size=bn_size, leaky_slope=0.1)
    settings = {"keys": m, "queue": slots, "dim": latent, "side_px": side, "tau": tau, "key_momentum": momentum}
    method = S2MTS2Method(S2MTS2(init="random", batch_size=n, compat=True, **settings), tower)
    method.load_state_dict(_ours(0), strict=True)
    recipe = method.recipe
    groups = [{k: v for k, v in group.items() if k != "rate"} for group in method.parameter_groups()]
    optimizer = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    for step, ratio in enumerate(arrays["pre_ratios"].tolist(), start=1):
        of = {name.removeprefix(f"pre_s{step}_"): array for name, array in arrays.items()}
        method.before_step(step - 1, len(arrays["pre_ratios"]))
        method.spread_weight = ratio
        rows = method.project(of["im_q"], of["im_k"])
        joint = joint_contrast(
            *(F.normalize(rows[k], dim=-1) for k in ("query", "keys")), method.queue.keys.T, recipe.tau, ratio
        )
        losses = method.losses(rows)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        method.after_losses(None, rows)
        yield Check("s2mts2", f"step {step}: queries", rows["query"], of["q_raw"])
        yield Check("s2mts2", f"step {step}: keys", rows["keys"].transpose(0, 1).flatten(0, 1), of["k_raw"])
        yield Check("s2mts2", f"step {step}: logits", joint.logits, of["logits"])
        for ours, theirs in (("contrast", "ce"), ("bound", "jcl"), ("loss", "total")):
            yield Check("s2mts2", f"step {step}: {ours}", losses[ours], of[theirs][0])
        yield Check("s2mts2", f"step {step}: queue", method.queue.keys, of["queue_after"])
        yield Check("s2mts2", f"step {step}: queue pointer", method.queue.pointer, of["ptr_after"], 0)
        state, theirs = method.state_dict(), _ours(step)
        for part in ("query", "key"):
            names = [name for name in theirs if name.startswith(f"{part}.") and theirs[name].is_floating_point()]
            ours, expected = (torch.cat([s[name].flatten() for name in names]) for s in (state, theirs))
            yield Check("s2mts2", f"step {step}: {part} encoder's weights and statistics", ours, expected)


def _ours(step: int) -> dict[str, Tensor]:
    """The released layout's tensors under our names."""
    theirs = read_checkpoint(GOLDEN / "s2mts2" / f"pretrain_ckpt_step{step}.pth.tar")["state_dict"]
    ours = {"queue.keys": theirs["queue"], "queue.pointer": theirs["queue_ptr"], "queue.filled": torch.zeros(1).long()}
    for side, encoder in (("query", "encoder_q."), ("key", "encoder_k.")):
        for name in (n for n in theirs if n.startswith(encoder)):
            new = name.removeprefix(encoder)
            for old, head in HEAD.items():
                new = new.replace(old, head)
            new = f"image_tower.{new}" if new.startswith("features.") else new
            ours[f"{side}.{new}"] = theirs[name]
    return ours
