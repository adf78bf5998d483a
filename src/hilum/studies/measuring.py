"""Every number of a study: AUROC with intervals, and paired differences, on resamples that all cells of a dataset share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hilum.evaluation.metrics import why_undefined
from hilum.evaluation.resampling import Interval, Resampler, bootstrap, interval, two_sided_p
from hilum.evaluation.series import Series
from hilum.studies.cells import Cell
from hilum.studies.rows import MACRO, Row
from hilum.studies.spec import Study
from hilum.studies.store import DONE, Record, Store, Truth

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Arm:
    """A line of the results: one model on one dataset, adapted in one way on one part; the mean over its seeds."""

    model: str
    dataset: str
    adaptation: str
    part: str

    @classmethod
    def of(cls, cell: Cell) -> Arm:
        """The arm a cell belongs to."""
        return cls(cell.model, cell.dataset, cell.adaptation, cell.part)


@dataclass(frozen=True, eq=False)
class Measured:
    """An arm's values.

    Attributes:
        arm: which.
        seeds: of its cells.
        points: metric -> finding -> value on the test images, mean over seeds; MACRO is the mean over `averaged`.
        replicates: the same under every resample, (R,) each.
        counts: finding -> (images, positives).
        averaged: findings that the mean is over.
        notes: finding -> why it is not averaged, or has no value.
    """

    arm: Arm
    seeds: tuple[int, ...]
    points: dict[str, dict[str, float]]
    replicates: dict[str, dict[str, np.ndarray]]
    counts: dict[str, tuple[int, int]]
    averaged: tuple[str, ...]
    notes: dict[str, str] = field(default_factory=dict)


class Measurement:
    """All arms of one dataset under one set of resamples.

    Args:
        study: its statistics.
        truth: of the test images.
        cells: finished cells with their scores.
    """

    def __init__(
        self, study: Study, truth: Truth, cells: Mapping[Cell, np.ndarray], names: Mapping[Cell, Sequence[str]]
    ) -> None:
        self.study, self.truth, self._cells, self._names = study, truth, cells, names
        made = study.statistics
        patient_of = np.unique(truth.patient_ids, return_inverse=True)[1] if made.by == "patient" else None
        self.resampler = Resampler(len(truth.image_ids), made.replicates, made.seed, patient_of)
        self._series: dict[tuple[Cell, str, str], Series] = {}
        self._masks: dict[str, np.ndarray] = {}
        self.arms: dict[Arm, list[Cell]] = {}
        for cell in cells:
            self.arms.setdefault(Arm.of(cell), []).append(cell)
        everything = {(cell, name): self._evaluated(cell, name) for cell in cells for name in truth.names}
        for (cell, name), evaluated in everything.items():
            self._add(cell, name, evaluated)
        self._add_common(everything)
        # One pass over the resamples measures every series.
        self._values = bootstrap(self._series, self.resampler)
        self._points = {key: one.point() for key, one in self._series.items()}

    def measured(self, arm: Arm, against: Arm | None = None) -> Measured:
        """An arm's values; with `against` on the images that both have."""
        cells = self.arms[arm]
        points: dict[str, dict[str, float]] = {}
        replicates: dict[str, dict[str, np.ndarray]] = {}
        counts: dict[str, tuple[int, int]] = {}
        notes: dict[str, str] = {}
        least = self.study.statistics.least_positives
        averaged: list[str] = []
        for name in self.truth.names:
            keys = [self._key(cell, name, against) for cell in cells]
            one = self._series[keys[0]]
            counts[name] = (one.n, one.n_positive)
            reason = self._why_missing(cells, name) or why_undefined("auroc", one.n, one.n_positive)
            if reason is not None:
                notes[name] = reason
                continue
            for metric in self.study.statistics.metrics:
                points.setdefault(metric, {})[name] = float(np.mean([self._points[key][metric] for key in keys]))
                mean = np.mean([self._values[key][metric] for key in keys], axis=0)
                replicates.setdefault(metric, {})[name] = mean
            if min(one.n_positive, one.n - one.n_positive) < least:
                few = "positive" if one.n_positive <= one.n - one.n_positive else "negative"
                notes[name] = f"fewer than {least} {few} images: shown, not averaged"
            else:
                averaged.append(name)
        for which in points if averaged else ():
            points[which][MACRO] = float(np.mean([points[which][name] for name in averaged]))
            replicates[which][MACRO] = np.mean([replicates[which][name] for name in averaged], axis=0)
        seen = np.zeros(len(self.truth.image_ids), bool)
        for name in averaged:
            seen[self._series[self._key(cells[0], name, against)].rows] = True
        counts[MACRO] = (int(seen.sum()), 0)
        seeds = tuple(cell.seed for cell in cells)
        return Measured(arm, seeds, points, replicates, counts, tuple(averaged), notes)

    def rows(self, arm: Arm) -> list[Row]:
        """An arm's rows: findings in the truth's order, then the mean."""
        found = self.measured(arm)
        rows = []
        for metric in self.study.statistics.metrics:
            for name in (*self.truth.names, MACRO):
                rows.append(self._row(found, metric, name))
        return rows

    def difference(self, arm: Arm, baseline: Arm) -> list[Row]:
        """An arm's rows less a baseline's, on the same images and resamples, with p-values."""
        ours, theirs = self.measured(arm, baseline), self.measured(baseline, arm)
        rows = []
        for metric in self.study.statistics.metrics:
            for name in (*self.truth.names, MACRO):
                rows.append(self._row(ours, metric, name, theirs))
        return rows

    def _row(self, found: Measured, metric: str, name: str, less: Measured | None = None) -> Row:
        n, n_positive = found.counts[name]
        value = found.points.get(metric, {}).get(name)
        values = found.replicates.get(metric, {}).get(name)
        note, p_value = found.notes.get(name, ""), None
        if name == MACRO:
            note = f"mean over {len(found.averaged)} of {len(self.truth.names)} findings"
        if less is not None:
            other, others = less.points.get(metric, {}).get(name), less.replicates.get(metric, {}).get(name)
            if value is None or other is None or values is None or others is None:
                note = "; ".join(dict.fromkeys(part for part in (note, less.notes.get(name, "")) if part))
                value, values = None, None
            else:
                value, values = value - other, values - others
                p_value = two_sided_p(values)
        ends = interval(values, self.study.statistics.level) if values is not None else Interval(None, None, None, 0)
        if ends.undefined:
            note = "; ".join(part for part in (note, f"undefined in {ends.undefined} resamples") if part)
        arm, made = found.arm, self.study.statistics
        return Row(
            arm.model, arm.dataset, arm.adaptation, arm.part, " ".join(map(str, found.seeds)),
            f"{less.arm.model}, {less.arm.adaptation}" if less is not None else "",
            name, metric, value, ends.low, ends.high, n, None if name == MACRO else n_positive, p_value, None,
            made.replicates, made.seed, note,
        )  # fmt: skip

    def _evaluated(self, cell: Cell, name: str) -> np.ndarray:
        """(N,) bool: test images with truth and a score."""
        column = self.truth.names.index(name)
        known = ~np.isnan(self.truth.values[:, column])
        return known & ~np.isnan(self._scores(cell, name))

    def _scores(self, cell: Cell, name: str) -> np.ndarray:
        names = list(self._names[cell])
        values = self._cells[cell]
        return values[:, names.index(name)] if name in names else np.full(len(values), np.nan)

    def _add(self, cell: Cell, name: str, evaluated: np.ndarray, against: str = "") -> None:
        truth = self.truth.values[:, self.truth.names.index(name)] == 1
        self._series[cell, name, against] = Series(
            truth, self._scores(cell, name), evaluated, metrics=self.study.statistics.metrics
        )

    def _add_common(self, everything: Mapping[tuple[Cell, str], np.ndarray]) -> None:
        """Where two arms were not scored on the same images, both on what they share: a difference is measured there."""
        own = {
            (arm, name): np.logical_and.reduce([everything[cell, name] for cell in cells])
            for arm, cells in self.arms.items()
            for name in self.truth.names
        }
        baselines = [arm for arm in self.arms if arm.model == self.study.baseline]
        for arm in self.arms:
            for other in baselines:
                for name in self.truth.names:
                    common = own[arm, name] & own[other, name]
                    for mine, theirs in ((arm, other), (other, arm)):
                        for cell in self.arms[mine]:
                            if not np.array_equal(everything[cell, name], common):
                                self._add(cell, name, common, str(theirs))

    def _key(self, cell: Cell, name: str, against: Arm | None) -> tuple[Cell, str, str]:
        key = (cell, name, str(against))
        return key if against is not None and key in self._series else (cell, name, "")

    def _why_missing(self, cells: Sequence[Cell], name: str) -> str | None:
        lacking = [cell for cell in cells if name not in self._names[cell]]
        return f"not learned: no scores from seed {lacking[0].seed}" if lacking else None


