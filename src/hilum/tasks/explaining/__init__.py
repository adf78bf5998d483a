"""Heatmaps: where in an image a model looks for a phrase."""

from __future__ import annotations

from hilum.tasks.explaining.explaining import WAYS, Way, explain
from hilum.tasks.explaining.heatmap import Heatmap
from hilum.tasks.explaining.members import explain_with, load_members, read_file
from hilum.tasks.explaining.picture import figure, layer, overlay

__all__ = [
    "WAYS",
    "Heatmap",
    "Way",
    "explain",
    "explain_with",
    "figure",
    "layer",
    "load_members",
    "overlay",
    "read_file",
]
