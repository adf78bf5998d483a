"""Several readers together: their mean, their agreement, and each against the others, beside every model.

Every number is made under the same resamples as the rest of the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np

from hilum.evaluation.kappa import cohen_kappa, fleiss_kappa
from hilum.evaluation.measurement import READER_THRESHOLD, Measurement
from hilum.evaluation.metrics import THRESHOLD_METRICS, why_undefined
from hilum.evaluation.resampling import interval, two_sided_p
from hilum.evaluation.results import MACRO, Result
from hilum.evaluation.series import Series

COHEN, FLEISS = "cohen_kappa", "fleiss_kappa"
LEFT_OUT_METRICS = ("mcc", "f1")
OTHERS = "reference: the majority of the other readers"
Values = tuple[float, np.ndarray, int, int]  # on the sample, under each resample, images, positives


def reader_study(measurement: Measurement) -> list[Result]:
    """What several readers are together; nothing with fewer than two.

    Args:
        measurement: of the sample with its models and readers.

    Returns:
        Rows: the mean over readers, and each model less it (Tiu et al. 2022 compare so); kappas of every pair and of all; and
        leave-one-reader-out: each reader against the majority of the others, and each model against the same.
    """
    if len(measurement.sample.readers) < 2:
        return []
    study = _ReaderStudy(measurement)
    return [*study.means(), *study.agreement(), *study.left_out()]


def mean_name(readers: Sequence[str]) -> str:
    """What the mean over readers is called in results."""
    return f"mean of {len(readers)} readers"


Measure = Callable[[np.ndarray | None], np.ndarray]  # counts (N, R) to (R,); None measures the sample itself


class _ReaderStudy:
    def __init__(self, measurement: Measurement) -> None:
        self.all, self.sample = measurement, measurement.sample
        self.readers, self.models = list(self.sample.readers), list(self.sample.models)
        self._measures: dict[tuple[str, ...], Measure | str] = {}
        self._sizes: dict[tuple[str, ...], tuple[int, int]] = {}
        self._plan_kappas()
        self._plan_left_out()
        self._values = self._resample()

    def means(self) -> list[Result]:
        """The mean over readers of each metric, and each model's paired difference to it."""
        rows: list[Result] = []
        name = mean_name(self.readers)
        for metric in THRESHOLD_METRICS:
            per_finding: dict[str, Values | str] = {}
            for finding in self.sample.findings:
                per_finding[finding] = self._mean_of(finding, metric)
            rows += self._rows(name, metric, per_finding)
        for model in self.models:
            for metric in THRESHOLD_METRICS:
                differences = {finding: self._less_mean(model, finding, metric) for finding in self.sample.findings}
                if any(not isinstance(one, str) for one in differences.values()):
                    rows += self._rows(f"{model} - {name}", metric, differences, is_difference=True)
        return rows

    def agreement(self) -> list[Result]:
        """Cohen's kappa of each pair, Fleiss' of all."""
        rows: list[Result] = []
        for group in self._groups():
            name, metric = (" and ".join(group), COHEN) if len(group) == 2 else ("all readers", FLEISS)
            rows += self._rows(
                name, metric, {one: self._measured("kappa", *group, one) for one in self.sample.findings}
            )
        return rows

    def left_out(self) -> list[Result]:
        """Each reader, and each model, against the majority of the readers but that one."""
        rows: list[Result] = []
        findings = self.sample.findings
        for reader in self.readers:
            for metric in LEFT_OUT_METRICS:
                own = {finding: self._measured(reader, reader, finding, metric) for finding in findings}
                rows += self._rows(f"{reader} against the other readers", metric, own, OTHERS)
                for model in self.models:
                    found = {finding: self._measured(reader, model, finding, metric) for finding in findings}
                    if all(isinstance(one, str) for one in found.values()):
                        continue
                    rows += self._rows(f"{model} against the readers but {reader}", metric, found, OTHERS)
                    paired = {finding: self._measured(reader, reader, finding, metric, model) for finding in findings}
                    less = {finding: _less(found[finding], paired[finding]) for finding in findings}
                    name = f"{model} - {reader}, against the other readers"
                    rows += self._rows(name, metric, less, OTHERS, is_difference=True)
        return rows

    def _groups(self) -> list[tuple[str, ...]]:
        pairs: list[tuple[str, ...]] = list(combinations(self.readers, 2))
        return [*pairs, tuple(self.readers)] if len(self.readers) > 2 else pairs

    def _plan_kappas(self) -> None:
        for group in self._groups():
            for finding in self.sample.findings:
                calls = [self._calls(reader, finding) for reader in group]
                everyone = ~np.isnan(calls).any(axis=0)
                measure = partial(cohen_kappa, *calls) if len(group) == 2 else partial(fleiss_kappa, calls)
                called = np.asarray(calls)[:, everyone].mean(axis=0) > 0.5
                self._plan(("kappa", *group, finding), measure, int(everyone.sum()), int(called.sum()))

    def _plan_left_out(self) -> None:
        for reader in self.readers:
            others = [one for one in self.readers if one != reader]
            for finding in self.sample.findings:
                reference, known = self._majority(others, finding)
                calls = self._calls(reader, finding)
                known = known & ~np.isnan(calls)
                for metric in LEFT_OUT_METRICS:
                    self._plan_against((reader, reader, finding, metric), reference, known, calls, READER_THRESHOLD)
                    for model in self.models:
                        key, threshold = (reader, model, finding, metric), self.all.thresholds.get((model, finding))
                        if threshold is None:
                            self._measures[key] = "no threshold"
                            continue
                        scores = self.sample.series_of(model, finding)[1]
                        here = known & ~np.isnan(scores)
                        self._plan_against(key, reference, here, scores, threshold)
                        if not np.array_equal(here, known):  # the reader on the images that the model has too
                            paired = (reader, reader, finding, metric, model)
                            self._plan_against(paired, reference, here, calls, READER_THRESHOLD)

    def _plan_against(
        self, key: tuple[str, ...], reference: np.ndarray, known: np.ndarray, scores: np.ndarray, threshold: float
    ) -> None:
        metric = key[3]
        series = Series(reference, np.nan_to_num(scores), known, threshold, (metric,))
        reason = why_undefined(metric, series.n, series.n_positive)
        if reason is not None:
            self._measures[key] = reason
            return

        def measure(counts: np.ndarray | None) -> np.ndarray:
            return np.array([series.point()[metric]]) if counts is None else series.measure(counts)[metric]

        self._plan(key, measure, series.n, series.n_positive)

    def _plan(self, key: tuple[str, ...], measure: Measure, n: int, n_positive: int) -> None:
        point = float(measure(None)[0]) if n else float("nan")
        if np.isnan(point):
            self._measures[key] = "all calls are alike" if n else "no image that all of them read"
        else:
            self._measures[key], self._sizes[key] = measure, (n, n_positive)

    def _resample(self) -> dict[tuple[str, ...], np.ndarray]:
        """All that was planned, in one pass over the resamples."""
        measures = {key: one for key, one in self._measures.items() if not isinstance(one, str)}
        parts: dict[tuple[str, ...], list[np.ndarray]] = {key: [] for key in measures}
        for counts in self.all.resampler.counts():
            for key, measure in measures.items():
                parts[key].append(measure(counts))
        return {key: np.concatenate(found) for key, found in parts.items()}

    def _measured(self, *key: str) -> Values | str:
        if len(key) == 5 and key not in self._measures and key[0] != "kappa":
            key = key[:4]  # the model has all the reader's images
        measure = self._measures[key]
        if isinstance(measure, str):
            return measure
        return float(measure(None)[0]), self._values[key], *self._sizes[key]

    def _calls(self, reader: str, finding: str) -> np.ndarray:
        return self.sample.readers[reader][:, self.sample.findings.index(finding)]

    def _mean_of(self, finding: str, metric: str) -> Values | str:
        keys = [("", reader, finding) for reader in self.readers]
        series = [self.all.series[key] for key in keys]
        reason = next((why for one in series if (why := why_undefined(metric, one.n, one.n_positive))), None)
        if reason is not None:
            return reason
        point = float(np.mean([self.all.points[key][metric] for key in keys]))
        values = np.mean([self.all.replicates[key][metric] for key in keys], axis=0)
        return point, values, max(one.n for one in series), max(one.n_positive for one in series)

    def _less_mean(self, model: str, finding: str, metric: str) -> Values | str:
        """The mean over readers of the paired differences, each on the images that model and reader both have."""
        found: list[Values] = []
        for reader in self.readers:
            ours, theirs = self.all.pair(model, reader, finding)
            one = self.all.series[ours]
            if metric not in one.metrics:
                return "no threshold"
            reason = why_undefined(metric, one.n, one.n_positive)
            if reason is not None:
                return reason
            point = self.all.points[ours][metric] - self.all.points[theirs][metric]
            found.append(
                (point, self.all.replicates[ours][metric] - self.all.replicates[theirs][metric], one.n, one.n_positive)
            )
        points, values, n, n_positive = zip(*found, strict=True)
        return float(np.mean(points)), np.mean(values, axis=0), max(n), max(n_positive)

    def _majority(self, readers: Sequence[str], finding: str) -> tuple[np.ndarray, np.ndarray]:
        """(N,) what most of them call, and where there is a majority; a tie has none."""
        calls = np.stack([self._calls(reader, finding) for reader in readers])  # (K, N)
        positive, negative = np.nansum(calls == 1, axis=0), np.nansum(calls == 0, axis=0)
        return (positive > negative).astype(np.int8), positive != negative

    def _rows(
        self, name: str, metric: str, found: Mapping[str, Values | str], note: str = "", is_difference: bool = False
    ) -> list[Result]:
        """A row for each finding, and the mean over those that are defined."""
        rows: list[Result] = []
        defined: list[tuple[float, np.ndarray, int]] = []
        for finding, one in found.items():
            if isinstance(one, str):
                rows.append(self._result(name, finding, metric, None, None, 0, None, [one, note]))
                continue
            point, values, n, n_positive = one
            defined.append((point, values, n))
            rows.append(self._result(name, finding, metric, point, values, n, n_positive, [note], is_difference))
        if defined:
            over = f"mean over {len(defined)} of {len(found)} findings"
            values = np.mean([values for _, values, _ in defined], axis=0)
            point = float(np.mean([point for point, _, _ in defined]))
            n = max(count for *_, count in defined)
            rows.append(self._result(name, MACRO, metric, point, values, n, None, [over, note], is_difference))
        return rows

    def _result(
        self,
        name: str,
        finding: str,
        metric: str,
        point: float | None,
        values: np.ndarray | None,
        n: int,
        n_positive: int | None,
        notes: Sequence[str],
        is_difference: bool = False,
    ) -> Result:
        made = self.all.settings
        ends = interval(values, made.level) if values is not None else None
        p_value = two_sided_p(values) if is_difference and values is not None else None
        said = [f"p = {p_value:.3g}"] if p_value is not None else []
        said += [note for note in notes if note]
        if ends is not None and ends.undefined:
            said.append(f"undefined in {ends.undefined} of {made.replicates} replicates")
        if made.by_patient and ends is not None:
            said.append(f"{self.all.resampler.n_units} patients resampled")
        low, high = (None, None) if ends is None else (ends.low, ends.high)
        return Result(
            name, made.dataset, finding, metric, point, low, high, n, n_positive, made.replicates, made.seed, "; ".join(said),
            p_value,
        )  # fmt: skip


def _less(ours: Values | str, theirs: Values | str) -> Values | str:
    if isinstance(ours, str) or isinstance(theirs, str):
        return ours if isinstance(ours, str) else str(theirs)
    return ours[0] - theirs[0], ours[1] - theirs[1], ours[2], ours[3]
