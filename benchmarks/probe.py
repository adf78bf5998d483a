"""How much faster all findings and strengths of a probe are solved together than one after another, with the same AUROC.

    python benchmarks/probe.py [--images 10000] [--features 2048] [--findings 14]

Both sides get the same float32 features, the same grid of eight C, and choose C on the same validation images. scikit-learn's
LogisticRegression is run with its defaults (lbfgs, tol 1e-4) but for `max_iter`, which is raised so that it converges. The
features are made as a network's are: non-negative, skewed, most of their variance along few directions.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from hilum.tasks.fitting import fit_probe
from hilum.tasks.ranking import aurocs


def make_sample(
    images: int, width: int, findings: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features and truth of training images, and of a quarter as many others."""
    rng = np.random.default_rng(seed)
    count = images + images // 4
    hidden = min(256, width)
    causes = rng.normal(size=(count, hidden)) * np.exp(-np.linspace(0, 4, hidden))
    mixed = causes @ rng.normal(size=(hidden, width)) + 0.3 * rng.normal(size=(count, width))
    x = np.maximum(0, mixed + rng.normal(size=width)).astype(np.float32)
    logits = causes @ rng.normal(size=(hidden, findings))
    logits = 1.5 * logits / logits.std(0) + rng.logistic(size=logits.shape)
    prevalences = np.linspace(0.02, 0.4, findings)
    edges = [np.quantile(column, 1 - share) for column, share in zip(logits.T, prevalences, strict=True)]
    truth = (logits > np.array(edges)).astype(float)
    return x[:images], truth[:images], x[images:], truth[images:]


def one_by_one(
    x: np.ndarray, truth: np.ndarray, held: np.ndarray, known: np.ndarray, grid: np.ndarray, findings: int
) -> tuple[np.ndarray, float, int]:
    """scikit-learn: (S, findings) validation AUROCs, seconds, and fits that did not converge."""
    tried, late, started = np.zeros((len(grid), findings)), 0, time.perf_counter()
    for finding in range(findings):
        for place, strength in enumerate(grid):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", ConvergenceWarning)
                fitted = LogisticRegression(C=strength, max_iter=1000).fit(x, truth[:, finding])
            late += bool(said)
            tried[place, finding] = aurocs(known[:, [finding]], fitted.decision_function(held)[:, None])[0]
    return tried, time.perf_counter() - started, late


def main() -> None:
    """Print one line for each side, and how they compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--findings", type=int, default=14)
    parser.add_argument("--sklearn-findings", type=int, help="of scikit-learn; its time is scaled up")
    options = parser.parse_args()
    x, truth, held, known = make_sample(options.images, options.features, options.findings)
    started, cpu = time.perf_counter(), time.process_time()
    fit = fit_probe(x, truth, validation=(held, known))
    ours_s, ours_cpu = time.perf_counter() - started, time.process_time() - cpu
    print(f"together: {ours_s:.1f} s ({ours_cpu:.1f} s of processor)")
    few = options.sklearn_findings or options.findings
    cpu = time.process_time()
    tried, theirs_s, late = one_by_one(x, truth, held, known, fit.grid, few)
    theirs_s, theirs_cpu = (options.findings / few * seconds for seconds in (theirs_s, time.process_time() - cpu))
    print(f"one after another: {theirs_s:.1f} s ({theirs_cpu:.1f} s of processor), {late} fits not converged")
    at_choice = np.abs(fit.validation_auroc[:few] - tried.max(0)).max()
    print(f"{theirs_s / ours_s:.1f}x; largest difference of AUROC at the chosen C: {at_choice:.1e}")
    print("largest difference at each C, rising:", np.abs(fit.tried[:, :few] - tried).max(1).round(5).tolist())


if __name__ == "__main__":
    main()
