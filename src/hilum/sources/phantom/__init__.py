"""Synthetic patients: chest radiographs drawn from anatomy, with reports, for the demo and the tests.

Nothing here comes from a patient, and everything drawn says so.
"""

from hilum.sources.phantom.anatomy import Anatomy, Pose
from hilum.sources.phantom.frontal import draw_frontal
from hilum.sources.phantom.history import Patient, Picture, Study
from hilum.sources.phantom.lateral import draw_lateral
from hilum.sources.phantom.reporting import write_report
from hilum.sources.phantom.signs import DRAWN, TRUTH_COLUMNS, Sign, truth_of
from hilum.sources.phantom.world import GenerateSummary, draw, generate, phantom_study

__all__ = [
    "DRAWN", "TRUTH_COLUMNS", "Anatomy", "GenerateSummary", "Patient", "Picture", "Pose", "Sign", "Study",
    "draw", "draw_frontal", "draw_lateral", "generate", "phantom_study", "truth_of", "write_report",
]  # fmt: skip
