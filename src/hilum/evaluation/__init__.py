"""Evaluation: metrics with bootstrap intervals, paired differences, human readers, figures and the HTML report."""

from __future__ import annotations

from hilum.evaluation.evaluator import Evaluation, evaluate
from hilum.evaluation.metrics import METRICS
from hilum.evaluation.resampling import Interval, Resampler, bootstrap, interval, two_sided_p
from hilum.evaluation.results import Result, read_csv
from hilum.evaluation.series import Series
from hilum.evaluation.thresholds import best_threshold

__all__ = [
    "METRICS",
    "Evaluation",
    "Interval",
    "Resampler",
    "Result",
    "Series",
    "best_threshold",
    "bootstrap",
    "evaluate",
    "interval",
    "read_csv",
    "two_sided_p",
]
