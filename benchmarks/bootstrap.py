"""How much faster the vectorised bootstrap is than a scikit-learn loop over the same resamples, and that both agree.

    python benchmarks/bootstrap.py

Both sides draw the same resamples, from the same seeds, and both pay for drawing them. The loop is run in full for 500
images; for 10,000 images it is run for `--loop-replicates` of the 1000 replicates and its time scaled up, which is fair
because every replicate costs the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from hilum.evaluation import Resampler, Series, bootstrap

FINDINGS = 14
LOOPS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "auroc": roc_auc_score,
    "average_precision": average_precision_score,
}


def make_sample(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth (n, 14) with prevalences from 5 to 40 %, and float scores (n, 14) in [0, 1]."""
    generator = np.random.default_rng(seed)
    truth = generator.random((n, FINDINGS)) < np.linspace(0.05, 0.4, FINDINGS)
    return truth, 1 / (1 + np.exp(-generator.normal(1.2 * truth - 0.6, 1.0)))


def run_loop(truth: np.ndarray, scores: np.ndarray, metrics: list[str], replicates: int) -> tuple[np.ndarray, float]:
    """The obvious loop: (replicates, 14, metrics) values and its seconds."""
    start = time.perf_counter()
    values = np.empty((replicates, FINDINGS, len(metrics)))
    for replicate in range(replicates):
        drawn = np.random.RandomState(replicate).randint(0, len(truth), len(truth))
        y, s = truth[drawn], scores[drawn]
        for finding in range(FINDINGS):
            values[replicate, finding] = [LOOPS[metric](y[:, finding], s[:, finding]) for metric in metrics]
    return values, time.perf_counter() - start


def run_vectorised(
    truth: np.ndarray, scores: np.ndarray, metrics: list[str], replicates: int
) -> tuple[np.ndarray, float]:
    """Ours: the same values and its seconds, sorting and drawing included."""
    start = time.perf_counter()
    series = {finding: Series(truth[:, finding], scores[:, finding], metrics=metrics) for finding in range(FINDINGS)}
    measured = bootstrap(series, Resampler(len(truth), replicates))
    seconds = time.perf_counter() - start
    values = [[measured[finding][metric] for metric in metrics] for finding in range(FINDINGS)]
    return np.array(values).transpose(2, 0, 1), seconds


def main() -> None:
    """Print a line for each size and set of metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--loop-replicates", type=int, default=100, help="of the loop, for the larger sample")
    parser.add_argument("--repeats", type=int, default=5, help="of the vectorised run; the median is shown")
    options = parser.parse_args()
    for n, bar in ((500, 100), (10_000, 25)):
        truth, scores = make_sample(n)
        for metrics in (["auroc"], ["auroc", "average_precision"]):
            looped = options.replicates if n <= 500 else min(options.loop_replicates, options.replicates)
            expected, loop_s = run_loop(truth, scores, metrics, looped)
            loop_s *= options.replicates / looped
            runs = [run_vectorised(truth, scores, metrics, options.replicates) for _ in range(options.repeats)]
            ours_s = float(np.median([seconds for _, seconds in runs]))
            difference = float(np.abs(runs[0][0][:looped] - expected).max())
            scaled = "" if looped == options.replicates else f" (scaled from {looped} replicates)"
            print(
                f"{options.replicates} x {FINDINGS} findings x {n} images, {' + '.join(metrics)}: "
                f"loop {loop_s:.2f} s{scaled}, ours {ours_s:.4f} s, {loop_s / ours_s:.0f}x (bar {bar}x), "
                f"largest difference {difference:.1e}"
            )


if __name__ == "__main__":
    main()