def measure(study: Study, store: Store, records: Iterable[Record], on_dataset: Progress | None = None) -> list[Row]:
    """Every row of a study: values of all arms, and differences to the baseline's arms of the same part.

    Args:
        study: its statistics.
        store: where scores and truth are.
        records: of its cells; those that are missing are left out.
        on_dataset: called with each dataset's name before it is measured.
    """
    rows: list[Row] = []
    done = [record for record in records if record.status == DONE]
    for dataset in study.datasets:
        truth = store.truth(dataset.name)
        here = [record.cell for record in done if record.cell.dataset == dataset.name]
        if truth is None or not here:
            continue
        if on_dataset is not None:
            on_dataset(dataset.name)
        place = {one: row for row, one in enumerate(truth.image_ids)}
        scores, names = {}, {}
        for cell in here:
            saved = store.scores(cell)
            values = np.full((len(truth.image_ids), len(saved.names)), np.nan)
            at = [place.get(one, -1) for one in saved.image_ids]
            kept = np.array([row >= 0 for row in at], bool)
            values[np.array(at)[kept]] = saved.values[kept]
            scores[cell], names[cell] = values, saved.names
        measurement = Measurement(study, truth, scores, names)
        for arm in measurement.arms:
            rows += measurement.rows(arm)
        for arm in measurement.arms:
            for baseline in measurement.arms:
                if baseline.model == study.baseline and arm.model != study.baseline and baseline.part == arm.part:
                    rows += measurement.difference(arm, baseline)
    return rows
