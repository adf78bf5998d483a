"""The loop that trains a network on labels: whole passes, the best by validation AUROC, exact resume."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hilum.errors import TrainingError
from hilum.methods.schedule import Place
from hilum.tasks.finetune_recipe import Finetune
from hilum.training.checkpoints import BEST, LAST, load_state, save_state
from hilum.training.plan import step_rng


@dataclass(frozen=True)
class Pass:
    """What was measured after a pass over the training images."""

    epoch: int
    epochs: int
    loss: float
    val_auroc: float
    is_best: bool
    seconds_left: float


class Task(Protocol):
    """Examples to learn from and a way to measure."""

    count: int

    def loss(self, network: nn.Module, picks: np.ndarray, draws: torch.Generator) -> Tensor:
        """The loss of a batch of training examples."""
        ...

    def measure(self, network: nn.Module) -> float:
        """Validation AUROC of the network, which is in evaluation mode; NaN where it is undefined."""
        ...

    def names(self, picks: np.ndarray) -> list[str]:
        """What the examples are called."""
        ...


@dataclass
class Outcome:
    """What training ended with: the validation AUROC after each pass, and the best pass (from 1)."""

    history: list[float] = field(default_factory=list)
    best_epoch: int | None = None

    @property
    def best_auroc(self) -> float | None:
        """At the best pass; None where no pass could be measured."""
        return None if self.best_epoch is None else self.history[self.best_epoch - 1]


def train_network(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    recipe: Finetune,
    *,
    seed: int = 0,
    shuffle: bool = True,
    folder: Path | None = None,
    save_every: int = 200,
    on_pass: Callable[[Pass], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Train to the last pass, from wherever `folder` says it was stopped; the network ends with the best pass's weights.

    What a step does depends on the seed and the step's number alone, and the state saved holds all that came before: a run
    that was stopped and started again ends with the same weights. Where validation is undefined the last pass is kept.

    Args:
        network: trained in place.
        optimizer: over its parameters; groups may carry a `share` of the rate.
        task: the examples.
        recipe: epochs, batch size, schedule, EMA, clipping.
        seed: of the order and of random draws.
        shuffle: False takes the examples in order, as the arrays of the original code were made.
        folder: where the state is kept; None keeps none.
        save_every: steps between states.
        on_pass: called after each pass.
        on_step: called with (step, steps) after each step.

    Raises:
        TrainingError: a loss is not finite; the batch's examples are named.
    """
    starts = _batch_starts(task.count, recipe.batch_size)
    epochs = max(1, round(recipe.epochs))
    steps = epochs * len(starts)
    outcome, mean, done = Outcome(), _Mean(network, recipe.ema), 0
    state = load_state(folder / LAST) if folder is not None else None
    kept: dict[str, Tensor] | None = None
    if state is not None:
        network.load_state_dict(state["network"], strict=True)
        optimizer.load_state_dict(state["optimizer"])
        mean.load(state["mean"])
        done, outcome = state["step"], Outcome(state["history"], state["best_epoch"])
        best = load_state(folder / BEST) if folder is not None else None
        kept = best["network"] if best is not None else None

    def save(step: int) -> None:
        if folder is not None:
            parts: dict[str, Any] = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            parts |= {"mean": mean.state(), "step": step, "history": outcome.history, "best_epoch": outcome.best_epoch}
            save_state(folder / LAST, parts)

    network.train()
    losses, began = [], time.perf_counter()
    for step in range(done, steps):
        epoch, within = divmod(step, len(starts))
        picks = _order(task.count, seed, epoch, shuffle)[starts[within] : starts[within] + recipe.batch_size]
        losses.append(_one_step(network, optimizer, task, recipe, picks, Place(step, steps, len(starts)), seed))
        mean.update()
        if within == len(starts) - 1:
            kept, is_best = _measure(mean.network, task, outcome, kept)
            if is_best and folder is not None:
                save_state(folder / BEST, {"network": kept, "epoch": epoch + 1})
            if on_pass is not None:
                left = (time.perf_counter() - began) / (step + 1 - done) * (steps - step - 1)
                on_pass(Pass(epoch + 1, epochs, float(np.mean(losses)), outcome.history[-1], is_best, left))
            losses = []
        if within == len(starts) - 1 or (step + 1) % save_every == 0:
            save(step + 1)
        if on_step is not None:
            on_step(step + 1, steps)
    network.load_state_dict(kept if kept is not None else mean.network.state_dict(), strict=True)
    network.eval()
    return outcome


def _one_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    recipe: Finetune,
    picks: np.ndarray,
    place: Place,
    seed: int,
) -> float:
    torch.manual_seed(int(step_rng(seed, place.step).integers(2**62)))  # dropout and the like
    draws = torch.Generator().manual_seed(int(step_rng(seed, place.step, 1).integers(2**62)))
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * group.get("share", 1.0) * recipe.rate(place)
    loss = task.loss(network, picks, draws)
    value = float(loss.detach())
    if not np.isfinite(value):
        shown = ", ".join(task.names(picks)[:4])
        raise TrainingError(
            f"step {place.step}: the loss is {value} (images {shown}, ...). Lower learning_rate, now {recipe.learning_rate}, "
            "or set clip_norm=1."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], recipe.clip_norm)
    optimizer.step()
    return value


def _measure(
    network: nn.Module, task: Task, outcome: Outcome, kept: dict[str, Tensor] | None
) -> tuple[dict[str, Tensor] | None, bool]:
    """Note a pass's AUROC; the best weights so far, and whether they are these. Of equals the first is kept."""
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        auroc = task.measure(network)
    network.train(was_training)
    before = outcome.best_auroc
    outcome.history.append(auroc)
    if np.isnan(auroc) or (before is not None and auroc <= before):
        return kept, False
    outcome.best_epoch = len(outcome.history)
    return {name: one.detach().clone() for name, one in network.state_dict().items()}, True


def _batch_starts(count: int, batch_size: int) -> list[int]:
    """Where batches begin; a last one of a single image is left out, for batch normalization cannot use it."""
    starts = list(range(0, count, batch_size))
    return starts[:-1] if len(starts) > 1 and count - starts[-1] == 1 else starts


def _order(count: int, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 7]).permutation(count) if shuffle else np.arange(count)


class _Mean:
    """A running mean of the weights (Polyak & Juditsky 1992), short at the start; the network itself where no EMA is asked."""

    def __init__(self, network: nn.Module, keep: float | None) -> None:
        import copy

        self._live, self._keep, self._seen = network, keep, 0
        self.network = network if keep is None else copy.deepcopy(network)

    @torch.no_grad()
    def update(self) -> None:
        if self._keep is None:
            return
        self._seen += 1
        keep = min(self._keep, self._seen / (self._seen + 9))
        live = self._live.state_dict()
        for name, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(live[name], 1 - keep)
            else:
                mean.copy_(live[name])

    def state(self) -> dict[str, Any] | None:
        return None if self._keep is None else {"network": self.network.state_dict(), "seen": self._seen}

    def load(self, state: dict[str, Any] | None) -> None:
        if state is not None:
            self.network.load_state_dict(state["network"], strict=True)
            self._seen = state["seen"]
