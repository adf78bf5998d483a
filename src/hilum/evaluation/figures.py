"""ROC, precision-recall and calibration curves, and AUROC intervals: one grid of small panels for each kind.

Drawn from the sample and the results alone, without pyplot, so that drawing needs no display and leaves no state.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hilum.evaluation.results import MACRO, Result
from hilum.evaluation.thresholds import curve

if TYPE_CHECKING:
    from hilum.evaluation.evaluator import Evaluation

# Okabe & Ito: told apart by people who see colors differently.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
READER_COLOR, QUIET, GUIDE = "#333333", "#666666", "#BBBBBB"
READER_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
PANELS_PER_FIGURE, COLUMNS = 20, 5
PANEL, GAP, LINE = 1.7, 0.28, 0.125  # inches: a panel's side, the space between panels, a line of text
VALUES_SHOWN = 4  # models whose value stands over a panel
CALIBRATION_BINS = 10
MOST_POINTS = 500  # of one curve: more cannot be seen and would swell the SVG
STYLE = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "svg.hashsalt": "hilum",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Picture:
    """One figure in both formats, and what a person who cannot see it should know."""

    name: str
    caption: str
    png: bytes
    svg: bytes


def draw(evaluation: Evaluation) -> list[Picture]:
    """All figures of an evaluation; a kind with no finding to show is left out.

    Args:
        evaluation: as `hilum.evaluate` returns it.

    Returns:
        `auroc_intervals`, `roc_curves`, `pr_curves`, `calibration_curves`; with more than 20 findings also
        `roc_curves_2` and so on.
    """
    with mpl.rc_context(STYLE):
        pictures = _intervals(evaluation)
        for name, metric, caption, panel in (
            (
                "roc_curves",
                "auroc",
                "ROC curves, with AUROC and its interval. The diagonal is chance; crosses are human readers.",
                _roc_panel,
            ),
            (
                "pr_curves",
                "average_precision",
                "Precision-recall curves, with average precision and its interval. The dotted line is the prevalence.",
                _pr_panel,
            ),
            (
                "calibration_curves",
                "brier",
                f"Observed frequency against score, in {CALIBRATION_BINS} bins of equal size (95% Wilson), with the "
                "Brier score. On the diagonal a score is a probability; zero-shot scores are not calibrated.",
                _calibration_panel,
            ),
        ):
            pictures += _grid(evaluation, name, metric, caption, panel)
    return pictures


Panel = Callable[["Evaluation", str, Axes], None]


def _grid(evaluation: Evaluation, name: str, metric: str, caption: str, panel: Panel) -> list[Picture]:
    """One panel for each finding that has both classes for some model."""
    shown = [
        finding
        for finding in evaluation.sample.findings
        if any(_has_both_classes(evaluation, model, finding) for model in evaluation.sample.models)
    ]
    pictures = []
    for page, start in enumerate(range(0, len(shown), PANELS_PER_FIGURE), start=1):
        findings = shown[start : start + PANELS_PER_FIGURE]
        figure, axes = _panels(len(findings), heading=2 + min(len(evaluation.sample.models), VALUES_SHOWN))
        for place, (finding, ax) in enumerate(zip(findings, axes, strict=True)):
            panel(evaluation, finding, ax)
            _head(evaluation, finding, metric, ax)
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
            ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
            if place % COLUMNS:
                ax.set_ylabel("")
                ax.set_yticklabels([])
            if place + COLUMNS < len(findings):
                ax.set_xlabel("")
                ax.set_xticklabels([])
        _legend(evaluation, figure, with_readers=name.startswith("roc"))
        pictures.append(save_figure(figure, name if page == 1 else f"{name}_{page}", caption))
    return pictures


def _panels(count: int, heading: int) -> tuple[Figure, list[Axes]]:
    """Square panels in rows, each with room for `heading` lines of text above it; laid out in inches."""
    columns, rows = min(COLUMNS, count), math.ceil(count / COLUMNS)
    left, right, bottom, top = 0.45, 0.12, 0.42, 0.32
    row_height = PANEL + (heading + 1) * LINE
    width = max(left + columns * PANEL + (columns - 1) * GAP + right, 3.6)
    height = bottom + rows * row_height + (rows - 1) * 0.1 + top
    figure = Figure(figsize=(width, height))
    axes = []
    for place in range(count):
        row, column = divmod(place, COLUMNS)
        x = left + column * (PANEL + GAP)
        y = bottom + (rows - 1 - row) * (row_height + 0.1)
        axes.append(figure.add_axes((x / width, y / height, PANEL / width, PANEL / height)))
    return figure, axes


def _head(evaluation: Evaluation, finding: str, metric: str, ax: Axes) -> None:
    """Above a panel: the finding, how many have it, and each model's value in its color."""
    truth = evaluation.sample.truth[:, evaluation.sample.findings.index(finding)]
    counts = f"{int((truth == 1).sum()):,} of {int((truth >= 0).sum()):,} positive"
    values = {r.model: r for r in evaluation.results if (r.finding, r.metric) == (finding, metric)}
    shown = [(color, values[model]) for color, model in _colored(evaluation) if model in values][:VALUES_SHOWN]
    lines = [(finding, "#111111", 7.5), (counts, QUIET, 6), *((_value(result), color, 6.5) for color, result in shown)]
    for place, (text, color, size) in enumerate(reversed(lines)):
        y = 1 + (0.06 + place * LINE) / PANEL
        ax.text(0, y, text, color=color, fontsize=size, va="bottom", transform=ax.transAxes)


