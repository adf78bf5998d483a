"""Resamples that every finding, model and reader shares, and what intervals and p-values are read from them.

Replicate i of seed s draws ``numpy.random.RandomState(s + i).randint(0, N, N)``: with s = 0 the resamples of CheXzero's
evaluation (Tiu et al. 2022), so its published intervals can be computed again to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hilum.errors import UsageError
from hilum.evaluation.series import Series

K = TypeVar("K", bound=Hashable)
Progress = Callable[[int, int], None]

CHUNK_BYTES = 4_000_000  # of counts at a time: memory stays flat however many replicates, and near the processor
LEAST_DEFINED = 0.5  # share of replicates in which a metric must be defined for an interval to be given
INTERVAL_RULES = ("linear", "chexzero")


@dataclass(frozen=True, eq=False)
class Resampler:
    """Draws N of N images with replacement, or N of N patients with all their images.

    Attributes:
        n_images: N, images in the sample.
        replicates: how many resamples.
        seed: replicate i is drawn from seed + i.
        patient_of: (n_images,) whole numbers from 0, each image's patient; None draws images.

    Example:
        >>> next(Resampler(3, replicates=2).counts()).T.tolist()    # images drawn 0, 1, 0 and then 1, 0, 0
        [[2, 1, 0], [2, 1, 0]]
    """

    n_images: int
    replicates: int = 1000
    seed: int = 0
    patient_of: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.replicates < 1 or self.seed < 0 or self.seed + self.replicates > 2**32:
            raise UsageError(
                f"replicates is {self.replicates} and seed is {self.seed}; expected at least 1 replicate "
                "and a seed that is not negative and below 2**32."
            )

    @property
    def n_units(self) -> int:
        """What is drawn: images, or patients."""
        return self.n_images if self.patient_of is None else int(self.patient_of.max(initial=-1)) + 1

    def indices(self, replicate: int) -> np.ndarray:
        """(n_units,) the units of one replicate, as drawn."""
        return np.random.RandomState(self.seed + replicate).randint(0, self.n_units, self.n_units)

    def counts(self) -> Iterator[np.ndarray]:
        """All replicates in turn, as (n_images, R_chunk) counts of how often each image was drawn."""
        largest = 1 if self.patient_of is None else int(np.bincount(self.patient_of).max())
        kind = np.int16 if self.n_units * largest < 2**15 else np.int32 if self.n_units * largest < 2**31 else np.int64
        chunk = max(16, CHUNK_BYTES // (max(self.n_images, 1) * np.dtype(kind).itemsize))
        generator = np.random.RandomState()
        for start in range(0, self.replicates, chunk):
            drawn = np.empty((min(chunk, self.replicates - start), self.n_units), kind)
            for place in range(len(drawn)):
                generator.seed(self.seed + start + place)  # the same stream as a new RandomState, and 10 times faster
                units = generator.randint(0, self.n_units, self.n_units)
                drawn[place] = np.bincount(units, minlength=self.n_units)
            by_unit = np.ascontiguousarray(drawn.T)
            yield by_unit if self.patient_of is None else by_unit[self.patient_of]


def bootstrap(
    series: Mapping[K, Series], resampler: Resampler, progress: Progress | None = None
) -> dict[K, dict[str, np.ndarray]]:
    """Measure every series under the same resamples.

    Args:
        series: any number of them, all over the resampler's images.
        resampler: what is drawn.
        progress: called with the replicates done and their total, now and then.

    Returns:
        For each key and metric the (replicates,) values, NaN where a replicate leaves the metric undefined.

    Example:
        >>> series = {"a": Series(np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8]), metrics=("auroc",))}
        >>> bootstrap(series, Resampler(4, replicates=5))["a"]["auroc"].shape
        (5,)
    """
    values: dict[K, dict[str, np.ndarray]] = {
        key: {metric: np.empty(resampler.replicates) for metric in one.metrics} for key, one in series.items()
    }
    done = 0
    for counts in resampler.counts():
        here = slice(done, done + counts.shape[1])
        for key, one in series.items():
            for metric, measured in one.measure(counts).items():
                values[key][metric][here] = measured
        done = here.stop
        if progress:
            progress(done, resampler.replicates)
    return values


@dataclass(frozen=True)
class Interval:
    """A percentile interval: its ends, the mean over the replicates, and how many replicates left it undefined."""

    low: float | None
    high: float | None
    mean: float | None
    undefined: int


def interval(values: np.ndarray, level: float = 0.95, rule: str = "linear") -> Interval:
    """The percentile interval of bootstrap values (Efron & Tibshirani 1993, chapter 13).

    Args:
        values: (R,) one for each replicate; NaN where undefined.
        level: share of the replicates inside, in (0, 1).
        rule: "linear": NumPy's percentiles of the defined replicates; no interval when fewer than half are.
            "chexzero": elements int(a * R) - 1 and int((1 - a) * R) - 1 of the sorted values, a = (1 - level) / 2, NaN
            last, as in CheXzero's evaluation code.

    Example:
        >>> interval(np.arange(101.0)).low, interval(np.arange(101.0)).high
        (2.5, 97.5)
    """
    require_level(level)
    if rule not in INTERVAL_RULES:
        raise UsageError(f"rule is {rule!r}; expected one of {', '.join(INTERVAL_RULES)}.")
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    alpha = round((1 - level) / 2, 12)  # 1 - 0.95 is 0.05000000000000004
    if rule == "chexzero":
        ordered = np.sort(values)
        low, high = (ordered[max(int(share * len(values)) - 1, 0)] for share in (alpha, 1 - alpha))
        return Interval(float(low), float(high), float(values.mean()), undefined)
    if len(defined) == 0 or len(defined) < LEAST_DEFINED * len(values):
        return Interval(None, None, None, undefined)
    low, high = np.percentile(defined, [100 * alpha, 100 * (1 - alpha)])
    return Interval(float(low), float(high), float(defined.mean()), undefined)


def require_level(level: float) -> None:
    """Refuse a level that is no share.

    Raises:
        UsageError: it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise UsageError(f"level is {level}; expected a share between 0 and 1, such as 0.95.")


def two_sided_p(differences: np.ndarray) -> float | None:
    """The bootstrap p-value of "no difference": twice the smaller tail around 0, one added to tail and replicates.

    Args:
        differences: (R,) paired differences of the replicates; NaN is left out.

    Returns:
        In [2 / (R + 1), 1]; None when fewer than half of the replicates are defined.

    Example:
        >>> two_sided_p(np.full(999, 0.1))
        0.002
    """
    defined = differences[~np.isnan(differences)]
    if len(defined) == 0 or len(defined) < LEAST_DEFINED * len(differences):
        return None
    tail = min((defined <= 0).sum(), (defined >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(defined) + 1)))
