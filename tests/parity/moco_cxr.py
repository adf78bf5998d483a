"""MoCo-CXR: two steps from a checkpoint in the original's format, and the table of learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hilum.checkpoints import read_checkpoint
from hilum.methods.moco import contrast, encode_shuffled, first_is_right
from hilum.methods.moco_cxr import MoCoCXR, MoCoCXRMethod, MomentumContrast, Views
from hilum.methods.schedule import Place
from hilum.models.preprocess_kinds import ShorterSideCrop
from hilum.models.towers_resnet import ResNet
from tests.parity import GOLDEN, Check, golden

METHOD = "moco-cxr"
# Passes floats through `normalize`: x / 255 / (1 / 255).
AS_IT_IS: dict[str, Any] = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}


def checks() -> Iterator[Check]:
    """Both heads, and the schedule."""
    arrays = golden("moco_cxr")
    for tag in sorted(key.removesuffix("_cfg_mlp") for key in arrays if key.endswith("_cfg_mlp")):
        yield from steps(arrays, tag)
    yield from learning_rates(arrays["lr_table"])


def steps(arrays: Mapping[str, np.ndarray], tag: str) -> Iterator[Check]:
    """Every step of one head: what goes in, comes out, and what state is left."""
    batch_size, slots, dim = map(int, arrays[f"{tag}_cfg_N_K_dim"])
    tau, momentum = map(float, arrays[f"{tag}_cfg_T_m"])
    start = read_checkpoint(GOLDEN / "moco_cxr" / f"{tag}_ckpt_step0.pth.tar")
    recipe = MoCoCXR(
        init="random",
        mlp=bool(arrays[f"{tag}_cfg_mlp"]),
        dim=dim,
        queue=slots,
        batch_size=batch_size,
        tau=tau,
        key_momentum=momentum,
    )
    method = MoCoCXRMethod(recipe, tower_of(start["state_dict"]))
    take(method, start["state_dict"])
    optimizer = adam_of(method, start["optimizer"]["param_groups"][0])
    method.train()
    for number in range(1, 1 + sum(key.startswith(f"{tag}_s") and key.endswith("_im_q") for key in arrays)):

        def given(name: str, step: int = number) -> np.ndarray:
            return arrays[f"{tag}_s{step}_{name}"]

        def check(quantity: str, ours: Any, theirs: Any, tolerance: float = 1e-5, **how: bool) -> Check:
            return Check(METHOD, f"{tag} step {number}: {quantity}", ours, theirs, tolerance, **how)  # noqa: B023

        yield check("queue before", method.queue.keys.clone(), given("queue_before"))
        batch = views_of(given("im_q"), given("im_k"))
        method.before_step(number - 1, 2)
        yield from shuffling(method, batch, given, check)
        losses, rows = method(batch)
        logits = method.logits(rows)
        yield check("query", rows["query"], given("q_raw"))
        yield check("key", rows["key"], given("k_raw"))
        yield check("logits", logits, given("logits"))
        yield check("labels", np.zeros(batch_size), given("labels"))
        yield check("loss", losses["loss"], given("loss"))
        yield check("loss by parts", first_is_right(contrast_of(method, rows)), given("loss"))
        yield check("top 1 and 5, percent", torch.stack([losses["top1"], losses["top5"]]) * 100, given("acc1_acc5"))
        optimizer.zero_grad()
        losses["loss"].backward()
        gradient = dict(method.query.named_parameters())["image_tower.conv1.weight"].grad
        yield check("gradient of conv1", gradient, given("grad_conv1"), 1e-4, relative=True)
        optimizer.step()
        method.after_losses(batch, {name: row.detach() for name, row in rows.items()})
        yield check("queue after", method.queue.keys.clone(), given("queue_after"))
        yield check("queue pointer after", method.queue.pointer.clone(), given("queue_ptr_after"), 0)
        after = read_checkpoint(GOLDEN / "moco_cxr" / f"{tag}_ckpt_step{number}.pth.tar")["state_dict"]
        yield from state(method, after, check)
    method.eval()


def shuffling(method: MoCoCXRMethod, batch: Views, given: Any, check: Any) -> Iterator[Check]:
    """Keys of the batch in the original's order of shuffling; leaves the batch statistics as they were."""
    kept = {name: value.clone() for name, value in method.key.named_buffers()}
    assert batch.views is not None
    order = torch.from_numpy(given("shuffle_perm"))
    keys = encode_shuffled(lambda v: method.key.project(method._floats(v)), batch.views[:, 1], order)
    yield check("key, shuffled as theirs", keys, given("k_raw"))
    for name, value in method.key.named_buffers():
        value.copy_(kept[name])


