"""A study from its file to its report."""

from __future__ import annotations

import os
import subprocess
import sys
from os import PathLike
from pathlib import Path

import torch

from hilum.errors import UsageError
from hilum.studies.report import Report, write_report
from hilum.studies.running import OnCell, run_cells
from hilum.studies.spec import Study, load_study
from hilum.studies.store import Store


def run_study(
    study: Study | str | PathLike[str], out: str | PathLike[str], *, workers: int = 1, on_cell: OnCell | None = None
) -> Report:
    """Do every cell that is not done, then write the report.

    Stopped at any cell and called again, it goes on there. The same study may be run in several processes, on several machines
    that share the folder: each takes the cells that no other has.

    Args:
        study: a study, or its TOML file.
        out: the folder of its results.
        workers: processes; more than one needs the file, which the others read too.
        on_cell: called after each cell of this process.

    Raises:
        UsageError: the file is wrong, or the folder cannot be written. What goes wrong within a cell is in its record.
    """
    opened = study if isinstance(study, Study) else load_study(Path(study))
    store = Store(out)
    helpers: list[subprocess.Popen[bytes]] = []
    threads_before = torch.get_num_threads()
    if workers > 1:
        if isinstance(study, Study):
            raise UsageError("workers > 1 needs the study's TOML file, not a Study: the other processes read it.")
        command = [sys.executable, "-m", "hilum", "study", str(Path(study)), "-o", str(out), "--no-report", "--quiet"]
        threads = max(1, (os.cpu_count() or 1) // workers)  # more would only wait for each other
        torch.set_num_threads(threads)
        environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))}
        helpers = [subprocess.Popen(command, env=environment) for _ in range(workers - 1)]
    try:
        run_cells(opened, store, on_cell=on_cell)
    except BaseException:
        for helper in helpers:
            helper.terminate()
        raise
    finally:
        for helper in helpers:
            helper.wait()
        torch.set_num_threads(threads_before)
    return write_report(opened, store)
