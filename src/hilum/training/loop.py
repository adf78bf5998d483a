"""The training loop, on Lightning Fabric: one device or many, exact resume at any step."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from hilum.errors import TrainingError
from hilum.methods.chexzero import Batch, CheXzero, CheXzeroMethod, Pairs
from hilum.methods.contrast import alone
from hilum.training.checkpoints import BEST, LAST, load_state, save_state
from hilum.training.journal import Journal
from hilum.training.plan import Plan, schedule, step_rng
from hilum.training.validation import Truth, validate

READ_AHEAD = 3


@dataclass(frozen=True)
class Progress:
    """Where a run is: sent after every step."""

    step: int
    steps: int
    loss: float
    images_per_s: float
    seconds_left: float
    reading_share: float
    validation: dict[str, float] | None = None


OnStep = Callable[[Progress], None]


def train(
    method: CheXzeroMethod,
    pairs: Pairs,
    validation: Pairs | None,
    truth: Truth | None,
    folder: Path,
    *,
    seed: int,
    save_every: int,
    fabric: Fabric,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Train a method to the end of its plan, from wherever `folder` says it was stopped.

    What a step does depends on the seed and the step's number alone (which examples, which draws, dropout), and the state
    saved holds all that came before, so a run killed and started again ends with the same weights as one never killed
    (bitwise on one machine's CPU with the same number of threads).

    Returns:
        the final state's `best` (step and measurements) and `history` of validations.

    Raises:
        TrainingError: a loss is not finite; the batch's image ids are in the message and in `not_finite.json`.
    """
    recipe: CheXzero = method.recipe
    plan = Plan.of(len(pairs), recipe.batch_size, recipe.epochs, seed)
    optimizer = make_optimizer(method, recipe)
    module, optimizer = fabric.setup(method, optimizer)
    state = load_state(folder / LAST)
    done, best, history = 0, None, []
    if state is not None:
        method.load_state_dict(state["method"], strict=True)
        optimizer.load_state_dict(state["optimizer"])
        done, best, history = state["step"], state["best"], state["history"]
    journal = Journal(folder, done)
    gather = _gatherer(fabric)
    metric = "val_auroc" if truth is not None else "val_loss"
    saved_at, started, seen, waited = done, time.perf_counter(), 0, 0.0

    def keep(step: int) -> None:
        if fabric.global_rank == 0:
            state = {"method": method.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(folder / LAST, {**state, "step": step, "best": best, "history": history})

    method.train()
    for step, batch, wait_s in _read_ahead(method, pairs, plan, done, seed, fabric):
        waited += wait_s
        torch.manual_seed(int(step_rng(seed, step, fabric.global_rank).integers(2**62)))  # dropout and the like
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step, plan.steps, recipe.schedule, recipe.warmup)
        draws = torch.Generator().manual_seed(int(step_rng(seed, step, fabric.global_rank).integers(2**62)))
        losses = module(batch.to(fabric.device), draws, gather, fabric.global_rank)
        loss = float(losses["loss"].detach())
        if not np.isfinite(loss):
            _refuse_not_finite(folder, step, loss, [pairs.image_ids[i] for i in plan.picks(step)])
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(losses["loss"])
        if recipe.clip_norm is not None:
            fabric.clip_gradients(module, optimizer, max_norm=recipe.clip_norm)
        optimizer.step()
        step, seen = step + 1, seen + plan.batch_size
        measured = None
        if validation is not None and (step % recipe.validate_every == 0 or step == plan.steps):
            measured = validate(method, validation, truth, fabric.device, recipe.batch_size)
            history.append({"step": step, **measured})
            if best is None or _better(measured[metric], best[metric], metric):
                best = {"step": step, **measured}
                if fabric.global_rank == 0:
                    save_state(folder / BEST, {"method": method.state_dict(), "step": step})
        journal.write(
            step, {k: float(v.detach()) for k, v in losses.items()}, optimizer.param_groups[0]["lr"], measured
        )
        if step - saved_at >= save_every or step == plan.steps:
            keep(step)
            saved_at = step
        if on_step is not None:
            elapsed = time.perf_counter() - started
            left = elapsed / (step - done) * (plan.steps - step)
            on_step(Progress(step, plan.steps, loss, seen / elapsed, left, waited / elapsed, measured))
    journal.close()
    return {"best": best, "history": history, "steps": plan.steps}


def make_optimizer(method: torch.nn.Module, recipe: CheXzero) -> torch.optim.Optimizer:
    """The recipe's optimizer; biases, norms and the logit scale are not decayed."""
    decayed = [p for p in method.parameters() if p.ndim >= 2]
    plain = [p for p in method.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def _better(new: float, old: float, metric: str) -> bool:
    return new > old if metric == "val_auroc" else new < old


def _gatherer(fabric: Fabric) -> Callable[[Tensor], Tensor]:
    if fabric.world_size == 1:
        return alone
    return lambda rows: fabric.all_gather(rows, sync_grads=True).flatten(0, 1)


def _read_ahead(
    method: CheXzeroMethod, pairs: Pairs, plan: Plan, first: int, seed: int, fabric: Fabric
) -> Any:  # Iterator[tuple[int, Batch, float]]
    rank, world = fabric.global_rank, fabric.world_size

    def read(step: int) -> Batch:
        picks = plan.picks(step).reshape(world, -1)[rank]
        return method.read(pairs, picks, step_rng(seed, step, rank))

    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        ahead: deque[Future[Batch]] = deque()
        for step in range(first, plan.steps):
            while len(ahead) <= READ_AHEAD and step + len(ahead) < plan.steps:
                ahead.append(reader.submit(read, step + len(ahead)))
            asked = time.perf_counter()
            batch = ahead.popleft().result()
            yield step, batch, time.perf_counter() - asked


def _refuse_not_finite(folder: Path, step: int, loss: float, image_ids: list[str]) -> None:
    (folder / "not_finite.json").write_text(
        json.dumps({"step": step, "loss": str(loss), "image_ids": image_ids}, indent=2)
    )
    shown = ", ".join(image_ids[:4]) + (f", ... ({len(image_ids)} in all)" if len(image_ids) > 4 else "")
    raise TrainingError(
        f"step {step}: the loss is {loss}. The batch's images: {shown}; all are in {folder / 'not_finite.json'}. "
        "Look at them (hilum check), or lower learning_rate, or set clip_norm=1; the last saved state is untouched."
    )