def _roc_panel(evaluation: Evaluation, finding: str, ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], color=GUIDE, lw=0.6, ls=(0, (4, 3)), zorder=1)
    for color, model in _colored(evaluation):
        if _has_both_classes(evaluation, model, finding):
            points = curve(*_evaluated(evaluation, model, finding))
            x = np.append(points.fp / points.n_negative, 0.0)
            y = np.append(points.tp / points.n_positive, 0.0)
            ax.plot(*_thinned(x, y), color=color, lw=1.1, zorder=3, solid_joinstyle="round")
    for mark, reader in zip(_cycled(READER_MARKS, evaluation.sample.readers), evaluation.sample.readers, strict=True):
        _reader_cross(evaluation, reader, finding, mark, ax)
    for color, model in _colored(evaluation):
        _operating_point(evaluation, model, finding, color, ax)
    ax.set(xlabel="1 - specificity", ylabel="sensitivity")


def _pr_panel(evaluation: Evaluation, finding: str, ax: Axes) -> None:
    prevalence = 0.0
    for color, model in _colored(evaluation):
        if _has_both_classes(evaluation, model, finding):
            truth, scores = _evaluated(evaluation, model, finding)
            prevalence = float(truth.mean())
            points = curve(truth, scores)
            # The steps whose area is the average precision: at each recall its best precision.
            tp, first = np.unique(points.tp[::-1], return_index=True)
            precision = tp / (tp + points.fp[::-1][first])
            recall, precision = np.append(0, tp[tp > 0] / points.n_positive), precision[tp > 0]
            ax.plot(*_thinned(recall, np.append(precision[0], precision)), color=color, lw=1.1, drawstyle="steps-pre")
    ax.axhline(prevalence, color=GUIDE, lw=0.8, ls=":", zorder=1)
    ax.set(xlabel="recall", ylabel="precision")


def _calibration_panel(evaluation: Evaluation, finding: str, ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], color=GUIDE, lw=0.6, ls=(0, (4, 3)), zorder=1)
    for color, model in _colored(evaluation):
        truth, scores = _evaluated(evaluation, model, finding)
        if not len(truth):
            continue
        parts = np.array_split(np.argsort(scores, kind="stable"), min(CALIBRATION_BINS, len(scores)))
        x = np.array([scores[part].mean() for part in parts])
        y = np.array([truth[part].mean() for part in parts])
        low, high = _wilson(y, np.array([len(part) for part in parts]))
        ax.vlines(x, low, high, color=color, lw=0.7, alpha=0.6, zorder=2)
        ax.plot(x, y, color=color, lw=0.9, marker="o", ms=2.4, zorder=3)
    ax.set(xlabel="mean score", ylabel="observed frequency")


def _intervals(evaluation: Evaluation) -> list[Picture]:
    """AUROC of each finding and model with its interval, and the macro mean below."""
    models = list(evaluation.sample.models)
    findings = [*evaluation.sample.findings, MACRO]
    found = {
        (r.model, r.finding): r
        for r in evaluation.results
        if r.metric == "auroc" and r.value is not None and r.model in models
    }
    shown = [finding for finding in findings if any((model, finding) in found for model in models)]
    if not shown:
        return []
    step = 0.62 / len(models)
    height = len(shown) * (0.13 + 0.08 * len(models)) + 0.8
    figure = Figure(figsize=(5.6, height), layout="constrained")
    ax = figure.subplots()
    for place, finding in enumerate(shown):
        for nth, (color, model) in enumerate(_colored(evaluation)):
            result = found.get((model, finding))
            if result is not None and result.value is not None:
                y = place + (nth - (len(models) - 1) / 2) * step
                if result.low is not None and result.high is not None:
                    ax.hlines(y, result.low, result.high, color=color, lw=1.2)
                ax.plot(result.value, y, "D" if finding == MACRO else "o", color=color, ms=3.6)
    if MACRO in shown:
        ax.axhline(len(shown) - 1.5, color=GUIDE, lw=0.6)
    ax.axvline(0.5, color=GUIDE, lw=0.6, ls=(0, (4, 3)))
    ax.set_yticks(range(len(shown)), ["mean" if name == MACRO else name for name in shown])
    lowest = min(r.low if r.low is not None else r.value or 0.0 for r in found.values())
    ax.set(ylim=(len(shown) - 0.5, -0.5), xlim=(min(0.45, lowest - 0.03), 1.01), xlabel="AUROC")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    figure.legend(handles=_model_handles(evaluation), loc="outside upper left", ncols=5, frameon=False)
    caption = f"AUROC with {evaluation.settings.level:.0%} bootstrap intervals. The dashed line is chance."
    return [save_figure(figure, "auroc_intervals", caption)]


