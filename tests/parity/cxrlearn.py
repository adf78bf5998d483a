"""The founding study's adaptation protocol: probe, gradient training, one-hot labels, bootstrap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from hilum.tasks.fitting import fit_probe
from hilum.tasks.ranking import aurocs, one_against_rest, weighted_mean
from tests.parity import Check, golden

# Of the unconverged case the arrays called exact are scikit-learn's lbfgs, which stops 7e-6 from Newton's method and from us.
EXACT = {"binC1": 2e-5}


def checks() -> Iterator[Check]:
    saved = golden("cxrlearn_protocol")
    yield from _probe(saved)


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
