"""S2MTS2: the joint contrastive loss, pretraining steps, and the parts of semi-supervised finetuning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hilum.checkpoints import read_checkpoint
from hilum.evaluation.metrics import auroc
from hilum.methods.joint_contrast import joint_contrast
from hilum.methods.s2mts2 import S2MTS2, S2MTS2Method
from hilum.models.towers_densenet import DenseNet
from hilum.tasks.semi_supervised.losses import History, consistency, elr_plus, rising, soft_margin
from hilum.tasks.semi_supervised.teacher import follow_student, start_teacher
from tests.parity import GOLDEN, Check, golden

HEAD = {"classifier.": "head.0.", "classifier_group.0.": "head.2.", "classifier_group.2.": "head.4."}


def checks() -> Iterator[Check]:
    """Ours beside theirs."""
    arrays = {name: torch.from_numpy(np.atleast_1d(array)) for name, array in golden("s2mts2").items()}
    yield from _loss(arrays)
    yield from _steps(arrays)
    yield from _history(arrays)
    yield from _mean_teacher(arrays)
    yield from _average(arrays)
    yield from _areas(arrays)


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
        yield Check("s2mts2", f"step {step}: queue", method.queue.keys.clone(), of["queue_after"])
        yield Check("s2mts2", f"step {step}: queue pointer", method.queue.pointer.clone(), of["ptr_after"], 0)
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


def _history(arrays: dict[str, Tensor]) -> Iterator[Check]:
    batches = sorted({name.split("_")[1] for name in arrays if name.startswith("ft_elr") and "index" in name})
    images, findings = arrays[f"ft_{batches[0]}_pred_hist_after"].shape
    history = History(images, findings, arrays["ft_elr_beta"].item())
    for batch in batches:
        of = {name.removeprefix(f"ft_{batch}_"): array for name, array in arrays.items()}
        history.put(of["index"], of["ema_logits"])
        targets = history.mixed(of["index"], of["mix_index"], of["lambda"].item())
        logits = of["logits"].clone().requires_grad_()
        ours = elr_plus(logits, of["labels"], targets)
        ours.loss.backward()
        yield Check("s2mts2", f"ELR+, {batch}: history", history.table.clone(), of["pred_hist_after"])
        yield Check("s2mts2", f"ELR+, {batch}: targets", targets, of["q"])
        yield Check("s2mts2", f"ELR+, {batch}: supervised", ours.supervised, of["bce"][0])
        yield Check("s2mts2", f"ELR+, {batch}: regularizer", ours.regularizer, of["reg"][0])
        yield Check("s2mts2", f"ELR+, {batch}: loss", ours.loss, of["total"][0])
        yield Check("s2mts2", f"ELR+, {batch}: gradient", logits.grad, of["grad"], 1e-4, relative=True)


def _mean_teacher(arrays: dict[str, Tensor]) -> Iterator[Check]:
    for case in sorted({name.split("_")[1] for name in arrays if name.startswith("ft_mt")}):
        of = {name.removeprefix(f"ft_{case}_"): array for name, array in arrays.items()}
        epoch, epochs = of["epoch_epochs"].tolist()
        pull = consistency(of["logits_u"], of["logits_u_ema"])
        loss = soft_margin(of["logits_x"], of["labels"]) + rising(epoch, epochs) * pull
        yield Check("s2mts2", f"mean teacher, epoch {epoch}: consistency", pull, of["mse"][0])
        yield Check("s2mts2", f"mean teacher, epoch {epoch}: loss", loss, of["loss"][0])


def _average(arrays: dict[str, Tensor]) -> Iterator[Check]:
    def state(who: str, when: str) -> dict[str, Tensor]:
        prefix = f"ft_ema_{who}_{when}_"
        found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        return {name: a.reshape(()) if name.endswith("num_batches_tracked") else a for name, a in found.items()}

    out, into = arrays["ft_ema_student_before_0.weight"].shape
    student, teacher = (torch.nn.Sequential(torch.nn.Linear(into, out), torch.nn.BatchNorm1d(out)) for _ in range(2))
    student.load_state_dict(state("student", "before"))
    teacher.load_state_dict(state("teacher", "before"))
    start_teacher(student, teacher, compat=True)

    def checks(who: str, when: str, module: torch.nn.Module) -> Iterator[Check]:
        theirs, ours = state(who, when), module.state_dict()
        both = [torch.cat([values[name].double().flatten() for name in theirs]) for values in (ours, theirs)]
        yield Check("s2mts2", f"average of weights, {when}: {who}", *both)

    yield from checks("student", "after_ctor", student)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.5)
    for step in (1, 2):
        optimizer.zero_grad()
        student(arrays[f"ft_ema_x{step}"]).square().mean().backward()
        optimizer.step()
        follow_student(student, teacher, 0.9, compat=True)
        yield from checks("student", f"step{step}", student)
        yield from checks("teacher", f"step{step}", teacher)


def _areas(arrays: dict[str, Tensor]) -> Iterator[Check]:
    ours = [auroc(t, p) for t, p in zip(arrays["ft_auc_targ"].T.numpy(), arrays["ft_auc_pred"].T.numpy(), strict=True)]
    yield Check("s2mts2", "area under the curve by finding", ours, arrays["ft_auc_value"])
