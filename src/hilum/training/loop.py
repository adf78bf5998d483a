"""The training loop, on Lightning Fabric: one device or many, exact resume at any step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric

from hilum.errors import TrainingError
from hilum.methods.lookahead import Lookahead
from hilum.methods.method import Method
from hilum.methods.recipe import Recipe
from hilum.methods.schedule import Place
from hilum.training.batches import Batches
from hilum.training.checkpoints import BEST, LAST, load_state, save_state
from hilum.training.journal import Journal
from hilum.training.mixture import Mixture
from hilum.training.plan import Plan
from hilum.training.processes import first_does, ranks_of
from hilum.training.step import Step, backward
from hilum.training.stopwatch import Stopwatch
from hilum.training.validation import Truth, validate

WARM_UP = 10  # steps that a profile leaves out: libraries choose their ways, and memory is taken


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
    method: Method,
    examples: Mixture,
    validation: Mixture | None,
    truth: Truth | None,
    folder: Path,
    *,
    seed: int,
    save_every: int,
    fabric: Fabric,
    compiled: bool = False,
    profiled: bool = False,
    on_step: OnStep | None = None,
) -> dict[str, Any]:
    """Train a method to the end of its plan, from wherever `folder` says it was stopped.

    What a step does depends on the seed, the step's number and the process alone (which examples, which draws, dropout), and
    the state saved holds all that came before, so a run killed and started again with as many processes ends with the same
    weights as one never killed (bitwise on one machine's CPU with the same number of threads). With another number of
    processes it goes on with the same examples, but other draws.

    Returns:
        the final state's `best` (step and measurements), `history` of validations, `steps`, and the `stopwatch`.

    Raises:
        TrainingError: a loss is not finite; the batch's image ids are in the message and in `not_finite.json`.
    """
    recipe = method.recipe
    plan = plan_of(examples, recipe, seed)
    ranks = ranks_of(fabric)
    _refuse_uneven(recipe.batch_size, fabric.world_size)
    optimizer = make_optimizer(method, recipe)
    if method.shares_norms and fabric.world_size > 1 and fabric.device.type == "cuda":  # the CPU has no such layer
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(method)
    if compiled:
        method.encode = torch.compile(method.encode)  # type: ignore[method-assign]
    module, optimizer = fabric.setup(Step(method, ranks), optimizer)
    parameters = list(method.parameters())
    state = load_state(folder / LAST)
    done, best, history = 0, None, []
    if state is not None:
        method.load_state_dict(state["method"], strict=True)
        optimizer.load_state_dict(state["optimizer"])
        done, best, history = state["step"], state["best"], state["history"]
    journal = Journal(folder, done) if fabric.global_rank == 0 else None
    watch = Stopwatch(fabric.device, exact=profiled)
    metric = "val_auroc" if truth is not None else "val_loss"
    saved_at, started = done, time.perf_counter()

    method.train()
    first = done
    with Batches(method, examples, plan, first, seed, fabric, watch) as batches:
        watch.start()
        for step in range(first, plan.steps):
            batch, own = batches.next()
            _seed(own, fabric.device)  # dropout and the like
            place = Place(step, plan.steps, plan.steps_per_epoch, [h["val_loss"] for h in history])
            rate = recipe.learning_rate * recipe.rate(place)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate"]
            with watch("before step"), torch.no_grad():
                method.before_step(step, plan.steps, ranks)
            for parameter in parameters:
                parameter.grad = None
            losses, rows = backward(module, batch, fabric, watch, recipe.chunk, own, batches.begin)
            loss = float(ranks.mean(losses["loss"]))
            if not np.isfinite(loss):
                _refuse_not_finite(folder, step, loss, examples.ids_at(plan.picks(step)))
            with watch("optimizer"):
                if recipe.clip_norm is not None:
                    fabric.clip_gradients(module, optimizer, max_norm=recipe.clip_norm)
                optimizer.step()
            with watch("after losses"), torch.no_grad():
                method.after_losses(batch, rows, ranks)
            done, measured = step + 1, None
            if validation is not None and (done % recipe.validate_every == 0 or done == plan.steps):
                with watch("validate"):
                    measured = first_does(
                        fabric, lambda: validate(method, validation, truth, fabric.device, recipe.batch_size)
                    )
                history.append({"step": done, **measured})
                if best is None or _better(measured[metric], best[metric], metric):
                    best = {"step": done, **measured}
                    if fabric.global_rank == 0:
                        save_state(folder / BEST, {"method": method.state_dict(), "step": done})
            with watch("journal"):
                if journal is not None:
                    journal.write(done, {k: float(v) for k, v in losses.items()}, rate, measured)
            if done - saved_at >= save_every or done == plan.steps:
                with watch("save"):
                    if fabric.global_rank == 0:
                        kept = {"method": method.state_dict(), "optimizer": optimizer.state_dict()}
                        save_state(folder / LAST, {**kept, "step": done, "best": best, "history": history})
                saved_at = done
            watch.lap()
            if profiled and done - first == WARM_UP and plan.steps - done > WARM_UP:
                watch.start()
            if on_step is not None and fabric.global_rank == 0:
                elapsed = time.perf_counter() - started
                left = elapsed / (done - first) * (plan.steps - done)
                waited = watch.seconds.get("wait for examples", 0.0) / elapsed
                seen = (done - first) * plan.batch_size
                on_step(Progress(done, plan.steps, loss, seen / elapsed, left, waited, measured))
    if journal is not None:
        journal.close()
    return {"best": best, "history": history, "steps": plan.steps, "stopwatch": watch}


def _seed(seed: int, device: torch.device) -> None:
    """Of the device's draws: `torch.manual_seed` looks for every kind of device, which takes a millisecond."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def plan_of(examples: Mixture, recipe: Recipe, seed: int) -> Plan:
    """The order of a run.

    Raises:
        TrainingError: a batch is larger than the set.
    """
    counts = [len(part) for part in examples.parts]
    return Plan.of(counts, recipe.batch_size, recipe.epochs, seed, [share.weight for share in examples.shares])


def make_optimizer(method: Method, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over the method's parameter groups."""
    groups = [{"lr": recipe.learning_rate * group["rate"], **group} for group in method.parameter_groups()]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    else:
        kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.eps, fused=True)
    k = getattr(recipe, "lookahead_k", None)  # a setting of recipes whose paper has it
    return Lookahead(optimizer, k, recipe.lookahead_alpha) if k else optimizer  # type: ignore[attr-defined]


def _better(new: float, old: float, metric: str) -> bool:
    return new > old if metric == "val_auroc" else new < old


def _refuse_uneven(batch_size: int, world: int) -> None:
    if batch_size % world:
        near = max(1, round(batch_size / world)) * world
        raise TrainingError(
            f"batch_size={batch_size} does not divide by {world} processes. Give --set batch_size={near}: it is over all."
        )


def _refuse_not_finite(folder: Path, step: int, loss: float, image_ids: list[str]) -> None:
    (folder / "not_finite.json").write_text(
        json.dumps({"step": step, "loss": str(loss), "image_ids": image_ids}, indent=2)
    )
    shown = ", ".join(image_ids[:4]) + (f", ... ({len(image_ids)} in all)" if len(image_ids) > 4 else "")
    raise TrainingError(
        f"step {step}: the loss is {loss}. The batch's images: {shown}; all are in {folder / 'not_finite.json'}. "
        "Look at them (hilum check), or lower learning_rate, or set clip_norm=1; the last saved state is untouched."
    )
