"""The training loop of one stage: exact resumption, early stopping, a rate that warms up."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hilum.errors import TrainingError
from hilum.reports.neural.balance import effective_weights, sampling_weights
from hilum.reports.neural.batches import plan_epoch
from hilum.reports.neural.labeler import pad_batch
from hilum.reports.neural.network import CheXbert, classes_of, labeler_loss

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Examples:
    """Reports as token ids, and their (N, findings) class codes; -100 is left out of the loss."""

    ids: Sequence[tuple[int, ...]]
    codes: np.ndarray


class ExampleSource(Protocol):
    """Where a stage's reports come from; an epoch must be the same whenever it is asked for."""

    def epoch(self, number: int) -> Examples:
        """The reports of one pass."""
        ...


@dataclass(frozen=True)
class StageSettings:
    """What the loop needs of a recipe."""

    name: str
    number: int
    epochs: int
    learning_rate: float
    batch_size: int
    optimizer: str
    weight_decay: float
    warmup_share: float
    decay: bool
    clip_norm: float
    balance: str
    freeze_embeddings: bool
    evaluate_steps: int
    patience: int
    checkpoint_steps: int
    seed: int


@dataclass
class _State:
    step: int = 0
    best: float = float("-inf")
    best_step: int = 0
    looks_since_best: int = 0
    losses: list[float] = field(default_factory=list)  # mean loss of each epoch
    loss_sum: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    network: CheXbert,
    source: ExampleSource,
    settings: StageSettings,
    *,
    pad: int,
    score: Callable[[CheXbert], dict[str, float]] | None,
    select_by: str,
    checkpoint: Path | None = None,
    identity: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a network in place, and leave it with the weights that were best on the held-out reports.

    Args:
        network: trained in place, on the device where it is.
        source: the reports of each epoch.
        settings: of this stage.
        pad: token id of padding.
        score: the held-out metrics of a network; None: no early stopping, the last weights are kept.
        select_by: which of them decides.
        checkpoint: where the state is kept; a state found there is resumed, bit for bit.
        identity: what the state belongs to (recipe and data); another one's state is refused.
        progress: called with stage, step, steps and numbers to show.

    Returns:
        The history: steps, losses, held-out metrics, the best step.
    """
    device = network.device
    if settings.freeze_embeddings:
        for parameter in network.encoder.get_submodule("embeddings").parameters():
            parameter.requires_grad_(False)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = _optimizer(trained, settings)
    state, best = _State(), dict[str, Tensor]()
    if checkpoint is not None and checkpoint.is_file():
        state, best = _resume(checkpoint, identity, network, trained, optimizer)
        log.info("%s: going on after step %d", settings.name, state.step)
    examples, plan, weights, epoch_at_hand = None, [], None, -1
    first = source.epoch(0)
    per_epoch = -(-len(first.ids) // settings.batch_size)
    steps = per_epoch * settings.epochs
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        while state.step < steps:
            epoch, place = divmod(state.step, per_epoch)
            if epoch != epoch_at_hand:
                examples = first if epoch == 0 else source.epoch(epoch)
                draw = sampling_weights(examples.codes) if settings.balance == "sampling" else None
                lengths = [len(ids) for ids in examples.ids]
                plan = plan_epoch(lengths, settings.batch_size, (settings.seed, settings.number, epoch), draw)
                weights = _head_weights(network, examples.codes, device) if settings.balance == "effective" else None
                epoch_at_hand = epoch
            assert examples is not None
            rows = plan[place]
            ids, mask = pad_batch([examples.ids[row] for row in rows], pad)
            truth = torch.from_numpy(examples.codes[rows].astype(np.int64))
            # Dropout depends on seed and step alone: nothing of the generator has to be saved.
            torch.manual_seed(_seed_of(settings.seed, settings.number, state.step))
            network.train()
            loss = labeler_loss(network(ids.to(device), mask.to(device)), truth.to(device), weights)
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"{settings.name}, step {state.step}: the loss is {loss.item()}. Lower the learning rate "
                    f"({settings.learning_rate:g}), or set clip_norm=1."
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if settings.clip_norm:
                nn.utils.clip_grad_norm_(trained, settings.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_share(state.step, steps, settings)
            optimizer.step()
            state.step += 1
            state.loss_sum += loss.item()
            if state.step % per_epoch == 0:
                state.losses.append(state.loss_sum / per_epoch)
                state.loss_sum = 0.0
            shown = {"loss": loss.item()}
            if score is not None and (state.step % settings.evaluate_steps == 0 or state.step == steps):
                found = score(network)
                state.history.append({"step": state.step, **found})
                shown |= found
                if found[select_by] > state.best:
                    state.best, state.best_step, state.looks_since_best = found[select_by], state.step, 0
                    best = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
                else:
                    state.looks_since_best += 1
            if progress is not None:
                progress(settings.name, state.step, steps, shown)
            if checkpoint is not None and state.step % settings.checkpoint_steps == 0:
                _save(checkpoint, identity, network, trained, optimizer, state, best)
            if state.looks_since_best >= settings.patience:
                log.info("%s: stopped at step %d; best was step %d", settings.name, state.step, state.best_step)
                break
    if best:
        network.load_state_dict(best)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    network.eval()
    return {
        "steps": state.step,
        "of": steps,
        "best_step": state.best_step if best else state.step,
        "losses": state.losses,
        "held_out": state.history,
    }


def rate_share(step: int, steps: int, settings: StageSettings) -> float:
    """The share of the full rate at a step: rises over the warm-up, then stays, or falls to 0 at the end."""
    warmup = int(settings.warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    return (steps - step) / max(1, steps - warmup) if settings.decay else 1.0


def _seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _optimizer(trained: Sequence[nn.Parameter], settings: StageSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adam":
        return torch.optim.Adam(trained, lr=settings.learning_rate)
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    plain = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _head_weights(network: CheXbert, codes: np.ndarray, device: torch.device) -> list[Tensor]:
    return [
        torch.tensor(effective_weights(codes[:, i], classes_of(finding)), dtype=torch.float32, device=device)
        for i, finding in enumerate(network.findings)
    ]


def _save(
    path: Path,
    identity: str,
    network: CheXbert,
    trained: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    state: _State,
    best: dict[str, Tensor],
) -> None:
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for number, parameter in enumerate(trained):
        for name, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{number}.{name}"] = torch.as_tensor(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, str(part), metadata={"identity": identity, "state": json.dumps(vars(state))})
    os.replace(part, path)


def _resume(
    path: Path,
    identity: str,
    network: CheXbert,
    trained: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> tuple[_State, dict[str, Tensor]]:
    with safe_open(str(path), framework="pt") as file:
        about = file.metadata()
        if about["identity"] != identity:
            raise TrainingError(
                f"{path} holds the state of a training with another recipe or other data. "
                f"Give another output folder, or delete that file to start again."
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        parts[kind][rest] = tensor
    network.load_state_dict(parts["network"])
    for name, tensor in parts["optimizer"].items():
        number, _, what = name.partition(".")
        parameter = trained[int(number)]
        optimizer.state[parameter][what] = tensor if what == "step" else tensor.to(parameter.device)
    return _State(**json.loads(about["state"])), parts["best"]