def contrast_of(method: MoCoCXRMethod, rows: dict[str, Tensor]) -> Tensor:
    """The logits by the pure function."""
    query, key = F.normalize(rows["query"], dim=1), F.normalize(rows["key"], dim=1)
    return contrast(query, key, method.queue.keys, method.recipe.tau)


def state(method: MomentumContrast[Any, Any, Any], after: Mapping[str, Tensor], check: Any) -> Iterator[Check]:
    """Weights and batch statistics of both encoders, each the largest difference over all tensors."""
    for side, encoder in (("encoder_q", method.query), ("encoder_k", method.key)):
        ours, theirs = encoder.state_dict(), encoder_state(after, side)
        weights = [name for name, _ in encoder.named_parameters()]
        buffers = [name for name, _ in encoder.named_buffers()]
        for what, names in (("weights", weights), ("batch statistics", buffers)):
            # Adam divides by the root of the squared gradient, so that a rounding error where it is nearly zero is a whole step.
            tolerance = 2e-4 if side == "encoder_q" and what == "weights" else 1e-5
            yield check(f"{side} {what}", flat(ours, names), flat(theirs, names), tolerance)
    yield check("queue in the checkpoint", method.queue.keys.clone(), after["module.queue"])
    yield check("pointer in the checkpoint", method.queue.pointer.clone(), after["module.queue_ptr"], 0)


def learning_rates(table: np.ndarray) -> Iterator[Check]:
    """The rate of each epoch: steps, and the cosine that ends early."""
    for is_cosine in (0, 1):
        rows = table[table[:, 0] == is_cosine]
        recipe = MoCoCXR(schedule="cosine" if is_cosine else "steps")
        per_epoch, steps = 10, int(10 * recipe.epochs)
        ours = [recipe.learning_rate * recipe.rate(Place(int(e) * per_epoch, steps, per_epoch)) for e in rows[:, 1]]
        yield Check(METHOD, f"learning rates, {recipe.schedule}", np.array(ours), rows[:, 2], 1e-5, relative=True)


def tower_of(tensors: Mapping[str, Tensor]) -> ResNet:
    """The small ResNet of the arrays, its widths read from its tensors."""
    widths = []
    while (name := f"module.encoder_q.layer{len(widths) + 1}.0.conv1.weight") in tensors:
        widths.append(len(tensors[name]))
    stem = len(tensors["module.encoder_q.conv1.weight"])
    return ResNet(block="basic", layers=(1,) * len(widths), widths=tuple(widths), stem_width=stem, stem="3x3")


def encoder_state(tensors: Mapping[str, Tensor], side: str) -> dict[str, Tensor]:
    """One encoder's tensors under our names: `fc` is the head, all else the tower."""
    found = {}
    for name, tensor in tensors.items():
        if name.startswith(f"module.{side}."):
            own = name.removeprefix(f"module.{side}.")
            if own.startswith("fc."):
                parts = own.split(".")
                own = f"head.{'.'.join(parts[1:])}" if len(parts) == 3 else f"head.0.{parts[1]}"
            else:
                own = f"image_tower.{own}"
            found[own] = tensor
    return found


@torch.no_grad()
def take(method: MomentumContrast[Any, Any, Any], tensors: Mapping[str, Tensor]) -> None:
    """Put a checkpoint's encoders, queue and what it knows of the slots into a method."""
    method.query.load_state_dict(encoder_state(tensors, "encoder_q"), strict=True)
    method.key.load_state_dict(encoder_state(tensors, "encoder_k"), strict=True)
    method.queue.keys.copy_(tensors["module.queue"])
    method.queue.pointer.copy_(tensors["module.queue_ptr"])
    method.preprocess = ShorterSideCrop(**AS_IT_IS)


def views_of(query: np.ndarray, key: np.ndarray) -> Views:
    """Images (N, 3, H, H) as views that the method takes as they are."""
    views = torch.stack([torch.from_numpy(query), torch.from_numpy(key)], dim=1)
    return Views(torch.zeros(len(views), 1, 1, dtype=torch.uint8), torch.ones(len(views), 2, dtype=torch.int64), views)


def adam_of(method: nn.Module, group: Mapping[str, Any]) -> torch.optim.Adam:
    """The checkpoint's optimizer, on the trained parameters."""
    settings = {name: group[name] for name in ("lr", "betas", "eps", "weight_decay")}
    return torch.optim.Adam([p for p in method.parameters() if p.requires_grad], **settings)


def flat(tensors: Mapping[str, Tensor], names: list[str]) -> Tensor:
    """Several tensors as one row."""
    return torch.cat([tensors[name].detach().double().flatten() for name in names])