def _reader_cross(evaluation: Evaluation, reader: str, finding: str, mark: str, ax: Axes) -> None:
    """A reader's sensitivity and specificity with their intervals."""
    rows = {r.metric: r for r in evaluation.results if (r.model, r.finding) == (reader, finding)}
    sensitivity, specificity = rows.get("sensitivity"), rows.get("specificity")
    if sensitivity is None or specificity is None or sensitivity.value is None or specificity.value is None:
        return
    x, y = 1 - specificity.value, sensitivity.value
    if specificity.low is not None and specificity.high is not None:
        ax.hlines(y, 1 - specificity.high, 1 - specificity.low, color=READER_COLOR, lw=0.6, zorder=4)
    if sensitivity.low is not None and sensitivity.high is not None:
        ax.vlines(x, sensitivity.low, sensitivity.high, color=READER_COLOR, lw=0.6, zorder=4)
    ax.plot(x, y, mark, color=READER_COLOR, mec="white", mew=0.4, ms=4, zorder=5)


def _operating_point(evaluation: Evaluation, model: str, finding: str, color: str, ax: Axes) -> None:
    threshold = evaluation.thresholds.get((model, finding))
    if threshold is None or not _has_both_classes(evaluation, model, finding):
        return
    truth, scores = _evaluated(evaluation, model, finding)
    calls = scores >= threshold
    ax.plot(calls[~truth].mean(), calls[truth].mean(), "o", mfc="white", mec=color, mew=1.1, ms=4, zorder=6)


def _legend(evaluation: Evaluation, figure: Figure, with_readers: bool) -> None:
    handles = _model_handles(evaluation)
    if with_readers:
        if evaluation.thresholds:
            handles.append(
                Line2D([], [], ls="", marker="o", mfc="white", mec=QUIET, ms=4, label="threshold from validation")
            )
        for mark, reader in zip(
            _cycled(READER_MARKS, evaluation.sample.readers), evaluation.sample.readers, strict=True
        ):
            handles.append(Line2D([], [], ls="", marker=mark, color=READER_COLOR, ms=4, label=reader))
    figure.legend(handles=handles, loc="upper left", ncols=min(len(handles), 5), frameon=False)


def _model_handles(evaluation: Evaluation) -> list[Line2D]:
    return [Line2D([], [], color=color, lw=1.6, label=model) for color, model in _colored(evaluation)]


def _evaluated(evaluation: Evaluation, model: str, finding: str) -> tuple[np.ndarray, np.ndarray]:
    truth, scores, evaluated = evaluation.sample.series_of(model, finding)
    return truth[evaluated] == 1, scores[evaluated]


def _has_both_classes(evaluation: Evaluation, model: str, finding: str) -> bool:
    truth, _ = _evaluated(evaluation, model, finding)
    return bool(truth.any() and not truth.all())


def _colored(evaluation: Evaluation) -> list[tuple[str, str]]:
    models = list(evaluation.sample.models)
    return list(zip(_cycled(COLORS, models), models, strict=True))


def _cycled(values: Sequence[str], names: Sequence[str] | dict[str, np.ndarray]) -> list[str]:
    return [values[place % len(values)] for place in range(len(names))]


def _value(result: Result) -> str:
    if result.low is None or result.high is None:
        return "undefined" if result.value is None else f"{result.value:.3f}"
    return f"{result.value:.3f} ({result.low:.3f} to {result.high:.3f})"


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve without points on a straight line, and of the rest at most `MOST_POINTS`."""
    if len(x) > 2:
        bend = (np.diff(x, 2) != 0) | (np.diff(y, 2) != 0)
        x, y = (side[np.concatenate([[True], bend, [True]])] for side in (x, y))
    if len(x) > MOST_POINTS:
        kept = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int))
        x, y = x[kept], y[kept]
    return x, y


def _wilson(share: np.ndarray, n: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """The Wilson (1927) interval of a proportion."""
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return center - half, center + half


def save_figure(figure: Figure, name: str, caption: str) -> Picture:
    """A finished figure in both formats; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    png, svg = io.BytesIO(), io.BytesIO()
    # No date and no version in the files: two runs with one seed give equal bytes.
    figure.savefig(png, format="png", dpi=170, metadata={"Software": None})
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(name, caption, png.getvalue(), svg.getvalue())
