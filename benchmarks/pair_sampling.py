"""How many MedAug pairs a second are drawn from 200,000 images, against a scan of the table for each image.

    python benchmarks/pair_sampling.py

Both sides draw partners for the same images under the same policy, in the same run; the scan for `--scanned` images only, as
each costs the same. The scan is given whole numbers for ids, so that it compares no strings. Every partner that ours draws for
these images is checked to be of the scan's set.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from hilum.methods.patient_pairs import FRONTAL, LATERAL, PatientPairs, Policy

POLICIES = {
    "same patient": Policy(),
    "same study": Policy(same_study=True),
    "another study": Policy(different_study=True),
    "same study, other laterality": Policy(same_study=True, different_laterality=True),
    "another study, same laterality": Policy(different_study=True, same_laterality=True),
}
BAR = 100_000  # pairs a second


def make_table(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients, studies and lateralities as skewed as an archive's: most patients have few images, some very many."""
    rng = np.random.default_rng(seed)
    patient = (rng.pareto(1.2, images) * images / 40).astype(np.int64) % (images // 3)
    study = np.char.add(np.char.add(patient.astype(str), "/"), rng.integers(0, 6, images).astype(str))
    return np.char.add("patient", patient.astype(str)), study, np.where(rng.random(images) < 0.3, LATERAL, FRONTAL)


def scan(table: tuple[np.ndarray, np.ndarray, np.ndarray], policy: Policy, image: int) -> np.ndarray:  # the obvious way
    """All candidates of an image, from a look at every row."""
    patient, study, laterality = table
    passes = patient == patient[image]
    if policy.same_study:
        passes &= study == study[image]
    if policy.different_study:
        passes &= study != study[image]
    if policy.same_laterality:
        passes &= laterality == laterality[image]
    if policy.different_laterality:
        passes &= laterality != laterality[image]
    return np.flatnonzero(passes)


def main() -> None:
    """Print a line for each policy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=256, help="pairs drawn at once")
    parser.add_argument("--pairs", type=int, default=200_000, help="drawn by ours")
    parser.add_argument("--scanned", type=int, default=200, help="images that the scan is timed on")
    parser.add_argument("--repeats", type=int, default=5, help="of ours; the median is shown")
    options = parser.parse_args()
    table = make_table(options.images)
    coded = (*(np.unique(ids, return_inverse=True)[1] for ids in table[:2]), table[2])
    rng = np.random.default_rng(1)
    picks = rng.integers(0, options.images, (options.pairs // options.batch, options.batch))
    for name, policy in POLICIES.items():
        start = time.perf_counter()
        pairs = PatientPairs(*table, policy)
        build_s = time.perf_counter() - start

        scanned = picks.reshape(-1)[: options.scanned]
        start = time.perf_counter()
        sets = [scan(coded, policy, image) for image in scanned]
        chosen = [candidates[rng.integers(len(candidates))] for candidates in sets if len(candidates)]
        scan_per_s = options.scanned / (time.perf_counter() - start)
        for image, partner, candidates in zip(scanned, pairs.partners(scanned, rng), sets, strict=True):
            assert partner in candidates or (not len(candidates) and partner == image)
        assert len(chosen) == int((pairs.counts[scanned] > 0).sum())

        rates = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            for batch in picks:
                pairs.partners(batch, rng)
            rates.append(picks.size / (time.perf_counter() - start))
        ours = float(np.median(rates))
        print(
            f"{options.images:,} images, {name}: {ours:,.0f} pairs/s in batches of {options.batch} (bar {BAR:,}), "
            f"scan {scan_per_s:,.0f} pairs/s, {ours / scan_per_s:,.0f}x; built once in {build_s:.2f} s"
        )


if __name__ == "__main__":
    main()
