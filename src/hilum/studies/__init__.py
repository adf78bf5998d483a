"""A benchmark study: models x datasets x adaptations x parts of the labels, resumable, to tables, figures and one page."""

from __future__ import annotations

from hilum.studies.cells import Cell, cells_of
from hilum.studies.estimating import Planned, plan
from hilum.studies.report import Report, write_report
from hilum.studies.rows import Row, read_rows
from hilum.studies.running import Step, run_cells
from hilum.studies.spec import Study, load_study
from hilum.studies.store import Record, Store
from hilum.studies.study import run_study

__all__ = [
    "Cell",
    "Planned",
    "Record",
    "Report",
    "Row",
    "Step",
    "Store",
    "Study",
    "cells_of",
    "load_study",
    "plan",
    "read_rows",
    "run_cells",
    "run_study",
    "write_report",
]
