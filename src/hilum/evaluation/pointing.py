"""The pointing game: does a heatmap's highest point lie in the finding's box (Zhang et al. 2018, section 4)?

Against three that do not look: chance (the boxes' share of what the model saw), the center of the image, and the one place that
lies in most boxes of the finding. A map tells more than the finding's name where it beats the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hilum.archive import Archive
from hilum.evaluation.boxes import Boxed
from hilum.evaluation.resampling import Resampler, interval, two_sided_p
from hilum.evaluation.results import Result
from hilum.models.zero_shot import PromptSet
from hilum.tasks.explaining import Heatmap, explain_with
from hilum.tasks.explaining.members import Member

METRICS = ("pointing", "pointing_chance", "pointing_center", "pointing_fixed_place")
AGAINST = METRICS[1:]
ALL = "all"
GRID = 48  # cells a side of the grid on which the fixed place is sought


@dataclass(frozen=True, eq=False)
class Pointed:
    """What was pointed at.

    Attributes:
        boxed: N findings of images.
        hits: (N, 4) of each the share of hits of the map, of chance, of the center, and of the fixed place.
        peaks: (N, 2) row and column of the map's highest point.
        scores: (N,) of the whole image.
    """

    boxed: tuple[Boxed, ...]
    hits: np.ndarray
    peaks: np.ndarray
    scores: np.ndarray

    def table(self) -> pa.Table:
        """One row a finding of an image."""
        columns = {
            "image_id": [one.image_id for one in self.boxed],
            "patient_id": [one.patient_id for one in self.boxed],
            "finding": [one.finding for one in self.boxed],
            "row": self.peaks[:, 0],
            "column": self.peaks[:, 1],
            "score": self.scores,
        }
        return pa.table(columns | {metric: self.hits[:, place] for place, metric in enumerate(METRICS)})


def point(
    members: Sequence[Member],
    archive: Archive,
    boxed: Sequence[Boxed],
    *,
    how: str = "auto",
    against: str | None = None,
    prompts: PromptSet | None = None,
    on_image: Callable[[int, int], None] | None = None,
) -> Pointed:
    """Explain each finding of each image, and see where the highest point lies.

    Args:
        members: models, each with its head or None, as `load_members` gives them.
        how, against, prompts: as of `explain`.
        archive: where the pixels are.
        boxed: as `boxed_findings` gives them.
        on_image: called with (done, all).
    """
    fixed = fixed_places(boxed)
    hits, peaks, scores = np.zeros((len(boxed), 4)), np.zeros((len(boxed), 2), int), np.zeros(len(boxed))
    pixels, last = np.zeros((1, 1), np.uint8), -1
    for place, one in enumerate(boxed):
        if one.row != last:
            pixels, last = np.asarray(archive.pixels([one.row])[0]), one.row
        heatmap = explain_with(members, pixels, one.finding, how=how, against=against, prompts=prompts)
        hits[place] = _hits(heatmap, one, fixed[one.finding])
        peaks[place], scores[place] = heatmap.peak, heatmap.score
        if on_image is not None:
            on_image(place + 1, len(boxed))
    return Pointed(tuple(boxed), hits, peaks, scores)


def fixed_places(boxed: Sequence[Boxed]) -> dict[str, tuple[float, float]]:
    """For each finding the one place, in shares of height and width, that lies in most of its boxes.

    It is chosen with these very boxes in hand, so that nothing that points to one place can do better. Of places that tie, the
    one nearest to their mean.
    """
    places = {}
    for finding in {one.finding for one in boxed}:
        counts = np.sum([one.mask((GRID, GRID)) for one in boxed if one.finding == finding], axis=0)
        rows, columns = np.nonzero(counts == counts.max())
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        places[finding] = (float(rows[nearest] + 0.5) / GRID, float(columns[nearest] + 0.5) / GRID)
    return places


def measured(
    pointed: Pointed, model: str, dataset: str, *, replicates: int = 1000, seed: int = 0, note: str = ""
) -> list[Result]:
    """Shares of hits and their differences, for each finding and for all, with intervals over patients.

    Args:
        pointed: of one model.
        model, dataset: as named in the rows.
        replicates: bootstrap resamples of patients.
        seed: of the first.
        note: put into every row.

    Returns:
        Rows of `METRICS`, and of "pointing - pointing_center" and so on with a p-value; "all" weighs every finding of every
        image alike.
    """
    findings = list(dict.fromkeys(sorted(one.finding for one in pointed.boxed)))
    of = np.array([one.finding for one in pointed.boxed])
    _, patient_of = np.unique([one.patient_id for one in pointed.boxed], return_inverse=True)
    resampler = Resampler(len(of), replicates, seed, patient_of)
    groups = [(finding, of == finding) for finding in findings] + [(ALL, np.ones(len(of), bool))]
    drawn: dict[str, list[np.ndarray]] = {finding: [] for finding, _ in groups}
    for counts in resampler.counts():  # (N, R)
        for finding, mine in groups:
            weights = counts[mine].astype(np.float64)
            with np.errstate(invalid="ignore"):  # a replicate without the finding
                drawn[finding].append(weights.T @ pointed.hits[mine] / weights.sum(axis=0)[:, None])
    rows: list[Result] = []
    for finding, mine in groups:
        replicate = np.concatenate(drawn[finding])  # (R, 4)
        share = pointed.hits[mine].mean(axis=0)
        n = int(mine.sum())

        def row(metric: str, value: float, values: np.ndarray, finding: str = finding, n: int = n) -> Result:
            span, p_value = interval(values), two_sided_p(values) if " - " in metric else None
            said = "; ".join(part for part in (note, f"p={p_value:.3g}" if p_value is not None else "") if part)
            return Result(
                model, dataset, finding, metric, value, span.low, span.high, n, n, replicates, seed, said, p_value
            )

        rows += [row(metric, float(share[k]), replicate[:, k]) for k, metric in enumerate(METRICS)]
        rows += [
            row(f"{METRICS[0]} - {metric}", float(share[0] - share[k]), replicate[:, 0] - replicate[:, k])
            for k, metric in enumerate(AGAINST, start=1)
        ]
    return rows


def _hits(heatmap: Heatmap, one: Boxed, fixed: tuple[float, float]) -> tuple[float, float, float, float]:
    """Map, chance, center, fixed place. Of a map whose highest value stands in several pixels, the share that hits."""
    inside = one.mask()
    seen = ~np.isnan(heatmap.values)
    height, width = inside.shape
    highest = seen & (heatmap.values == np.nanmax(heatmap.values))
    return (
        float(inside[highest].mean()),
        float(inside[seen].mean()),
        float(inside[height // 2, width // 2]),
        float(inside[int(fixed[0] * height), int(fixed[1] * width)]),
    )
