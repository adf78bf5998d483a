"""Every number of one sample: each model, each reader, each pair, on one set of resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hilum.evaluation.joining import Sample
from hilum.evaluation.metrics import CALIBRATION_METRICS, METRICS, THRESHOLD_METRICS, why_undefined
from hilum.evaluation.resampling import Interval, Progress, Resampler, bootstrap, interval, two_sided_p
from hilum.evaluation.results import MACRO, Result
from hilum.evaluation.series import Series

Key = tuple[str, str, str]  # (compared with or "", model or reader, finding)
READER_THRESHOLD = 0.5  # a call is 0 or 1
NOT_CALIBRATED = "score read as a probability; zero-shot scores are not calibrated"
# A bin of a resample holds copies, so its gap is noisier: the interval may even lie above the value.
ECE_LEANS = "resampling inflates it, so the interval leans high"


@dataclass(frozen=True)
class Settings:
    """How the numbers were made."""

    dataset: str
    replicates: int
    level: float
    seed: int
    threshold_rule: str
    by_patient: bool


class Measurement:
    """Measures a sample once, and tells the results row by row."""

    def __init__(
        self,
        sample: Sample,
        settings: Settings,
        thresholds: Mapping[tuple[str, str], float],
        no_threshold: Mapping[tuple[str, str], str],
        progress: Progress | None = None,
    ) -> None:
        self.sample, self.settings = sample, settings
        self.thresholds, self.no_threshold = thresholds, no_threshold
        self.pairs = [*combinations(sample.models, 2), *((m, r) for m in sample.models for r in sample.readers)]
        self.series = self._all_series()
        patient_of = np.unique(sample.patients, return_inverse=True)[1] if sample.patients else None
        self.resampler = Resampler(len(sample.ids), settings.replicates, settings.seed, patient_of)
        self.replicates = bootstrap(self.series, self.resampler, progress)
        self.points = {key: one.point() for key, one in self.series.items()}

    def results(self) -> list[Result]:
        """The rows: models, then readers, then differences; findings in the truth's order, then the macro mean."""
        rows: list[Result] = []
        for name in (*self.sample.models, *self.sample.readers):
            for metric in METRICS:
                rows += self._rows_of(name, metric)
        for first, second in self.pairs:
            for metric in METRICS:
                rows += self._difference_rows(first, second, metric)
        return rows

    def pair(self, first: str, second: str, finding: str) -> tuple[Key, Key]:
        """The keys of two models or readers on the images that both have."""
        return self._key(first, second, finding), self._key(second, first, finding)

    def _all_series(self) -> dict[Key, Series]:
        series: dict[Key, Series] = {}
        for finding in self.sample.findings:
            for name in (*self.sample.models, *self.sample.readers):
                series["", name, finding] = self._one_series(name, finding)
            for first, second in self.pairs:
                here = [self.sample.series_of(name, finding)[2] for name in (first, second)]
                if not np.array_equal(here[0], here[1]):  # a difference is measured on the images that both have
                    for name, other in ((first, second), (second, first)):
                        series[other, name, finding] = self._one_series(name, finding, here[0] & here[1])
        return series

    def _one_series(self, name: str, finding: str, evaluated: np.ndarray | None = None) -> Series:
        truth, values, own = self.sample.series_of(name, finding)
        is_reader = name in self.sample.readers
        threshold = READER_THRESHOLD if is_reader else self.thresholds.get((name, finding))
        metrics = THRESHOLD_METRICS if is_reader else METRICS
        return Series(truth, values, own if evaluated is None else evaluated, threshold, metrics)

    def _key(self, name: str, other: str, finding: str) -> Key:
        return (other, name, finding) if (other, name, finding) in self.series else ("", name, finding)

    def _rows_of(self, name: str, metric: str) -> list[Result]:
        rows, keys = [], {}
        for finding in self.sample.findings:
            key = ("", name, finding)
            one = self.series[key]
            asked = metric in one.metrics or ((name, finding) in self.no_threshold and metric in THRESHOLD_METRICS)
            if not asked:
                continue
            reason = why_undefined(metric, one.n, one.n_positive) or (
                self.no_threshold[name, finding] if metric not in one.metrics else None
            )
            if reason is None:
                keys[finding] = key
                values, point = self.replicates[key][metric], self.points[key][metric]
                notes = [self._threshold_note(name, finding)] if metric in THRESHOLD_METRICS else []
                notes += [NOT_CALIBRATED] if metric in CALIBRATION_METRICS else []
                notes += [ECE_LEANS] if metric == "ece" else []
                rows.append(self._result(name, finding, metric, point, values, one, notes))
            else:
                rows.append(self._missing(name, finding, metric, one, [reason, self._skipped_note(finding)]))
        if rows:
            rows.append(self._macro(name, metric, keys, len(rows)))
        return rows

    def _macro(self, name: str, metric: str, keys: Mapping[str, Key], asked: int) -> Result:
        over = f"mean over {len(keys)} of {asked} findings"
        evaluated = np.zeros(len(self.sample.ids), bool)
        for key in keys.values():
            evaluated[self.series[key].rows] = True
        n = int(evaluated.sum())
        if not keys:
            return self._row(name, MACRO, metric, None, None, n, None, [over])
        point = float(np.mean([self.points[key][metric] for key in keys.values()]))
        # A replicate that leaves one finding undefined has no macro mean: a mean over fewer findings is another number.
        values = np.mean([self.replicates[key][metric] for key in keys.values()], axis=0)
        found = interval(values, self.settings.level)
        return self._row(name, MACRO, metric, point, found, n, None, [over])

    def _difference_rows(self, first: str, second: str, metric: str) -> list[Result]:
        name, rows, differences, n_macro = f"{first} - {second}", [], [], 0
        for finding in self.sample.findings:
            keys = self._key(first, second, finding), self._key(second, first, finding)
            if any(metric not in self.series[key].metrics for key in keys):
                continue
            one = self.series[keys[0]]
            reason = why_undefined(metric, one.n, one.n_positive)
            if reason is not None:
                rows.append(self._missing(name, finding, metric, one, [reason]))
                continue
            point = self.points[keys[0]][metric] - self.points[keys[1]][metric]
            values = self.replicates[keys[0]][metric] - self.replicates[keys[1]][metric]
            differences.append((point, values))
            n_macro = max(n_macro, one.n)
            rows.append(self._result(name, finding, metric, point, values, one, [], two_sided_p(values)))
        if differences:
            values = np.mean([values for _, values in differences], axis=0)
            found, p_value = interval(values, self.settings.level), two_sided_p(values)
            over = f"mean over {len(differences)} of {len(rows)} findings"
            point = float(np.mean([point for point, _ in differences]))
            rows.append(self._row(name, MACRO, metric, point, found, n_macro, None, [over], p_value))
        return rows

    def _result(
        self,
        name: str,
        finding: str,
        metric: str,
        point: float,
        values: np.ndarray,
        one: Series,
        notes: Sequence[str],
        p_value: float | None = None,
    ) -> Result:
        found = interval(values, self.settings.level)
        notes = [*notes, self._skipped_note(finding)]
        return self._row(name, finding, metric, point, found, one.n, one.n_positive, notes, p_value)

    def _missing(self, name: str, finding: str, metric: str, one: Series, notes: Sequence[str]) -> Result:
        return self._row(name, finding, metric, None, None, one.n, one.n_positive, notes)

    def _row(
        self,
        name: str,
        finding: str,
        metric: str,
        value: float | None,
        found: Interval | None,
        n: int,
        n_positive: int | None,
        notes: Sequence[str],
        p_value: float | None = None,
    ) -> Result:
        said = [f"p = {p_value:.3g}"] if p_value is not None else []
        said += [note for note in notes if note]
        if found is not None and found.undefined:
            lost = f"undefined in {found.undefined} of {self.settings.replicates} replicates"
            said.append(lost + ("" if found.low is not None else ", so no interval"))
        if self.settings.by_patient and found is not None:
            said.append(f"{self.resampler.n_units} patients resampled")
        return Result(
            name, self.settings.dataset, finding, metric, value,
            found.low if found else None, found.high if found else None,
            n, n_positive, self.settings.replicates, self.settings.seed, "; ".join(said), p_value,
        )  # fmt: skip

    def _threshold_note(self, name: str, finding: str) -> str:
        if name in self.sample.readers:
            return ""
        return f"score >= {self.thresholds[name, finding]:.6g}"

    def _skipped_note(self, finding: str) -> str:
        uncertain, blank = self.sample.skipped.get(finding, (0, 0))
        parts = [f"{uncertain} uncertain"] * bool(uncertain) + [f"{blank} blank"] * bool(blank)
        return f"{' and '.join(parts)} truths not evaluated" if parts else ""
