"""The founding study's adaptation protocol: probe, gradient training, one-hot labels, bootstrap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from hilum.evaluation import Series, interval
from hilum.tasks.finetune_recipe import Finetune
from hilum.tasks.fitting import fit_probe
from hilum.tasks.gradient import Pass, train_network
from hilum.tasks.headed import label_loss, selection_auroc
from hilum.tasks.layers import make_optimizer
from hilum.tasks.ranking import aurocs, one_against_rest, one_hot, weighted_mean
from tests.parity import Check, golden

# Of the unconverged case the arrays called exact are scikit-learn's lbfgs, which stops 7e-6 from Newton's method and from us.
EXACT = {"binC1": 2e-5}


def checks() -> Iterator[Check]:
    saved = golden("cxrlearn_protocol")
    yield from _probe(saved)
    yield from _gradient(saved)
    yield from _one_hot(saved)
    yield from _bootstrap(saved)


def _probe(saved: Mapping[str, np.ndarray]) -> Iterator[Check]:
    for tag in sorted({key.split("_")[0] for key in saved if key.endswith("_C_maxiter")}):
        train, test = saved[f"{tag}_train_x"], saved[f"{tag}_test_x"]
        truth, test_truth = saved[f"{tag}_train_y"], saved[f"{tag}_test_y"]
        strength, most = saved[f"{tag}_C_maxiter"]
        is_classes = f"{tag}_auc_weighted_ovr" in saved
        task, target = ("multi-class", truth.argmax(1)) if is_classes else ("multi-label", truth)
        solved = fit_probe(train, target, task=task, strength=float(strength)).head.scores(test)
        yield Check(
            "cxrlearn", f"{tag}: exact probabilities", solved, saved[f"{tag}_proba_exact"], EXACT.get(tag, 1e-6)
        )
        fit = fit_probe(train, target, task=task, protocol="cxrlearn", strength=float(strength), most_steps=int(most))
        scores = fit.head.scores(test)
        yield Check("cxrlearn", f"{tag}: probabilities of the protocol", scores, saved[f"{tag}_proba"], 1e-4)
        coefficients = saved[f"{tag}_coef"].reshape(fit.head.weights.shape)
        yield Check("cxrlearn", f"{tag}: weights of the protocol", fit.head.weights, coefficients, 1e-4)
        if is_classes:
            columns = one_against_rest(test_truth.argmax(1), test_truth.shape[1])
            found = aurocs(columns, scores)
            weighted = weighted_mean(found, columns.sum(0))
            yield Check("cxrlearn", f"{tag}: AUROC by class", found, saved[f"{tag}_auc_per_class"], 1e-4)
            yield Check("cxrlearn", f"{tag}: weighted AUROC", weighted, saved[f"{tag}_auc_weighted_ovr"], 1e-4)
            yield Check("cxrlearn", f"{tag}: mean AUROC", found.mean(), saved[f"{tag}_auc_macro_ovr"], 1e-4)
        else:
            found = aurocs(test_truth.astype(float), scores)
            yield Check("cxrlearn", f"{tag}: AUROC", found, saved[f"{tag}_auc"], 1e-4)
            yield Check("cxrlearn", f"{tag}: mean AUROC", found.mean(), saved[f"{tag}_auc_mean"], 1e-4)


class _Rows:
    """The arrays of a finetuning run: the first rows train, in order; the rest validate."""

    def __init__(self, x: np.ndarray, y: np.ndarray, n_train: int, is_classes: bool) -> None:
        self.x, self.y, self.count = torch.from_numpy(x), torch.from_numpy(y).float(), n_train
        self.is_classes = is_classes

    def loss(self, network: nn.Module, picks: np.ndarray, draws: torch.Generator) -> Tensor:
        truth = self.y[picks].argmax(1).float() if self.is_classes else self.y[picks]
        return label_loss(network(self.x[picks]), truth)

    def measure(self, network: nn.Module) -> float:
        truth = self.y[self.count :].argmax(1) if self.is_classes else self.y[self.count :]
        task = "multi-class" if self.is_classes else "multi-label"
        return selection_auroc(network(self.x[self.count :]).numpy(), truth.double().numpy(), task, "weighted")

    def names(self, picks: np.ndarray) -> list[str]:
        return [str(pick) for pick in picks]


def _gradient(saved: Mapping[str, np.ndarray]) -> Iterator[Check]:
    for tag in sorted({key.split("_")[0] for key in saved if key.endswith("_bs_epochs_lr")}):
        start = {key.removeprefix(f"{tag}_init_"): saved[key] for key in saved if key.startswith(f"{tag}_init_")}
        hidden, width = start["0.weight"].shape
        network = nn.Sequential(
            nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, len(start["3.bias"]))
        )
        network.load_state_dict({name: torch.as_tensor(value) for name, value in start.items()}, strict=True)
        batch, epochs, rate = saved[f"{tag}_bs_epochs_lr"]
        recipe = Finetune(batch_size=int(batch), epochs=float(epochs), learning_rate=float(rate), schedule="constant")
        y = saved[f"{tag}_y"]
        # The tags name the task: the sums of one-hot rows are one, but so might be those of findings.
        rows = _Rows(saved[f"{tag}_x"], y, int(saved[f"{tag}_n_train"]), tag.startswith("ftmulti"))
        last: dict[str, Tensor] = {}

        def note(done: Pass, network: nn.Module = network, last: dict[str, Tensor] = last) -> None:
            last.update({name: value.clone() for name, value in network.state_dict().items()})

        optimizer = make_optimizer(recipe, {}, dict(network.named_parameters()))
        outcome = train_network(network, optimizer, rows, recipe, shuffle=False, on_pass=note)
        yield Check("cxrlearn", f"{tag}: validation AUROC by pass", outcome.history, saved[f"{tag}_val_auc"], 1e-4)
        yield Check("cxrlearn", f"{tag}: best pass", outcome.best_epoch, saved[f"{tag}_best_epoch_1based"], 0)
        for which, weights in (("final", last), ("best", network.state_dict())):
            for name in start:
                theirs = saved[f"{tag}_{which}_{name}"]
                yield Check("cxrlearn", f"{tag}: {which} {name}", weights[name], theirs, 1e-4)


def _one_hot(saved: Mapping[str, np.ndarray]) -> Iterator[Check]:
    for tag in sorted({key.removesuffix("_vals") for key in saved if key.startswith("oh_") and key.endswith("_vals")}):
        found = one_hot(saved[f"{tag}_vals"].tolist(), order="cxrlearn")
        yield Check("cxrlearn", f"{tag}: one-hot columns", found, saved[f"{tag}_onehot"], 0)


def _bootstrap(saved: Mapping[str, np.ndarray]) -> Iterator[Check]:
    truth, drawn = saved["boot_y"], saved["boot_idx"].astype(np.int64)  # (N, C), (R, N)
    counts = np.stack([np.bincount(row, minlength=len(truth)) for row in drawn], axis=1).astype(np.int32)  # (N, R)
    series = [
        [Series(truth[:, c], saved[f"boot_p{m}"][:, c], metrics=("auroc",)) for c in range(truth.shape[1])]
        for m in (1, 2)
    ]
    points = [[one.point()["auroc"] for one in of_model] for of_model in series]
    values = np.array([[one.measure(counts)["auroc"] for one in of_model] for of_model in series])  # (2, C, R)
    yield Check("cxrlearn", "bootstrap: AUROC", points, saved["boot_point_auc"], 1e-9)
    yield Check("cxrlearn", "bootstrap: AUROC of each resample", values.transpose(2, 0, 1), saved["boot_auc"], 1e-9)
    of_first, differences = values[0], values[0] - values[1]  # (C, R)

    def percentiles(rows: np.ndarray) -> np.ndarray:
        return np.array([(found.low, found.high) for found in (interval(row) for row in rows)]).T

    yield Check("cxrlearn", "bootstrap: interval", percentiles(of_first), saved["boot_pct_ci_p1"], 1e-9)
    yield Check(
        "cxrlearn", "bootstrap: interval of differences", percentiles(differences), saved["boot_pct_ci_diff"], 1e-9
    )
    macro = percentiles(differences.mean(0, keepdims=True))[:, 0]
    yield Check("cxrlearn", "bootstrap: interval of the mean difference", macro, saved["boot_pct_ci_macro_diff"], 1e-9)
    for name, rows in (("p1", of_first), ("diff", differences)):
        found = [interval(row, rule="chexzero") for row in rows]
        ours = np.round([(one.low, one.mean, one.high) for one in found], 3)
        theirs = saved[f"boot_moco_ci_{name}"]
        yield Check(
            "cxrlearn", f"bootstrap: interval of MoCo-CXR's code, {name}", ours, theirs.reshape(ours.shape), 1e-9
        )
