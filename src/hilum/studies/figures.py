"""The figures of a study: bars by finding and by dataset, ranks, and label efficiency, all drawn from its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hilum.evaluation.figures import COLORS, GUIDE, QUIET, STYLE, Picture, save_figure
from hilum.studies.ranks import Ranks, cliques, rank
from hilum.studies.rows import MACRO, Row
from hilum.studies.spec import Study
from hilum.studies.tables import FULL

BASELINE_COLOR = "#8C8C8C"
MORE_COLORS = (*COLORS, "#8B5A2B", "#F0E442", "#882255", "#44AA99")
BAR, GROUP_GAP = 0.085, 0.13  # inches
FIGURE_NUMBERS = {"finetune": "figure2-finetune", "probe": "figure3-probe", "zero-shot": "datasets-zero-shot"}


def draw(study: Study, rows: Sequence[Row]) -> list[Picture]:
    """All figures; a kind with nothing to show is left out.

    Args:
        study: for its names and statistics.
        rows: as `hilum.studies.measuring` gives them.
    """
    metric = study.statistics.metrics[0]
    own = [row for row in rows if row.metric == metric and not row.less and row.value is not None]
    kinds = [kind for kind in ("finetune", "probe", "zero-shot") if any(row.adaptation == kind for row in own)]
    with mpl.rc_context(STYLE):
        pictures: list[Picture] = []
        for kind in kinds:
            whole = [row for row in own if row.adaptation == kind and row.part == FULL]
            pictures += _by_dataset(study, kind, whole)
            pictures += _by_finding(study, kind, whole)
            pictures += _ranks(study, kind, whole)
        for kind in kinds:
            pictures += _efficiency(study, kind, [row for row in own if row.adaptation == kind])
    return pictures


def _by_dataset(study: Study, kind: str, rows: Sequence[Row]) -> list[Picture]:
    """Means of every model, grouped by dataset (Figures 2 and 3 of the founding study)."""
    found = {(row.dataset, row.model): row for row in rows if row.finding == MACRO}
    datasets = [one.name for one in study.datasets if any(dataset == one.name for dataset, _ in found)]
    if not datasets:
        return []
    caption = (
        f"{_shown(study)} by dataset, {kind}: mean over findings with at least {study.statistics.least_positives} positive and "
        f"negative test images, with {study.statistics.level:.0%} bootstrap intervals. Gray is the baseline."
    )
    figure = _bars(
        study, [(name, name, {model: row for (d, model), row in found.items() if d == name}) for name in datasets]
    )
    return [save_figure(figure, FIGURE_NUMBERS[kind], caption)]


def _by_finding(study: Study, kind: str, rows: Sequence[Row]) -> list[Picture]:
    """Every finding of a dataset that has several (Figure 1 of the founding study)."""
    pictures = []
    for dataset in study.datasets:
        here = [row for row in rows if row.dataset == dataset.name]
        findings = list(dict.fromkeys(row.finding for row in here if row.finding != MACRO))
        if len(findings) < 2:
            continue
        groups = []
        for finding in findings:
            of_model = {row.model: row for row in here if row.finding == finding}
            first = next(iter(of_model.values()))
            few = " (not averaged)" if "not averaged" in first.note else ""
            groups.append((finding, f"{finding}{few}\n{first.n_positive:,} of {first.n:,}", of_model))
        mean = {row.model: row for row in here if row.finding == MACRO}
        if mean:
            groups.append((MACRO, "mean", mean))
        caption = (
            f"{_shown(study)} by finding on {dataset.name}, {kind}, with {study.statistics.level:.0%} bootstrap intervals; below "
            "each finding how many test images have it."
        )
        pictures.append(save_figure(_bars(study, groups), f"figure1-findings-{kind}-{dataset.name}", caption))
    return pictures


def _bars(study: Study, groups: Sequence[tuple[str, str, dict[str, Row]]]) -> Figure:
    """Horizontal bars in groups of (key, label, model -> row), from chance to one."""
    models = [model.name for model in study.models if any(model.name in of_model for *_, of_model in groups)]
    heights = [max(len(of_model) * BAR, 0.24) + GROUP_GAP for *_, of_model in groups]
    figure = Figure(figsize=(6.2, sum(heights) + 0.95), layout="constrained")
    ax = figure.subplots()
    top, ticks, least = 0.0, [], 0.5
    for (_, _, of_model), height in zip(groups, heights, strict=True):
        shown = [model for model in models if model in of_model]
        start = top + (height - len(shown) * BAR) / 2
        for place, model in enumerate(shown):
            row = of_model[model]
            y = start + (place + 0.5) * BAR
            value = row.value if row.value is not None else 0.5
            ax.barh(y, value - 0.5, BAR * 0.86, left=0.5, color=_color(study, model), zorder=2)
            least = min(least, value if row.low is None else row.low)
            if row.low is not None and row.high is not None:
                ax.hlines(y, row.low, row.high, color="#222222", lw=0.7, zorder=3)
        ticks.append(top + height / 2)
        top += height
    ax.axvline(0.5, color=GUIDE, lw=0.8, zorder=1)
    ax.set_yticks(ticks, [label for _, label, _ in groups])
    ax.set(ylim=(top, 0), xlim=(math.floor(20 * least) / 20, 1.0), xlabel=_shown(study))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    handles = [Patch(color=_color(study, model), label=model) for model in models]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(5, len(handles)), frameon=False)
    return figure


def _ranks(study: Study, kind: str, rows: Sequence[Row]) -> list[Picture]:
    """Mean ranks over the datasets on which all models are measured, joined where they do not differ."""
    means = {(row.model, row.dataset): row.value for row in rows if row.finding == MACRO}
    models = [model.name for model in study.models if any(name == model.name for name, _ in means)]
    datasets = [one.name for one in study.datasets if all((model, one.name) in means for model in models)]
    ranks = rank({model: [float(means[model, dataset] or 0.0) for dataset in datasets] for model in models})
    if ranks is None:
        return []
    tested = "" if ranks.friedman_p is None else f" Friedman's test of no difference: p = {ranks.friedman_p:.3g}."
    few = " With so few datasets only great differences can show." if ranks.datasets < 6 else ""
    caption = (
        f"Mean rank over {ranks.datasets} datasets, {kind}; 1 is the best. Models that a bar joins do not differ (Nemenyi, "
        f"critical difference {ranks.critical_difference:.2f} at {ranks.alpha:g}).{tested}{few}"
    )
    return [save_figure(_rank_figure(study, ranks), f"ranks-{kind}", caption)]


def _rank_figure(study: Study, ranks: Ranks) -> Figure:
    count = len(ranks.names)
    joined = cliques(ranks)
    height = 0.6 + 0.19 * count + 0.1 * len(joined)
    figure = Figure(figsize=(6.2, height + 0.35), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(0.7, count + 0.3), ylim=(count + 1.2 + 0.55 * len(joined), -0.2))
    ax.xaxis.set_ticks_position("top")
    ax.set_xticks(range(1, count + 1))
    ax.spines[["left", "bottom", "right"]].set_visible(False)
    ax.spines["top"].set_visible(True)
    ax.set_yticks([])
    ax.set_xlabel("mean rank")
    ax.xaxis.set_label_position("top")
    below = 0.55 * len(joined)
    for place, (first, last) in enumerate(joined):
        y = 0.45 + 0.55 * place
        ax.hlines(y, ranks.means[first] - 0.04, ranks.means[last] + 0.04, color="#222222", lw=2.2)
    for place, (name, mean) in enumerate(zip(ranks.names, ranks.means, strict=True)):
        y = below + 0.9 + place
        ax.vlines(mean, -0.2, y, color=GUIDE, lw=0.6, zorder=1)
        ax.plot(mean, y, "o", color=_color(study, name), ms=4, zorder=3)
        is_left = mean < (count + 1) / 2
        ax.text(
            mean + (0.08 if is_left else -0.08),
            y,
            f"{name}  {mean:.2f}",
            ha="left" if is_left else "right",
            va="center",
        )
    return figure


def _efficiency(study: Study, kind: str, rows: Sequence[Row]) -> list[Picture]:
    """The mean against the share of labels, or shots, one panel a dataset."""
    pictures = []
    for what in ("fraction", "shots"):
        found: dict[tuple[str, str], list[tuple[float, Row]]] = {}
        for row in rows:
            is_shots = row.part.endswith("shots")
            if row.finding == MACRO and is_shots == (what == "shots"):
                found.setdefault((row.dataset, row.model), []).append((float(row.part.split()[0]), row))
        found = {key: sorted(points, key=lambda point: point[0]) for key, points in found.items() if len(points) > 1}
        datasets = [one.name for one in study.datasets if any(dataset == one.name for dataset, _ in found)]
        if not datasets:
            continue
        columns = min(3, len(datasets))
        lines = math.ceil(len(datasets) / columns)
        figure = Figure(figsize=(2.3 * columns + 0.4, 1.9 * lines + 0.6), layout="constrained")
        panels = np.atleast_1d(figure.subplots(lines, columns, squeeze=False).ravel())
        for ax, dataset in zip(panels, datasets, strict=False):
            _curves(study, ax, dataset, found)
            ax.set_xlabel("share of the training images" if what == "fraction" else "images of each class")
            ax.set_ylabel(_shown(study))
        for ax in panels[len(datasets) :]:
            ax.set_visible(False)
        models = [model.name for model in study.models if any(name == model.name for _, name in found)]
        handles = [Line2D([], [], color=_color(study, model), marker="o", ms=3, label=model) for model in models]
        figure.legend(handles=handles, loc="outside upper left", ncols=min(5, len(handles)), frameon=False)
        seeds = len(study.seeds)
        caption = (
            f"Label efficiency, {kind}: {_shown(study)} against the {'share of labels' if what == 'fraction' else 'shots'}, mean "
            f"of {seeds} seed{'s' if seeds > 1 else ''} where parts are drawn; smaller parts lie inside larger ones. Bands are "
            f"{study.statistics.level:.0%} bootstrap intervals of the test images."
        )
        pictures.append(
            save_figure(figure, f"label-efficiency-{kind}" + ("-shots" if what == "shots" else ""), caption)
        )
    return pictures


def _curves(study: Study, ax: Axes, dataset: str, found: dict[tuple[str, str], list[tuple[float, Row]]]) -> None:
    marks: set[float] = set()
    for model in study.models:
        points = found.get((dataset, model.name), [])
        if not points:
            continue
        x = [share for share, _ in points]
        marks.update(x)
        color = _color(study, model.name)
        ax.plot(
            x,
            [row.value if row.value is not None else np.nan for _, row in points],
            "o-",
            color=color,
            ms=2.8,
            lw=1.1,
            zorder=3,
        )
        low = [row.low if row.low is not None else np.nan for _, row in points]
        high = [row.high if row.high is not None else np.nan for _, row in points]
        ax.fill_between(x, low, high, color=color, alpha=0.13, lw=0, zorder=2)
    ax.set_xscale("log")
    ax.set_xticks(sorted(marks), [f"{mark:g}" for mark in sorted(marks)])
    ax.minorticks_off()
    ax.axhline(0.5, color=GUIDE, lw=0.6, ls=(0, (4, 3)))
    ax.set_title(dataset, color=QUIET, loc="left")


def _color(study: Study, model: str) -> str:
    if model == study.baseline:
        return BASELINE_COLOR
    others = [one.name for one in study.models if one.name != study.baseline]
    return MORE_COLORS[others.index(model) % len(MORE_COLORS)]


def _shown(study: Study) -> str:
    return {"auroc": "AUROC", "average_precision": "average precision"}[study.statistics.metrics[0]]
